"""What was retrieved for questions: by embeddings, by BM25, or by several together."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from etils import epath

from realm_tf.artifacts import open_whole
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.searcher import Searcher, SearchResult

# Questions that are searched for at a time.
_BATCH = 32
# Of reciprocal-rank fusion (Cormack et al. 2009).
_RANK_CONSTANT = 60


@dataclasses.dataclass(frozen=True)
class Retrieved:
    """The blocks that were found for questions, best first.

    Attributes:
      block_ids: int64 `[questions, k]`; -1 where there are fewer.
      scores: float32 `[questions, k]`; those of different retrievers are not comparable.
    """

    block_ids: np.ndarray
    scores: np.ndarray


def dense(queries: np.ndarray, k: int, embeddings: Embeddings, searcher: Searcher) -> Retrieved:
    """The blocks that a searcher finds, in the order of their exact scores.

    A reader that takes the first few of an approximate order reads others: sorting is worth about half a point of exact
    match over the released code, which does not.

    Args:
      queries: float32 `[questions, dimension]`.
      k: how many blocks.
      embeddings: the embeddings of the blocks.
      searcher: an index over them.
    """
    block_ids, scores = [], []
    for start in range(0, len(queries), _BATCH):
        batch = queries[start : start + _BATCH]
        found = searcher.search(batch, k)
        if not searcher.is_exact:
            found = SearchResult.ranked(scores_of(batch, found.block_ids, embeddings), found.block_ids, k)
        block_ids.append(found.block_ids)
        scores.append(found.scores)
    return Retrieved(np.concatenate(block_ids), np.concatenate(scores))


def scores_of(queries: np.ndarray, block_ids: np.ndarray, embeddings: Embeddings) -> np.ndarray:
    """The exact scores of blocks, float32 `[questions, k]`; -inf where the block id is -1."""
    blocks = embeddings.rows(np.maximum(block_ids, 0).reshape(-1)).reshape(*block_ids.shape, -1)
    return np.where(block_ids < 0, -np.inf, np.einsum('bd,bkd->bk', queries, blocks)).astype(np.float32)


def fused(runs: Sequence[Retrieved]) -> Retrieved:
    """Reciprocal-rank fusion (Cormack et al. 2009): a block's score is the sum of 1 / (60 + its rank) over the runs."""
    k = max(run.block_ids.shape[1] for run in runs)
    # [questions, all that any run found]
    block_ids = np.concatenate([run.block_ids for run in runs], axis=1)
    shares = np.concatenate(
        [
            np.broadcast_to(1.0 / (_RANK_CONSTANT + 1 + np.arange(run.block_ids.shape[1])), run.block_ids.shape)
            for run in runs
        ],
        axis=1,
    )
    best_ids = np.full((len(block_ids), k), -1, np.int64)
    best_scores = np.full((len(block_ids), k), -np.inf, np.float32)
    for row, (ids, share) in enumerate(zip(block_ids, shares, strict=True)):
        found, place = np.unique(ids[ids >= 0], return_inverse=True)
        totals = np.bincount(place, share[ids >= 0], len(found))
        # Equal scores in the order of block ids.
        order = np.lexsort((found, -totals))[:k]
        best_ids[row, : len(order)], best_scores[row, : len(order)] = found[order], totals[order]
    return Retrieved(best_ids, best_scores)


def hits_of(block_ids: np.ndarray, holders: Sequence[np.ndarray]) -> np.ndarray:
    """Which blocks are among the holders of their row, bool of the shape of `block_ids`, `[questions, k]`."""
    return np.stack([np.isin(row, of_row) for row, of_row in zip(block_ids, holders, strict=True)])


def hits_of_documents(documents: np.ndarray, asked_of: np.ndarray) -> np.ndarray:
    """Which of the documents that blocks were found of are the one asked of.

    A document counts once, at the place of its best block, however many of its blocks were found.

    Args:
      documents: ids of the blocks' documents, best first, str `[questions, k]`; empty where there is no block.
      asked_of: id of the document of each question, str `[questions]`.

    Returns:
      Bool `[questions, k]`, a column for each document; False where there are fewer.
    """
    hits = np.zeros(documents.shape, bool)
    for of_question, of_row, asked in zip(hits, documents, asked_of, strict=True):
        distinct = of_row[np.sort(np.unique(of_row, return_index=True)[1])]
        of_question[: len(distinct)] = distinct == asked
    return hits


def write_trec_run(path: epath.PathLike, run: Retrieved, tag: str, k: int) -> None:
    """Writes the best k blocks of each question in the form of TREC: question, Q0, block, rank, score, tag.

    Questions are numbered from 1, in their order.
    """
    with open_whole(path) as file:
        for number, (block_ids, scores) in enumerate(zip(run.block_ids, run.scores, strict=True), start=1):
            for rank, (block, score) in enumerate(zip(block_ids[:k], scores[:k], strict=True), start=1):
                if block >= 0:
                    file.write(f'{number} Q0 {block} {rank} {score:.6f} {tag}\n'.encode())
