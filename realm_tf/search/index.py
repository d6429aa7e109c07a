"""The index artefact: a searcher over the embeddings of a corpus, with its measured recall."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import psutil
from etils import epath

from realm_tf.artifacts import Artifact, Draft, make_artifact, open_artifact, outdated_because, write_text_whole
from realm_tf.config import IndexConfig, config_from_dict, config_to_dict
from realm_tf.errors import RealmError
from realm_tf.files import is_remote, length_of
from realm_tf.search.array_files import read_array, write_array
from realm_tf.search.embeddings import Embeddings, take_rows
from realm_tf.search.exact import ExactSearcher
from realm_tf.search.ivf import IvfSearcher
from realm_tf.search.partitioned import PartitionedSearcher
from realm_tf.search.scann_searcher import ScannSearcher
from realm_tf.search.searcher import Searcher, SearchResult
from realm_tf.search.tpu_searcher import TpuSearcher
from realm_tf.search.tuning import recall, tune

if TYPE_CHECKING:
    import tensorflow as tf

# Times and memory differ from run to run. In the manifest they would be part of the digest, by which runs know their
# index, and the same index made again would be another: so they are kept beside the files.
MEASUREMENTS = '.measurements.json'

# What a block's embedding is recognised by when the index is updated.
HASHES = 'hashes.npy'

_SEARCHERS: dict[str, type[Searcher]] = {
    'exact': ExactSearcher,
    'scann': ScannSearcher,
    'ivf': IvfSearcher,
    'tpu': TpuSearcher,
}
_NUM_SAMPLE_QUERIES = 512
_SAMPLE_NOISE = 1.0
_BATCH = 64


def searcher_class(name: str) -> type[Searcher]:
    """The searcher of that name.

    Raises:
      RealmError: if there is none.
    """
    if name not in _SEARCHERS:
        raise RealmError(f'There is no searcher {name!r}. The searchers are {", ".join(_SEARCHERS)}.')
    return _SEARCHERS[name]


def build_index(
    embeddings_path: epath.PathLike,
    output: epath.PathLike,
    config: IndexConfig,
    *,
    overwrite: bool = False,
    seed: int = 0,
    sample_queries: np.ndarray | None = None,
) -> Artifact:
    """Builds a searcher, tunes it, measures it against exact search, and publishes it as an index artefact.

    Recall@k is the share of the k best blocks by exact search that the searcher finds, over sample queries. One half of
    these is what the searcher is tuned with, the other what it is measured with. Unless given, they are the embeddings
    of blocks chosen at random with Gaussian noise of the embeddings' own standard deviation: stand-ins, as real queries
    may lie further from every block.

    What depends on the machine is written to `.measurements.json` in the artefact's directory: the median time of one
    query, queries a second in batches of 64, the time to load the index and the memory that it takes.

    Args:
      embeddings_path: the embeddings artefact.
      output: the directory of the index.
      config: which searcher, the recall it is tuned to, and that it must have.
      overwrite: whether an index that is out of date is replaced.
      seed: of the sample queries.
      sample_queries: float32 `[queries, dimension]` to tune and measure with.

    Returns:
      The index; the one already there if it is up to date.

    Raises:
      RealmError: if the searcher cannot be where it is to be, an embedding is not finite, the searcher cannot reach
        `config.recall`, or the measured recall is below `config.minimum_recall`.
    """
    _require_place(config.searcher, output)
    embeddings = Embeddings.open(embeddings_path)
    configuration = {**config_to_dict(config), 'seed': seed}
    inputs = {'embeddings': embeddings.artifact.digest}
    if sample_queries is not None:
        sample_queries = np.ascontiguousarray(sample_queries, np.float32)
        inputs['sample_queries'] = hashlib.sha256(sample_queries.tobytes()).hexdigest()
    if outdated_because(output, 'index', configuration, inputs) is None:
        return open_artifact(output, 'index')
    _require_finite(embeddings)
    queries = _noisy_blocks(embeddings.shards, seed) if sample_queries is None else sample_queries
    with make_artifact(output, 'index', configuration=configuration, inputs=inputs, overwrite=overwrite) as draft:
        searcher = searcher_class(config.searcher).build(embeddings.shards, config.reordering)
        if isinstance(searcher, PartitionedSearcher) and not searcher.is_exact:
            tuning = queries[::2]
            tune(searcher, tuning, _exact(embeddings, tuning, config.recall_at), config.recall)
        _save(searcher, embeddings, draft)
        del searcher
        measured = _measure(embeddings, queries[1::2] if len(queries) > 1 else queries, config, draft)
    return _published(output, measured)


def update_index(
    index_path: epath.PathLike,
    embeddings_path: epath.PathLike,
    output: epath.PathLike,
    *,
    overwrite: bool = False,
) -> Artifact:
    """Makes the index of an edited corpus from the index of the corpus before.

    A block whose embedding stands in the old index, wherever, keeps its place in the tree and its codes; all others are
    encoded by the old tree, which is not trained again, nor is the search tuned again. Block ids are those of the new
    embeddings. What is not in these is not in the new index either, and so can never be found.

    Args:
      index_path: the old index.
      embeddings_path: the embeddings of the edited corpus, by the same encoder.
      output: the directory of the new index.
      overwrite: whether an index that is out of date is replaced.

    Returns:
      The new index; the one already there if it is up to date.

    Raises:
      RealmError: if a searcher cannot be where it is or is to be, an embedding is not finite or of another size, or the
        measured recall is below the old index's `index.minimum_recall`: then so much has changed that the index must be
        built.
    """
    old = open_artifact(index_path, 'index')
    settings = dict(old.configuration)
    seed = settings.pop('seed')
    config = config_from_dict({'index': settings}, source=str(index_path)).index
    for path in (index_path, output):
        _require_place(config.searcher, path)
    embeddings = Embeddings.open(embeddings_path)
    inputs = {'embeddings': embeddings.artifact.digest, 'index': old.digest}
    if outdated_because(output, 'index', old.configuration, inputs) is None:
        return open_artifact(output, 'index')
    if embeddings.dimension != old.counts['dimension']:
        raise RealmError(
            f'{index_path} holds embeddings of {old.counts["dimension"]} dimensions, and those of {embeddings_path} '
            f'have {embeddings.dimension}. Embed the edited corpus with the encoder of the old one.'
        )
    _require_finite(embeddings)
    old_rows = _rows_of(embeddings.hashes(), read_array(old.path / HASHES))
    with make_artifact(output, 'index', configuration=old.configuration, inputs=inputs, overwrite=overwrite) as draft:
        searcher = searcher_class(config.searcher).update(
            old.path / 'searcher', embeddings.shards, old_rows, config.reordering
        )
        _save(searcher, embeddings, draft)
        del searcher
        draft.counts['kept'] = int((old_rows >= 0).sum())
        measured = _measure(embeddings, _noisy_blocks(embeddings.shards, seed)[1::2], config, draft)
    print(f'{(old_rows >= 0).sum():,} blocks kept, {(old_rows < 0).sum():,} encoded.', file=sys.stderr)
    return _published(output, measured)


def open_index(
    path: epath.PathLike, embeddings: Artifact | None = None, strategy: tf.distribute.Strategy | None = None
) -> Searcher:
    """Opens the searcher of an index artefact.

    Args:
      path: the index artefact.
      embeddings: the embeddings it must have been built from; None for any.
      strategy: whose replicas search, where the searcher is one of theirs (`tpu`); None for the one in whose scope this
        is called.

    Raises:
      RealmError: if there is no whole index, its searcher cannot be opened where it is, it was built from other
        embeddings, or by another release.
    """
    artifact = open_artifact(path, 'index')
    _require_place(artifact.configuration['searcher'], path)
    if embeddings is not None:
        artifact.require_input('embeddings', embeddings)
    try:
        with strategy.scope() if strategy else contextlib.nullcontext():
            return searcher_class(artifact.configuration['searcher']).load(artifact.path / 'searcher')
    except KeyError as missing:
        raise RealmError(f'{path} was built by another release, and lacks {missing}: build it again.') from missing


def _require_place(searcher: str, path: epath.PathLike) -> None:
    if searcher_class(searcher) is ScannSearcher and is_remote(path):
        raise RealmError(
            f'ScaNN reads and writes files on disks only, and {path} is on an object store. Name a directory of a '
            'disk, and copy the index from or to the store, or build it with index.searcher=ivf or exact.'
        )


def _save(searcher: Searcher, embeddings: Embeddings, draft: Draft) -> None:
    directory = draft.path / 'searcher'
    directory.mkdir(exist_ok=True)
    searcher.save(directory)
    write_array(draft.path / HASHES, embeddings.hashes())
    size = sum(length_of(file) for file in directory.iterdir())
    draft.counts.update(blocks=len(searcher), dimension=searcher.dimension, bytes=size)
    if isinstance(searcher, PartitionedSearcher) and searcher.num_leaves:
        draft.counts.update(
            leaves=searcher.num_leaves,
            leaves_searched=searcher.effort.leaves,
            reordered=searcher.effort.reordered,
        )


def _measure(embeddings: Embeddings, queries: np.ndarray, config: IndexConfig, draft: Draft) -> dict[str, float]:
    """Loads what was saved and measures it; the recall goes into the counts, what a clock says is returned."""
    k = config.recall_at
    resident, started = psutil.Process().memory_info().rss, time.perf_counter()
    searcher = searcher_class(config.searcher).load(draft.path / 'searcher')
    searcher.search(queries[:1], k)
    loaded = time.perf_counter()
    resident = psutil.Process().memory_info().rss - resident
    found = recall(_exact(embeddings, queries, k), searcher.search(queries, k))
    draft.counts['recall'] = round(found, 4)
    if found < config.minimum_recall:
        raise RealmError(
            f'The {config.searcher} index of {embeddings.artifact.path} finds too little: recall@{k} is {found:.3f}, '
            f'and index.minimum_recall is {config.minimum_recall}. Lower it, raise index.recall, or set '
            'index.searcher=exact; of an index that was updated, build it anew.'
        )
    batches = np.resize(queries, (4, _BATCH, queries.shape[1]))
    return {
        'median_query_milliseconds': 1000 * _median_seconds(searcher, queries[:, None], k),
        'queries_per_second_in_batches_of_64': _BATCH / _median_seconds(searcher, batches, k),
        'load_seconds': loaded - started,
        'resident_megabytes': max(0, resident) / 1e6,
    }


def _published(output: epath.PathLike, measured: dict[str, float]) -> Artifact:
    """Writes what a clock said beside the artefact's files, of which it is no part, and says it."""
    write_text_whole(epath.Path(output) / MEASUREMENTS, json.dumps(measured))
    artifact = open_artifact(output, 'index')
    counts = artifact.counts
    how_far = ''
    if 'leaves' in counts:
        how_far = (
            f'{counts["leaves_searched"]} of {counts["leaves"]} leaves, {counts["reordered"]} blocks scored again, '
        )
    print(
        f'Index: {counts["blocks"]:,} blocks of {counts["dimension"]} dimensions, {counts["bytes"] / 1e6:.1f} MB, '
        f'{how_far}recall@{artifact.configuration["recall_at"]} {counts["recall"]:.3f}, '
        f'{measured["median_query_milliseconds"]:.2f} ms a query (median), '
        f'{measured["queries_per_second_in_batches_of_64"]:,.0f} queries a second in batches of {_BATCH}, '
        f'loaded in {measured["load_seconds"]:.1f} s, {measured["resident_megabytes"]:.0f} MB in memory.',
        file=sys.stderr,
    )
    return artifact


def _exact(embeddings: Embeddings, queries: np.ndarray, k: int) -> SearchResult:
    return ExactSearcher.build(embeddings.shards).search(queries, k)


def _median_seconds(searcher: Searcher, batches: np.ndarray, k: int) -> float:
    seconds = []
    for batch in batches:
        start = time.perf_counter()
        searcher.search(batch, k)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def _rows_of(hashes: np.ndarray, old_hashes: np.ndarray) -> np.ndarray:
    """Where each hash stands among the old ones, int64; -1 where it does not."""
    order = np.argsort(old_hashes, kind='stable')
    places = np.minimum(np.searchsorted(old_hashes, hashes, sorter=order), len(order) - 1)
    return np.where(old_hashes[order[places]] == hashes, order[places], -1)


def _noisy_blocks(shards: list[np.ndarray], seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    num_blocks = sum(map(len, shards))
    ids = random.choice(num_blocks, min(_NUM_SAMPLE_QUERIES, num_blocks), replace=False)
    # [queries, dimension]
    blocks = take_rows(shards, ids)
    noise = random.standard_normal(blocks.shape, np.float32)
    return blocks + _SAMPLE_NOISE * blocks.std(axis=0) * noise


def _require_finite(embeddings: Embeddings) -> None:
    first_id = 0
    for shard in embeddings.shards:
        finite = np.isfinite(shard).all(axis=1)
        if not finite.all():
            raise RealmError(
                f'In {embeddings.artifact.path} the embedding of block {first_id + int(np.argmin(finite))} '
                'is not finite. '
                'Embed the corpus again with an encoder whose weights are finite.'
            )
        first_id += len(shard)
