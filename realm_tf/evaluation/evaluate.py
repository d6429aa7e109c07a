"""Evaluation runs: recall of a retriever; answers of a QA model, beside what others retrieve for the same reader."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from etils import epath

from realm_tf.artifacts import Artifact, make_artifact, open_artifact
from realm_tf.config import Config, config_from_dict, recipe
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.questions import Question
from realm_tf.errors import RealmError
from realm_tf.evaluation.abstention import PRECISIONS, applied, area_under_curve, risk_coverage_curve, threshold_for
from realm_tf.evaluation.answers import blocks_with_answers, gold_spans
from realm_tf.evaluation.bm25 import bm25
from realm_tf.evaluation.explanation import explain
from realm_tf.evaluation.metrics import (
    bootstrap_interval,
    is_correct,
    normalize_answer,
    question_word,
    recall_at,
    token_f1,
)
from realm_tf.evaluation.predictor import Prediction, Predictor
from realm_tf.evaluation.report import comparison_table, tables
from realm_tf.evaluation.retrieval import Retrieved, dense, fused, hits_of, hits_of_documents, write_trec_run
from realm_tf.files import read_json_lines
from realm_tf.progress import tracked
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.exact import ExactSearcher
from realm_tf.search.index import open_index
from realm_tf.search.searcher import Searcher
from realm_tf.text.packing import pack_queries
from realm_tf.text.wordpiece import WordPieceTokenizer
from realm_tf.weights.encoder_artifact import Encoder
from realm_tf.weights.fit import require_fit, settings_named
from realm_tf.weights.model_artifact import Model
from realm_tf.weights.networks import for_inference

KIND = 'evaluation'
PREDICTIONS = 'predictions.jsonl'
RECALL_AT = (1, 5, 20, 100, 1000)
RECIPE = ('finetune',)
# What the probability of an answer depends on, beside the model.
_OF_CONFIDENCE = tuple(
    f'finetune.{name}' for name in ('question_length', 'reader_blocks', 'reader_length', 'max_answer_length')
)
# The rows of the comparison.
MODEL, START, BM25, FUSION, HYBRID, CLOSED_BOOK = (
    'fine-tuned',
    'encoder as it comes',
    'BM25',
    'fusion of these two',
    'fusion of BM25 and fine-tuned',
    'closed book',
)
_READ_AT_ONCE = 8
_EMBEDDED_AT_ONCE = 64
_ANSWERS_KEPT = 5
_BLOCKS_OF_A_RUN = 100


@dataclasses.dataclass(frozen=True)
class Compared:
    """What is compared with the model, all read by its reader.

    Attributes:
      encoder_path: an encoder as it comes; None: none is compared.
      embeddings_path: embeddings of the corpus by that encoder, which are searched exactly; None: those that the model
        answers with, by its index: a fine-tuning leaves them as they were unless it refreshes them.
      bm25: whether BM25 over the same blocks is compared, and its fusion with the model; with an encoder, its fusion
        with that as well.
    """

    encoder_path: epath.PathLike | None = None
    embeddings_path: epath.PathLike | None = None
    bm25: bool = False


def evaluate_retriever(
    corpus_path: epath.PathLike,
    encoder_path: epath.PathLike,
    embeddings_path: epath.PathLike,
    questions: Sequence[Question],
    output: epath.PathLike,
    config: Config,
    inputs: Mapping[str, str],
    overwrite: bool = False,
) -> Artifact:
    """Measures the zero-shot recall of an encoder, by exact search over its embeddings.

    Recall@k is the share of questions with an answer in the text of one of the k best blocks.

    Args:
      corpus_path: the corpus.
      encoder_path: the encoder.
      embeddings_path: embeddings of the corpus by this encoder.
      questions: the questions.
      output: the evaluation artefact: `metrics.json`.
      config: the configuration.
      inputs: digests of all these, by role.
      overwrite: whether another artefact there is replaced.

    Raises:
      RealmError: if the inputs do not fit each other.
    """
    corpus = BlockStore.open(corpus_path)
    embeddings = _embeddings_of_corpus(corpus, embeddings_path)
    with make_artifact(
        output, KIND, configuration=recipe(config, *RECIPE), inputs=inputs, overwrite=overwrite
    ) as draft:
        searcher = ExactSearcher.build(embeddings.shards)
        encoder = Encoder.open(encoder_path)
        found = _found_by_encoder(encoder, corpus, embeddings, searcher, questions, config)
        labels = _Labels(corpus, questions, config)
        _write(draft, labels.counts() | labels.recall(found, labels.hits(found)))
    return open_artifact(output, KIND)


def evaluate_model(
    corpus_path: epath.PathLike,
    model_path: epath.PathLike,
    embeddings_path: epath.PathLike,
    index_path: epath.PathLike,
    questions: Sequence[Question],
    output: epath.PathLike,
    config: Config,
    inputs: Mapping[str, str],
    *,
    compared: Compared = Compared(),
    calibration_path: epath.PathLike | None = None,
    retrieval_only: bool = False,
    overwrite: bool = False,
) -> Artifact:
    """Measures a QA model: its answers, and the recall of its retriever, which the reader's beam does not bound.

    Args:
      corpus_path: the corpus.
      model_path: the QA model.
      embeddings_path: the embeddings it answers with.
      index_path: an index over them.
      questions: the questions.
      output: the evaluation artefact: `metrics.json`, `run.trec` and `report.md`; where blocks are read,
        `predictions.jsonl` too, which the authors' script reads.
      config: the settings to answer with: the model's own, or others that its networks can compute with.
      inputs: digests of all these, by role.
      compared: what is compared with it.
      calibration_path: an evaluation of the same model on development questions, to choose the confidence below which
        no answer is given.
      retrieval_only: whether nothing is read, and recall alone is measured.
      overwrite: whether another artefact there is replaced.

    Raises:
      RealmError: if the inputs do not fit each other.
    """
    corpus = BlockStore.open(corpus_path)
    model = Model.open(model_path)
    embeddings = _embeddings_of(model, corpus, embeddings_path)
    calibration = None
    if calibration_path is not None:
        calibration = open_artifact(calibration_path, KIND).require_input('model', model.artifact)
        if not (calibration.path / PREDICTIONS).exists():
            raise RealmError(f'{calibration.path} has measured retrieval only; to calibrate, blocks must be read.')
        theirs = config_from_dict(calibration.configuration, source=str(calibration.path))
        again = ', or make that evaluation again with those here'
        require_fit(settings_named(theirs, _OF_CONFIDENCE), config, calibration.path, again)
    searcher = open_index(index_path, embeddings.artifact)
    predictor = Predictor.of_model(model, corpus, embeddings, searcher, config)
    with make_artifact(
        output, KIND, configuration=recipe(config, *RECIPE), inputs=inputs, overwrite=overwrite
    ) as draft:
        texts = [question.text for question in questions]

        # Retrieval.
        queries = predictor.embed(texts)
        k = max(RECALL_AT)
        runs = {MODEL: predictor.retrieve(queries, k)}
        if compared.encoder_path is not None:
            of_encoder, search = embeddings, searcher
            if compared.embeddings_path is not None:
                of_encoder = _embeddings_of_corpus(corpus, compared.embeddings_path)
                search = ExactSearcher.build(of_encoder.shards)
            encoder = Encoder.open(compared.encoder_path)
            # Its own network, and questions as the model is asked them.
            as_asked = dataclasses.replace(encoder.config, precision=config.precision, finetune=config.finetune)
            runs[START] = _found_by_encoder(encoder, corpus, of_encoder, search, questions, as_asked)
        if compared.bm25:
            runs[BM25] = bm25(corpus, texts, k)
        if START in runs and BM25 in runs:
            runs[FUSION] = fused([runs[START], runs[BM25]])
        if BM25 in runs:
            runs[HYBRID] = fused([runs[BM25], runs[MODEL]])
        if not retrieval_only:
            # The null document alone: a reader that points at its answer finds none there.
            runs[CLOSED_BOOK] = Retrieved(
                np.full((len(texts), 1), -1, np.int64), np.full((len(texts), 1), -np.inf, np.float32)
            )
        labels = _Labels(corpus, questions, config)
        hits = {name: labels.hits(run) for name, run in runs.items()}
        rows = {name: labels.recall(run, hits[name]) for name, run in runs.items()}
        # What each is right about, bool [questions].
        outcomes = {name: {'recall@5': of_run[:, :5].any(axis=1)} for name, of_run in hits.items()}

        # Reading.
        records, of_answers = [], {}
        if not retrieval_only:
            blocks = {name: run.block_ids[:, : config.finetune.reader_blocks] for name, run in runs.items()}
            predictions = _read(predictor, texts, queries, blocks)
            for name in runs:
                rows[name] |= _answer_metrics(predictions[name], questions, config.seed)
                outcomes[name]['exact_match'] = _right(predictions[name], questions)
            records = _records(corpus, questions, predictions[MODEL])
            confidences, right = [record['confidence'] for record in records], outcomes[MODEL]['exact_match']
            of_answers = {
                'reader_oracle': labels.oracle(runs[MODEL]),
                'risk_coverage': risk_coverage_curve(confidences, right),
                'area_under_risk_coverage': area_under_curve(confidences, right),
            }
            if calibration is not None:
                of_answers['abstention'] = _abstention(calibration, confidences, right)

        for name in rows.keys() - {MODEL}:
            for metric, values in outcomes[name].items():
                gain = outcomes[MODEL][metric].astype(float) - values.astype(float)
                rows[name][f'{metric}_gain_interval_95'] = bootstrap_interval(gain, config.seed)
        metrics = {
            **rows[MODEL],
            **labels.counts(),
            **of_answers,
            'by_question_word': _by_question_word(questions, outcomes[MODEL]),
            'comparison': rows,
        }

        if records:
            _write_lines(draft.path / PREDICTIONS, records)
        write_trec_run(draft.path / 'run.trec', runs[MODEL], 'realm', _BLOCKS_OF_A_RUN)
        (draft.path / 'report.md').write_text(tables(metrics))
        _write(draft, metrics)
    print(comparison_table(metrics['comparison']))
    return open_artifact(output, KIND)


def explain_question(
    corpus_path: epath.PathLike,
    model_path: epath.PathLike,
    embeddings_path: epath.PathLike,
    index_path: epath.PathLike,
    question: str,
    config: Config,
) -> str:
    """Why the model answers a question as it does, with these settings; see `realm_tf.evaluation.explanation`."""
    corpus = BlockStore.open(corpus_path)
    model = Model.open(model_path)
    embeddings = _embeddings_of(model, corpus, embeddings_path)
    predictor = Predictor.of_model(model, corpus, embeddings, open_index(index_path, embeddings.artifact), config)
    return explain(predictor, corpus, question)


def read_metrics(path: epath.PathLike) -> dict:
    """The metrics of an evaluation artefact."""
    return json.loads((open_artifact(path, KIND).path / 'metrics.json').read_text())


class _Labels:
    """Which blocks hold an answer to the questions of an evaluation, and what follows from it."""

    def __init__(self, corpus: BlockStore, questions: Sequence[Question], config: Config):
        self._corpus = corpus
        self._questions = questions
        self._settings = config.finetune
        self._seed = config.seed
        self._holders = blocks_with_answers(corpus, questions, config.finetune.answer_match)

    def counts(self) -> dict[str, Any]:
        """How many questions there are, and what share of them has an answer anywhere in the corpus."""
        return {
            'questions': len(self._questions),
            'answerable': float(np.mean([len(holders) > 0 for holders in self._holders])),
        }

    def hits(self, found: Retrieved) -> np.ndarray:
        """Whether each block holds an answer, bool `[questions, k]`."""
        return hits_of(found.block_ids, self._holders)

    def recall(self, found: Retrieved, hits: np.ndarray) -> dict[str, Any]:
        """Recall at every k; and among k documents that of the one that was asked of, where questions name it."""
        metrics = {f'recall@{k}': value for k, value in recall_at(hits, RECALL_AT).items()}
        metrics['recall@5_interval_95'] = bootstrap_interval(hits[:, :5].any(axis=1), self._seed)
        named = [row for row, question in enumerate(self._questions) if 'document' in question.extra]
        if named:
            block_ids = found.block_ids[named]
            ids = self._corpus.document_ids(np.maximum(block_ids, 0).reshape(-1))
            # Objects, as an array of texts would give each the room of the longest.
            documents = np.array(ids, object)
            documents = np.where(block_ids < 0, '', documents.reshape(block_ids.shape))
            asked_of = np.array([str(self._questions[row].extra['document']) for row in named], object)
            hits = hits_of_documents(documents, asked_of)
            metrics |= {f'document_recall@{k}': value for k, value in recall_at(hits, RECALL_AT).items()}
        return metrics

    def oracle(self, found: Retrieved) -> float:
        """The share of questions with a span of a block, as it is read, that has the wordpieces of an answer.

        A perfect reader is right for at least so many: exact match also takes what is spelt a little differently.
        """
        settings = self._settings
        tokenizer = WordPieceTokenizer(self._corpus.vocabulary)
        answered = []
        for question, block_ids in zip(self._questions, found.block_ids[:, : settings.reader_blocks], strict=True):
            block_ids = block_ids[block_ids >= 0]
            question_length = min(
                int(tokenizer.tokenize_to_ragged([question.text]).lengths[0]), settings.question_length - 2
            )
            bodies = self._corpus.body_ids(block_ids).truncated(settings.reader_length - 3 - question_length)
            answers = list(tokenizer.tokenize_to_ragged(question.answers).rows())
            spans = gold_spans(
                self._corpus.texts(block_ids),
                bodies,
                [question] * len(block_ids),
                [answers] * len(block_ids),
                tokenizer,
                settings.max_answer_length,
            )
            answered.append(any(map(len, spans)))
        return float(np.mean(answered))


def _embeddings_of(model: Model, corpus: BlockStore, path: epath.PathLike) -> Embeddings:
    embeddings = _embeddings_of_corpus(corpus, path)
    model.require_embeddings(embeddings.artifact)
    return embeddings


def _embeddings_of_corpus(corpus: BlockStore, path: epath.PathLike) -> Embeddings:
    embeddings = Embeddings.open(path)
    embeddings.artifact.require_input('corpus', corpus.artifact)
    return embeddings


def _found_by_encoder(
    encoder: Encoder,
    corpus: BlockStore,
    embeddings: Embeddings,
    searcher: Searcher,
    questions: Sequence[Question],
    config: Config,
) -> Retrieved:
    """What the encoder that made the embeddings retrieves."""
    embeddings.artifact.require_input('encoder', encoder.artifact)
    ids = WordPieceTokenizer(corpus.vocabulary).tokenize_to_ragged([question.text for question in questions])
    packed = pack_queries(ids, config.finetune.question_length, corpus.vocabulary)
    embed = tf.function(for_inference(encoder.retriever(config)).embed_queries, reduce_retracing=True)
    starts = range(0, len(packed), _EMBEDDED_AT_ONCE)
    queries = np.concatenate([embed(tf.constant(packed[start : start + _EMBEDDED_AT_ONCE])) for start in starts])
    return dense(queries, max(RECALL_AT), embeddings, searcher)


def _read(
    predictor: Predictor, texts: Sequence[str], queries: np.ndarray, blocks: Mapping[str, np.ndarray]
) -> dict[str, list[Prediction]]:
    """What is answered from the blocks of each run; those that several of them found are read once.

    Args:
      predictor: reads.
      texts: the questions.
      queries: their embeddings, float32 `[questions, dimension]`.
      blocks: by run, those to read for each question, best first, int64 `[questions, reader_blocks]`; -1 where there
        are fewer.
    """
    found = [_distinct(row) for row in np.concatenate(list(blocks.values()), axis=1)]
    # [questions, blocks of any run], -1 where there are fewer
    union = np.full((len(found), max(map(len, found))), -1, np.int64)
    for row, block_ids in enumerate(found):
        union[row, : len(block_ids)] = block_ids
    parts = [slice(start, start + _READ_AT_ONCE) for start in range(0, len(texts), _READ_AT_ONCE)]
    read = [
        prediction
        for part in tracked(parts, 'Reading', 'batch')
        for prediction in predictor.read(texts[part], queries[part], union[part])
    ]
    return {
        name: [prediction.among(_distinct(row)) for prediction, row in zip(read, block_ids, strict=True)]
        for name, block_ids in blocks.items()
    }


def _distinct(block_ids: np.ndarray) -> list[int]:
    """Each block once, in order, and none that is missing."""
    return list(dict.fromkeys(block_ids[block_ids >= 0].tolist()))


def _right(predictions: Sequence[Prediction], questions: Sequence[Question]) -> np.ndarray:
    return np.array([is_correct(p.answer, question) for p, question in zip(predictions, questions, strict=True)])


def _answer_metrics(predictions: Sequence[Prediction], questions: Sequence[Question], seed: int) -> dict[str, Any]:
    """Exact match of the best span, as in the paper, and of the most probable answer, wherever it stands; F1."""
    right = _right(predictions, questions)
    most_probable = [prediction.answers(1) for prediction in predictions]
    summed = [
        is_correct(answers[0].best.answer if answers else '', question)
        for answers, question in zip(most_probable, questions, strict=True)
    ]
    f1 = [token_f1(p.answer, q.answers) for p, q in zip(predictions, questions, strict=True) if not q.is_regex]
    return {
        'exact_match': float(right.mean()),
        'exact_match_interval_95': bootstrap_interval(right, seed),
        'exact_match_of_summed': float(np.mean(summed)),
        **({'f1': float(np.mean(f1))} if f1 else {}),
    }


def _by_question_word(questions: Sequence[Question], outcomes: Mapping[str, np.ndarray]) -> dict[str, dict]:
    words = np.array([question_word(question.text) for question in questions])
    return {
        word: {
            'questions': int((words == word).sum()),
            **{metric: float(values[words == word].mean()) for metric, values in outcomes.items()},
        }
        for word in sorted(set(words), key=lambda word: (-(words == word).sum(), word))
    }


def _records(
    corpus: BlockStore, questions: Sequence[Question], predictions: Sequence[Prediction]
) -> list[dict[str, Any]]:
    records = []
    for question, prediction in zip(questions, predictions, strict=True):
        answers = prediction.answers(len(prediction.spans))
        key = normalize_answer(prediction.answer)
        confidence = next((a.probability for a in answers if normalize_answer(a.best.answer) == key), 0.0)
        best = prediction.spans[0] if prediction.spans else None
        records.append(
            {
                'question': question.text,
                'answer': list(question.answers),
                'prediction': prediction.answer,
                'correct': bool(is_correct(prediction.answer, question)),
                'score': prediction.score if best else None,
                'probability': prediction.probability,
                'confidence': confidence,
                'answers': [
                    {'answer': answer.best.answer, 'probability': answer.probability}
                    for answer in answers[:_ANSWERS_KEPT]
                ],
                'title': corpus.titles(np.array([best.block_id]))[0] if best else None,
                'block_id': best.block_id if best else None,
                'read': list(prediction.read),
            }
        )
    return records


def _abstention(calibration: Artifact, confidences: Sequence[float], right: np.ndarray) -> list[dict[str, Any]]:
    """For some precisions the threshold that reaches them on the development questions, and what it does here."""
    development = read_json_lines(calibration.path / PREDICTIONS)
    known = [record['confidence'] for record in development], [record['correct'] for record in development]
    rows = []
    for precision in PRECISIONS:
        threshold = threshold_for(*known, precision)
        here = {} if threshold is None else applied(threshold, confidences, right)._asdict()
        there = {} if threshold is None else applied(threshold, *known)._asdict()
        rows.append(
            {
                'wanted_precision': precision,
                'threshold': threshold,
                'development_coverage': there.get('coverage'),
                'coverage': here.get('coverage'),
                'precision': here.get('precision'),
            }
        )
    return rows


def _write(draft, metrics: Mapping[str, Any]) -> None:
    (draft.path / 'metrics.json').write_text(json.dumps(metrics, indent=2) + '\n')
    draft.counts['questions'] = metrics['questions']
    shown = {name: value for name, value in metrics.items() if isinstance(value, (int, float, tuple))}
    width = max(map(len, shown))
    print('\n'.join(f'{name:{width}}  {_shown(value)}' for name, value in shown.items()))


def _write_lines(path: epath.Path, records: Sequence[Mapping]) -> None:
    path.write_text(''.join(json.dumps(record, ensure_ascii=False) + '\n' for record in records))


def _shown(value) -> str:
    if isinstance(value, tuple):
        return ' … '.join(_shown(item) for item in value)
    return f'{value:.3f}' if isinstance(value, float) else str(value)
