"""Evaluation runs: recall of a retriever, exact match of a QA model."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from etils import epath

from realm_tf.artifacts import Artifact, make_artifact, open_artifact
from realm_tf.config import Config, recipe
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.questions import Question, read_questions
from realm_tf.evaluation.answers import blocks_with_answers
from realm_tf.evaluation.metrics import bootstrap_interval, is_correct, recall_at, token_f1
from realm_tf.evaluation.predictor import Predictor
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.progress import tracked
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.exact import ExactSearcher
from realm_tf.search.index import open_index
from realm_tf.text.packing import pack_queries
from realm_tf.text.wordpiece import WordPieceTokenizer
from realm_tf.weights.encoder_artifact import Encoder
from realm_tf.weights.model_artifact import Model

KIND = 'evaluation'
RECALL_AT = (1, 5, 20)
RECIPE = ('finetune',)
_BATCH = 8


def evaluate_retriever(
    corpus_path: epath.PathLike,
    encoder_path: epath.PathLike,
    embeddings_path: epath.PathLike,
    questions_path: epath.PathLike,
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
      questions_path: JSON Lines of questions and answers.
      output: the evaluation artefact: `metrics.json`.
      config: the configuration.
      inputs: digests of all these, by role.
      overwrite: whether another artefact there is replaced.

    Raises:
      RealmError: if the inputs do not fit each other.
    """
    corpus = BlockStore.open(corpus_path)
    encoder = Encoder.open(encoder_path)
    embeddings = Embeddings.open(embeddings_path)
    embeddings.artifact.require_input('corpus', corpus.artifact).require_input('encoder', encoder.artifact)
    questions = read_questions(questions_path).questions
    metrics = _retrieval_metrics(corpus, encoder.retriever(), embeddings, questions, config)
    return _publish(output, config, inputs, overwrite, metrics, predictions=[])


def evaluate_model(
    corpus_path: epath.PathLike,
    model_path: epath.PathLike,
    embeddings_path: epath.PathLike,
    index_path: epath.PathLike,
    questions_path: epath.PathLike,
    output: epath.PathLike,
    config: Config,
    inputs: Mapping[str, str],
    overwrite: bool = False,
) -> Artifact:
    """Measures a QA model: exact match, F1, and the recall of its retriever, which the reader's beam does not bound.

    Args:
      corpus_path: the corpus.
      model_path: the QA model.
      embeddings_path: the embeddings it was trained on.
      index_path: an index over them.
      questions_path: JSON Lines of questions and answers.
      output: the evaluation artefact: `metrics.json` and `predictions.jsonl`.
      config: the configuration.
      inputs: digests of all these, by role.
      overwrite: whether another artefact there is replaced.

    Raises:
      RealmError: if the inputs do not fit each other.
    """
    corpus = BlockStore.open(corpus_path)
    model = Model.open(model_path)
    embeddings = Embeddings.open(embeddings_path)
    embeddings.artifact.require_input('corpus', corpus.artifact)
    model.artifact.require_input('embeddings', embeddings.artifact)
    questions = read_questions(questions_path).questions
    retrieval = _retrieval_metrics(corpus, model.retriever(), embeddings, questions, model.config)

    predictor = Predictor(model, corpus, embeddings, open_index(index_path, embeddings.artifact))
    batches = [questions[start : start + _BATCH] for start in range(0, len(questions), _BATCH)]
    predictions = [
        prediction
        for batch in tracked(batches, 'Evaluation', 'batch')
        for prediction in predictor.predict([question.text for question in batch])
    ]
    correct = np.array([is_correct(p.answer, q) for p, q in zip(predictions, questions, strict=True)])
    f1 = [token_f1(p.answer, q.answers) for p, q in zip(predictions, questions, strict=True) if not q.is_regex]
    low, high = bootstrap_interval(correct.astype(float), seed=config.seed)
    metrics = {
        'exact_match': float(correct.mean()),
        'exact_match_interval_95': [low, high],
        **({'f1': float(np.mean(f1))} if f1 else {}),
        **retrieval,
    }
    titles = corpus.titles(np.array([prediction.block_id for prediction in predictions]))
    records = [
        {
            'question': question.text,
            'answer': list(question.answers),
            'prediction': prediction.answer,
            'correct': bool(is_right),
            'score': prediction.score,
            'probability': prediction.probability,
            'title': title,
            'block_id': prediction.block_id,
            'read': list(prediction.read),
        }
        for question, prediction, is_right, title in zip(questions, predictions, correct, titles, strict=True)
    ]
    return _publish(output, config, inputs, overwrite, metrics, records)


def read_metrics(path: epath.PathLike) -> dict:
    """The metrics of an evaluation artefact."""
    return json.loads((open_artifact(path, KIND).path / 'metrics.json').read_text())


def _retrieval_metrics(
    corpus: BlockStore, retriever: DualEncoder, embeddings: Embeddings, questions: Sequence[Question], config: Config
) -> dict:
    tokenizer = WordPieceTokenizer(corpus.vocabulary)
    ids = tokenizer.tokenize_to_ragged([question.text for question in questions])
    packed = pack_queries(ids, config.finetune.question_length, corpus.vocabulary)
    embed = tf.function(retriever.embed_queries, reduce_retracing=True)
    queries = np.concatenate([embed(tf.constant(packed[start : start + 64])) for start in range(0, len(packed), 64)])
    # [questions, 20]
    found = ExactSearcher.build(embeddings.shards).search(queries, max(RECALL_AT)).block_ids
    holders = blocks_with_answers(corpus, questions)
    hits = np.stack([np.isin(of_one, holder) for of_one, holder in zip(found, holders, strict=True)])
    return {
        'questions': len(questions),
        'answerable': float(np.mean([len(holder) > 0 for holder in holders])),
        **{f'recall@{k}': float(recall) for k, recall in recall_at(hits, RECALL_AT).items()},
    }


def _publish(
    output: epath.PathLike,
    config: Config,
    inputs: Mapping[str, str],
    overwrite: bool,
    metrics: Mapping,
    predictions: Sequence[Mapping],
) -> Artifact:
    with make_artifact(
        output, KIND, configuration=recipe(config, *RECIPE), inputs=inputs, overwrite=overwrite
    ) as draft:
        (draft.path / 'metrics.json').write_text(json.dumps(metrics, indent=2) + '\n')
        if predictions:
            lines = [json.dumps(prediction, ensure_ascii=False) + '\n' for prediction in predictions]
            (draft.path / 'predictions.jsonl').write_text(''.join(lines))
        draft.counts['questions'] = metrics['questions']
    width = max(map(len, metrics))
    print('\n'.join(f'{name:{width}}  {_shown(value)}' for name, value in metrics.items()))
    return open_artifact(output, KIND)


def _shown(value) -> str:
    if isinstance(value, list):
        return ' … '.join(_shown(item) for item in value)
    return f'{value:.3f}' if isinstance(value, float) else str(value)
