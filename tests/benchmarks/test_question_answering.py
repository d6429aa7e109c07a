"""What the benchmark of question answering counts, and what its table says of it."""

import json
import math

from benchmarks.answering_measure import measure
from benchmarks.question_answering import Run, row


def test_every_question_is_timed_each_time_but_the_first(tmp_path):
    questions, output, asked = tmp_path / 'questions.json', tmp_path / 'found.json', []
    questions.write_text(json.dumps(['who', 'where']))
    measure(str(questions), '3', str(output), asked.append, lambda text: [len(text), 0])
    found = json.loads(output.read_text())
    assert asked == ['who', 'where'] * 4
    assert len(found['seconds']) == 6 and min(found['seconds']) >= 0
    assert found['blocks'] == [[3, 0], [5, 0]]


def test_a_row_says_how_many_questions_had_the_same_blocks():
    ours = [Run(0.5, 2.0, [[1, 2], [3, 4]]), Run(0.5, 2.5, [])]
    theirs = [Run(1.0, 3.0, [[1, 2], [4, 3]]), Run(0.75, 3.0, [])]
    cells = row(ours, theirs, num_questions=2)
    assert cells[2] == '1.75 (1.50–2.00)'
    assert cells[-1] == '1 of 2'


def test_nothing_agrees_with_what_had_not_memory_enough():
    cells = row([Run(0.5, 2.0, [[1, 2]])], [Run(math.nan, 60.0, [])], num_questions=1)
    assert cells[1] == '–' and cells[-1] == '0 of 1'
