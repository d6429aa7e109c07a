"""The report of a corpus: counts, and a few samples of every kind."""

import json

from etils import epath

from realm_tf.corpus.corpus_report import ShardTally, write_report
from realm_tf.corpus.documents import Rejected


def test_five_samples_are_kept_of_every_reason(tmp_path):
    tallies = []
    for shard in range(3):
        tally = ShardTally()
        for number in range(shard, 4000, 3):
            tally.add_rejected(Rejected('a.jsonl', number + 1, f'not JSON at column {number:,}: cut', '{'))
        tally.add_rejected(Rejected('b.jsonl', shard + 1, 'empty text', ''))
        tally.add_dropped('redirect', f'Page {shard}')
        tally.write(tmp_path / 'tally.json')
        tallies.append(ShardTally.read(tmp_path / 'tally.json'))
    total = ShardTally.sum_of(tallies)
    # Where a record is broken makes no kind of its own.
    broken = 'not JSON at column …: cut'
    assert total.rejected == {broken: 4000, 'empty text': 3}
    assert [sample['position'] for sample in total.rejected_samples[broken]] == [1, 4, 7, 10, 13]
    assert [sample['position'] for sample in total.rejected_samples['empty text']] == [1, 2, 3]
    assert total.dropped_samples == {'redirect': ['Page 0', 'Page 1', 'Page 2']}

    total.block_lengths[16] = total.document_lengths[16] = 1
    write_report(epath.Path(tmp_path), {'blocks': 1, 'rejected': 4003}, total)
    assert json.loads((tmp_path / 'report.json').read_text())['rejected_samples'] == total.rejected_samples
    page = (tmp_path / 'report.html').read_text()
    assert page.count('record ') == 8 and 'b.jsonl, record 3: empty text' in page
    assert 'a.jsonl, record 4: not JSON at column 3: cut' in page
