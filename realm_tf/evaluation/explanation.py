"""Why a model answers as it does: the blocks it read, its spans, and what it would say without each block."""

import textwrap
from collections.abc import Iterator

import numpy as np

from realm_tf.corpus.block_store import BlockStore
from realm_tf.evaluation.predictor import Prediction, Predictor

_SPANS_SHOWN = 3
_ANSWERS_SHOWN = 5
_WIDTH = 100
_CONTEXT = 160


def explain(predictor: Predictor, corpus: BlockStore, question: str) -> str:
    """Explains the answer to a question, as text for people."""
    (prediction,) = predictor.predict([question])
    return '\n'.join(_lines(prediction, corpus, question))


def _lines(prediction: Prediction, corpus: BlockStore, question: str) -> Iterator[str]:
    yield question
    for answer in prediction.answers(_ANSWERS_SHOWN):
        yield f'  {answer.probability:6.1%}  {answer.best.answer}'
    # [blocks]: what of the probability is in each
    shares = np.exp(np.array(prediction.block_totals) - np.logaddexp.reduce(prediction.block_totals))
    for rank, (block, score, share) in enumerate(
        zip(prediction.read, prediction.block_scores, shares, strict=True), start=1
    ):
        (title,), (text,) = corpus.titles(np.array([block])), corpus.texts(np.array([block]))
        yield ''
        yield f'{rank}. “{title}”, block {block}: retrieved with {score:.2f}, holds {share:.1%} of the probability'
        spans = [span for span in prediction.spans if span.block_id == block][:_SPANS_SHOWN]
        for span in spans:
            yield f'     {span.score:8.2f}  {span.answer}'
        without = prediction.without(block)
        yield f'   without it: {_change(prediction, without)}'
        start = spans[0].start if spans else 0
        yield textwrap.fill(_around(text, start), _WIDTH, initial_indent='   ', subsequent_indent='   ')


def _change(prediction: Prediction, without: Prediction) -> str:
    if not without.spans:
        return 'no answer'
    if without.answer == prediction.answer:
        return f'the same, {without.probability:.1%} for its best span'
    return f'{without.answer}, {without.probability:.1%} for its best span'


def _around(text: str, start: int) -> str:
    """The text around a place, in bytes, that it is about."""
    place = len(text.encode()[:start].decode(errors='ignore'))
    first, last = max(0, place - _CONTEXT), place + _CONTEXT
    return ('… ' if first else '') + ' '.join(text[first:last].split()) + (' …' if last < len(text) else '')
