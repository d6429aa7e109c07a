"""The batches of pre-training, made on the host: masked sentences, their candidates, and both packed."""

import numpy as np

from realm_tf.config import Config
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.span_store import SpanStore
from realm_tf.errors import RealmError
from realm_tf.text.packing import pack_documents, pack_queries, pack_reader_inputs
from realm_tf.training.candidates import CandidateRules
from realm_tf.training.current_index import CurrentIndex
from realm_tf.training.masking import MaskedQueries, mask_queries
from realm_tf.training.sampling import generator_of_step, rows_of_step

# The null document's row among the candidates' block ids.
NULL_DOCUMENT = -1
# What a step's random generator is for.
_MASKS = 2


class PretrainingBatches:
    """The batches of pre-training. One is a function of the seed, the step and the index generation alone.

    Args:
      knowledge: the corpus that candidates are retrieved from.
      pretraining: the corpus that sentences come from; may be the same.
      spans: the salient spans of the pre-training corpus.
      config: the configuration.

    Raises:
      RealmError: if the corpora have different vocabularies, or there are too few blocks for a batch or for candidates.
    """

    def __init__(self, knowledge: BlockStore, pretraining: BlockStore, spans: SpanStore, config: Config):
        if pretraining.vocabulary.digest != knowledge.vocabulary.digest:
            raise RealmError(
                f'The corpora {knowledge.artifact.path} and {pretraining.artifact.path} have different vocabularies. '
                'Build both with the vocab.txt of the encoder.'
            )
        self._knowledge = knowledge
        self._pretraining = pretraining
        self._spans = spans
        self._config = config
        # The blocks that sentences come from.
        self._blocks = np.flatnonzero(spans.counts())
        if len(self._blocks) < config.pretrain.batch_size:
            raise RealmError(
                f'{len(self._blocks)} blocks of {pretraining.artifact.path} have a salient span, fewer than a batch '
                f'(pretrain.batch_size = {config.pretrain.batch_size}). Take a smaller batch, or tag more spans.'
            )
        self._rules = CandidateRules(knowledge, pretraining, exclude_article=config.pretrain.exclude_article)
        self._rules.require(config.pretrain.num_candidates - 1)

    def of_step(self, step: int, index: CurrentIndex) -> dict[str, np.ndarray]:
        """Masks sentences, retrieves their candidates, and packs both.

        Candidates are the null document, then the best blocks of the index that `CandidateRules` allows.

        Args:
          step: the step, from 0.
          index: what is searched, an index of the knowledge corpus.

        Returns:
          All int32: `query_ids` `[batch, query_length]`; `mask_positions`, `gold_ids` and `mask_weights` (1 for a mask
          and 0 for padding) `[batch, max_masks]`; `document_ids` and `document_segments`
          `[batch * num_candidates, block_length]`; `joint_ids` and `joint_segments`
          `[batch * num_candidates, query_length + block_length]`; `candidate_ids` `[batch * num_candidates]`, the block
          of each, or `NULL_DOCUMENT`.

        Raises:
          RealmError: if the index does not hold enough candidates.
        """
        settings = self._config.pretrain
        rows = self._blocks[rows_of_step(len(self._blocks), settings.batch_size, step, self._config.seed)]
        masked = mask_queries(
            self._pretraining,
            self._spans,
            rows,
            masking=settings.masking,
            max_length=settings.query_length - 2,
            max_masks=settings.max_masks,
            generator=generator_of_step(step, self._config.seed, _MASKS),
        )
        query_ids = pack_queries(masked.token_ids, settings.query_length, self._pretraining.vocabulary)
        # [batch, num_candidates - 1]
        retrieved = index.search(
            query_ids, settings.num_candidates - 1, self._rules.filter_of(rows), margin=settings.num_candidates
        )
        if (retrieved < 0).any():
            raise RealmError(
                f'The index finds fewer than {settings.num_candidates - 1} candidates for a sentence of block '
                f'{rows[(retrieved < 0).any(axis=1)][0]} of {self._pretraining.artifact.path}. '
                'Build it from all blocks of the knowledge corpus, or take fewer candidates (pretrain.num_candidates).'
            )
        return {'query_ids': query_ids, **_pack_candidates(self._knowledge, masked, retrieved, settings.query_length)}


def _pack_candidates(
    corpus: BlockStore, masked: MaskedQueries, retrieved: np.ndarray, query_length: int
) -> dict[str, np.ndarray]:
    batch = len(retrieved)
    null = np.full((batch, 1), NULL_DOCUMENT)
    # [batch * num_candidates]
    candidates = np.concatenate([null, retrieved], axis=1).reshape(-1)
    num_candidates = len(candidates) // batch
    present = np.maximum(candidates, 0)
    is_block = candidates != NULL_DOCUMENT
    # Room for [CLS] and [SEP]: the released code cuts the body to it, beside a short sentence too.
    limits = np.where(is_block, corpus.block_length - 2, 0)
    titles = corpus.title_ids(present).truncated(limits)
    bodies = corpus.body_ids(present).truncated(limits)
    documents = pack_documents(titles, bodies, corpus.block_length, corpus.vocabulary)
    joint = pack_reader_inputs(
        masked.token_ids.take(np.repeat(np.arange(batch), num_candidates)),
        bodies,
        query_length + corpus.block_length,
        corpus.vocabulary,
        question_length=query_length,
    )
    return {
        'candidate_ids': candidates.astype(np.int32),
        'document_ids': documents.token_ids,
        'document_segments': documents.segment_ids,
        'joint_ids': joint.token_ids,
        'joint_segments': joint.segment_ids,
        # [CLS] stands before the sentence.
        'mask_positions': np.where(masked.mask_weights > 0, masked.mask_positions + 1, 0).astype(np.int32),
        'gold_ids': masked.gold_ids,
        'mask_weights': masked.mask_weights,
    }
