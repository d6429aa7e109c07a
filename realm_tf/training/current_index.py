"""The index that candidates of pre-training are retrieved from, and the retriever that embeds the queries for it."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from etils import epath

from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.search.searcher import Keeps
from realm_tf.training.current_generation import CurrentGeneration, OpenGeneration
from realm_tf.training.generations import Generation
from realm_tf.training.train_step import shared_out
from realm_tf.weights.encoder_artifact import RETRIEVER
from realm_tf.weights.parameters import load_parameters


class CurrentIndex(CurrentGeneration):
    """The index generation in use, and the retriever that embeds the queries for it.

    `search` is called where the batches are made, as `swap` is.

    Args:
      run: directory of the run.
      retriever: a dual encoder that belongs to this object from then on: the parameters of the generation in use are
        loaded into it.
      first: what is used until the run has a generation of its own.
      step: steps of the training made so far; see `CurrentGeneration`.
      live: whether `retriever` is the one in training instead, whose parameters stay as they are. They change while a
        batch is embedded, so that a run is then not the same bit by bit when it is made again.
      strategy: whose devices embed the queries, and search where the searcher is one of theirs; the retriever was made
        in its scope.
      is_chief: whether this process removes old generations; of several workers one does.
    """

    def __init__(
        self,
        run: epath.Path,
        retriever: DualEncoder,
        first: Generation,
        *,
        step: int = 0,
        live: bool = False,
        strategy: tf.distribute.Strategy | None = None,
        is_chief: bool = True,
    ):
        strategy = strategy or tf.distribute.get_strategy()
        self._retriever = retriever
        self._live = live
        self._embed_shares = embedding_of_queries(retriever, strategy)
        self._last_search: tuple[np.ndarray, int, Keeps, int, np.ndarray] | None = None
        super().__init__(run, lambda: self.open(first), step=step, strategy=strategy, is_chief=is_chief)

    def search(self, query_ids: np.ndarray, k: int, keeps: Keeps, margin: int) -> np.ndarray:
        """The best blocks of each query that a filter keeps: see `Searcher.search_filtered`.

        Args:
          query_ids: packed queries, int32 `[batch, length]`.
          k: blocks a query.
          keeps: the filter.
          margin: how many blocks beyond k are looked at to begin with.

        Returns:
          Block ids, int64 `[batch, k]`; -1 where there are fewer.
        """
        embeddings = self._embed(query_ids)
        found = self.searcher.search_filtered(embeddings, k, keeps, margin).block_ids
        self._last_search = query_ids, k, keeps, margin, found
        return found

    def _embed(self, query_ids: np.ndarray) -> np.ndarray:
        shares = self._embed_shares(shared_out({'query_ids': query_ids}, self._strategy))
        return np.concatenate([share.numpy() for share in self._strategy.experimental_local_results(shares)])

    def _use(self, opened: OpenGeneration) -> None:
        super()._use(opened)
        if not self._live:
            load_parameters(self._retriever, opened.generation.encoder / RETRIEVER)
        if self._last_search is not None:
            *search, before = self._last_search
            self._overlap = {'overlap_at_k': overlap(before, self.search(*search))}


def embedding_of_queries(retriever: DualEncoder, strategy: tf.distribute.Strategy) -> Callable:
    """Compiles the embedding of `query_ids`, shared out over the replicas as a batch of training is."""

    # Not a lambda: TPUStrategy makes a scope of the name.
    @tf.function(reduce_retracing=True)
    def embed_queries(batch):
        return strategy.run(retriever.embed_queries, args=(batch['query_ids'],))

    return embed_queries


def overlap(before: np.ndarray, after: np.ndarray) -> float:
    """The share of the blocks in `before` that are in the same row of `after` too.

    Args:
      before: block ids, int64 `[batch, k]`; -1 where there is none.
      after: block ids, int64 `[batch, k]`.
    """
    found = before >= 0
    # [batch, k]
    common = (before[:, :, None] == after[:, None, :]).any(axis=-1) & found
    return float(common.sum() / max(1, found.sum()))
