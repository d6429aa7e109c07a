"""A batch of pre-training, made on the host: masked sentences, their candidates, and both packed."""

import numpy as np

from realm_tf.config import Config
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.span_store import SpanStore
from realm_tf.text.packing import pack_documents, pack_queries, pack_reader_inputs
from realm_tf.training.current_index import CurrentIndex
from realm_tf.training.masking import MaskedQueries, mask_queries

# The null document's row among the candidates' block ids.
NULL_DOCUMENT = -1


def pretraining_batch(
    corpus: BlockStore,
    spans: SpanStore,
    rows: np.ndarray,
    index: CurrentIndex,
    config: Config,
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Masks sentences of the blocks `rows`, retrieves their candidates, and packs both.

    Candidates are the null document, then the best blocks of the index but for the one that the sentence comes from (it
    would give the answer away: "no trivial retrieval", REALM, section 3.4).

    Returns:
      All of int32: `query_ids` `[batch, query_length]`; `mask_positions`, `gold_ids` and `mask_weights`
      `[batch, max_masks]`; `document_ids` and `document_segments` `[batch * num_candidates, block_length]`;
      `joint_ids` and `joint_segments` `[batch * num_candidates, query_length + block_length]`.
    """
    query_length = config.pretrain.query_length
    masked = mask_queries(
        corpus,
        spans,
        rows,
        masking=config.pretrain.masking,
        max_length=query_length - 2,
        max_masks=config.pretrain.max_masks,
        generator=generator,
    )
    query_ids = pack_queries(masked.token_ids, query_length, corpus.vocabulary)
    # [batch, num_candidates - 1]
    retrieved = index.search(query_ids, config.pretrain.num_candidates - 1, exclusions=rows[:, None])
    return {'query_ids': query_ids, **_pack_candidates(corpus, masked, retrieved, query_length)}


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
        'document_ids': documents.token_ids,
        'document_segments': documents.segment_ids,
        'joint_ids': joint.token_ids,
        'joint_segments': joint.segment_ids,
        # [CLS] stands before the sentence.
        'mask_positions': np.where(masked.mask_weights > 0, masked.mask_positions + 1, 0).astype(np.int32),
        'gold_ids': masked.gold_ids,
        'mask_weights': masked.mask_weights,
    }
