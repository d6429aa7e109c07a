"""Index generations, published without a builder."""

import shutil
import time

import numpy as np

from realm_tf.artifacts import make_artifact, open_artifact
from realm_tf.config import IndexConfig
from realm_tf.search.embeddings import Embeddings, shard_name
from realm_tf.search.index import build_index
from realm_tf.training.generations import generation_of_step


def publish_same(run, step, first):
    """Publishes the first index again, as the generation of a step."""
    generation = generation_of_step(run, step)
    for name in ('encoder', 'embeddings', 'index'):
        shutil.copytree(getattr(first, name), getattr(generation, name))
    return generation


def publish_negative(run, step, first):
    """Publishes a generation whose blocks have the opposite embeddings, so that the worst become the best."""
    generation = generation_of_step(run, step)
    shutil.copytree(first.encoder, generation.encoder)
    inputs = open_artifact(first.embeddings).inputs
    shards = Embeddings.open(first.embeddings).shards
    with make_artifact(generation.embeddings, 'embeddings', configuration={}, inputs=inputs) as draft:
        for number, shard in enumerate(shards):
            np.save(draft.path / shard_name(number, len(shards)), -shard)
        draft.counts['blocks'] = sum(map(len, shards))
    build_index(generation.embeddings, generation.index, IndexConfig(searcher='exact'))
    return generation


def look_until_open(current, step, generation):
    deadline = time.monotonic() + 30
    while current.newest_step < generation and time.monotonic() < deadline:
        current.look(step)
        time.sleep(0.01)
