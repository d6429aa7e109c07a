"""The index that candidates are retrieved from, which changes while the training runs."""

import numpy as np
import tensorflow as tf
from etils import epath

from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.search.index import open_index
from realm_tf.search.searcher import Keeps, Searcher
from realm_tf.training.generations import Generation, collect_generations, newest_generation
from realm_tf.weights.encoder_artifact import RETRIEVER
from realm_tf.weights.parameters import load_parameters


class CurrentIndex:
    """The index generation in use, and the retriever that its documents were embedded with.

    Args:
      run: directory of the run.
      retriever: a dual encoder to load the generation's parameters into; it belongs to this object from then on.
      first: what is used until the run has a generation of its own.
    """

    def __init__(self, run: epath.Path, retriever: DualEncoder, first: Generation):
        self._run = run
        self._retriever = retriever
        self._embed = tf.function(retriever.embed_queries, reduce_retracing=True)
        self._use(newest_generation(run) or first)

    def swap_to_newest(self) -> None:
        """Swaps to the newest generation, if it is another one."""
        newest = newest_generation(self._run)
        if newest is not None and newest.step > self._generation.step:
            self._use(newest)
            collect_generations(self._run, in_use=newest.step)

    def _use(self, generation: Generation) -> None:
        self._searcher: Searcher = open_index(generation.index)
        load_parameters(self._retriever, generation.encoder / RETRIEVER)
        self._generation = generation

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
        embeddings = self._embed(tf.constant(query_ids)).numpy()
        return self._searcher.search_filtered(embeddings, k, keeps, margin).block_ids

    def staleness(self, step: int) -> dict[str, float]:
        """How old the index is: in steps, and its generation's step."""
        generation = self._generation.step
        return {'generation': generation, 'staleness_steps': step - generation}
