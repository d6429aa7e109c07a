"""What ours and the peer of `benchmarks.question_answering` both do. Needs the standard library alone."""

import json
import pathlib
import time
from collections.abc import Callable

# For each row of the table, our precision, and how the peer computes: with its weights in bfloat16, the embeddings of
# the blocks are too.
PRECISIONS = {
    'float32': ('float32', 'float32'),
    'bfloat16, PyTorch by autocast': ('bfloat16', 'autocast'),
    'bfloat16, PyTorch with weights': ('bfloat16', 'weights'),
}


def measure(
    questions: str, repetitions: str, output: str, answer: Callable[[str], object], retrieve: Callable[[str], list[int]]
) -> None:
    """Answers questions one by one, and writes what was found as JSON.

    That is `blocks`, ids of those read for each question, best first; and `seconds`, of every question each time, after
    once that is not counted.

    Args:
      questions: a file of their texts, a JSON list.
      repetitions: how often each is answered and counted.
      output: the file that is written.
      answer: answers a question, with text.
      retrieve: finds the blocks that are read for a question.
    """
    texts = json.loads(pathlib.Path(questions).read_text())
    blocks = [retrieve(text) for text in texts]
    for text in texts:
        answer(text)
    seconds = [_seconds(answer, text) for _ in range(int(repetitions)) for text in texts]
    pathlib.Path(output).write_text(json.dumps({'blocks': blocks, 'seconds': seconds}))


def _seconds(answer: Callable[[str], object], question: str) -> float:
    started = time.perf_counter()
    answer(question)
    return time.perf_counter() - started
