import io

from realm_tf.progress import Progress


def test_a_log_gets_whole_lines_now_and_then():
    log = io.StringIO()
    with Progress('ICT', 100, 'step', stream=log, seconds_between_lines=3600) as progress:
        for _ in range(100):
            progress.advance(1, loss=0.5)
    lines = log.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith('ICT: 0/100 step')
    assert lines[1].startswith('ICT: 100/100 step') and 'loss=0.5' in lines[1]
    assert '\r' not in log.getvalue()
