"""The index artefact: a searcher over the embeddings of a corpus, with its measured recall."""

import dataclasses
import hashlib
import json
import sys
import time

import numpy as np
from etils import epath

from realm_tf.artifacts import Artifact, make_artifact, open_artifact, outdated_because, write_text_whole
from realm_tf.config import IndexConfig, config_to_dict
from realm_tf.errors import RealmError
from realm_tf.search.embeddings import Embeddings, take_rows
from realm_tf.search.exact import ExactSearcher
from realm_tf.search.ivf import IvfSearcher
from realm_tf.search.scann_searcher import ScannSearcher
from realm_tf.search.searcher import Searcher

# Times differ from run to run, so they are kept beside the artefact's files and are no part of its digest.
MEASUREMENTS = '.measurements.json'

_SEARCHERS: dict[str, type[Searcher]] = {'exact': ExactSearcher, 'scann': ScannSearcher, 'ivf': IvfSearcher}
_NUM_SAMPLE_QUERIES = 256
_SAMPLE_NOISE = 0.5


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
    """Builds a searcher, measures it against exact search, and publishes it as an index artefact.

    Recall@k is the share of the k best blocks by exact search that the searcher finds, over sample queries. Unless
    given, these are the embeddings of blocks chosen at random with Gaussian noise of half the embeddings' own standard
    deviation: stand-ins, as real queries may lie further from every block.

    The median time of one query is written to `.measurements.json` in the artefact's directory.

    Args:
      embeddings_path: the embeddings artefact.
      output: the directory of the index.
      config: which searcher, and the recall it must reach.
      overwrite: whether an index that is out of date is replaced.
      seed: of the sample queries.
      sample_queries: float32 `[queries, dimension]` to measure with.

    Returns:
      The index; the one already there if it is up to date.

    Raises:
      RealmError: if an embedding is not finite, or the measured recall is below `config.minimum_recall`.
    """
    embeddings = Embeddings.open(embeddings_path)
    configuration = {**config_to_dict(config), 'seed': seed}
    inputs = {'embeddings': embeddings.artifact.digest}
    if sample_queries is not None:
        sample_queries = np.ascontiguousarray(sample_queries, np.float32)
        inputs['sample_queries'] = hashlib.sha256(sample_queries.tobytes()).hexdigest()
    if outdated_because(output, 'index', configuration, inputs) is None:
        return open_artifact(output, 'index')
    _require_finite(embeddings)
    if sample_queries is None:
        sample_queries = _noisy_blocks(embeddings.shards, seed)
    with make_artifact(output, 'index', configuration=configuration, inputs=inputs, overwrite=overwrite) as draft:
        searcher = searcher_class(config.searcher).build(embeddings.shards)
        measured = _measure(searcher, ExactSearcher.build(embeddings.shards), sample_queries, config.recall_at)
        if measured.recall < config.minimum_recall:
            raise RealmError(
                f'The {config.searcher} index of {embeddings_path} finds too little: recall@{config.recall_at} is '
                f'{measured.recall:.3f}, and index.minimum_recall is {config.minimum_recall}. '
                'Lower it, or set index.searcher=exact.'
            )
        directory = draft.path / 'searcher'
        directory.mkdir(exist_ok=True)
        searcher.save(directory)
        size = sum(file.stat().length for file in directory.iterdir())
        draft.counts.update(
            blocks=len(searcher), dimension=searcher.dimension, recall=round(measured.recall, 4), bytes=size
        )
    # Beside the artefact's files: what the clock said is no part of it.
    path = epath.Path(output) / MEASUREMENTS
    write_text_whole(path, json.dumps({'median_query_milliseconds': measured.milliseconds}))
    print(
        f'Index: {len(searcher)} blocks of {searcher.dimension} dimensions, {size / 1e6:.1f} MB, '
        f'recall@{config.recall_at} {measured.recall:.3f}, {measured.milliseconds:.2f} ms a query (median).',
        file=sys.stderr,
    )
    return open_artifact(output, 'index')


def open_index(path: epath.PathLike, embeddings: Artifact | None = None) -> Searcher:
    """Opens the searcher of an index artefact.

    Args:
      path: the index artefact.
      embeddings: the embeddings it must have been built from; None for any.

    Raises:
      RealmError: if there is no whole index, or it was built from other embeddings.
    """
    artifact = open_artifact(path, 'index')
    if embeddings is not None:
        artifact.require_input('embeddings', embeddings)
    return searcher_class(artifact.configuration['searcher']).load(artifact.path / 'searcher')


@dataclasses.dataclass(frozen=True)
class _Measured:
    recall: float
    milliseconds: float


def _measure(searcher: Searcher, exact: Searcher, queries: np.ndarray, k: int) -> _Measured:
    # [queries, k]
    expected = exact.search(queries, k)
    found = searcher.search(queries, k)
    # [queries, k]: whether each of the best blocks is among those found
    hits = (expected.block_ids[:, :, None] == found.block_ids[:, None, :]).any(axis=-1) & expected.found
    seconds = []
    for query in queries:
        start = time.perf_counter()
        searcher.search(query[None], k)
        seconds.append(time.perf_counter() - start)
    return _Measured(float(hits.sum() / expected.found.sum()), float(np.median(seconds) * 1000))


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
