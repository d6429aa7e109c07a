"""What ScaNN keeps in files, made part by part: one tree and one codebook, and the codes of blocks shard by shard.

ScaNN by itself builds from all vectors at once, in memory for several copies of them. But where a directory of its
files lacks some, it makes these from those that are there: given vectors, a tree and a codebook, it finds the leaves
and the codes of the vectors. So each piece of the blocks is encoded by itself, by the same tree and codebook, and what
comes of them is put together.
"""

import collections
import concurrent.futures
import dataclasses
import multiprocessing
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np

from realm_tf.environment import import_scann
from realm_tf.search.tree import sample_rows

_TRAINING_SAMPLE_SIZE = 100_000
_ASSET_TYPES = {
    'serialized_partitioner.pb': 'PARTITIONER',
    'ah_codebook.pb': 'AH_CENTERS',
    'datapoint_to_token.npy': 'TOKENIZATION_NPY',
    'hashed_dataset.npy': 'AH_DATASET_NPY',
    'int8_dataset.npy': 'INT8_DATASET_NPY',
    'int8_multipliers.npy': 'INT8_MULTIPLIERS_NPY',
    'dp_norms.npy': 'INT8_NORMS_NPY',
    'dataset.npy': 'DATASET_NPY',
}


@dataclasses.dataclass(frozen=True)
class Coder:
    """What says how vectors are encoded.

    Attributes:
      partitioner: ScaNN's `SerializedPartitioner`: the centroids of the leaves.
      codebook: ScaNN's `CentersForAllSubspaces`: the centres of each pair of dimensions.
    """

    partitioner: bytes
    codebook: bytes

    @classmethod
    def train(cls, shards: Sequence[np.ndarray], centroids: np.ndarray) -> 'Coder':
        """Trains a codebook for the differences of vectors and their centroids, on a sample."""
        partitioner = _partitioner(centroids)
        with tempfile.TemporaryDirectory() as scratch:
            path = pathlib.Path(scratch)
            (path / 'serialized_partitioner.pb').write_bytes(partitioner)
            np.save(path / 'dataset.npy', sample_rows(shards, _TRAINING_SAMPLE_SIZE))
            _serialize_what_is_made_from(path, centroids.shape[1])
            return cls(partitioner, (path / 'made' / 'ah_codebook.pb').read_bytes())

    @classmethod
    def read(cls, path: pathlib.Path) -> 'Coder':
        """The coder of a searcher that ScaNN wrote."""
        return cls((path / 'serialized_partitioner.pb').read_bytes(), (path / 'ah_codebook.pb').read_bytes())

    def encode(self, vectors: np.ndarray) -> 'Codes':
        """Encodes vectors, float32 `[n, dimension]`."""
        with tempfile.TemporaryDirectory() as scratch:
            path = pathlib.Path(scratch)
            (path / 'serialized_partitioner.pb').write_bytes(self.partitioner)
            (path / 'ah_codebook.pb').write_bytes(self.codebook)
            np.save(path / 'dataset.npy', vectors)
            _serialize_what_is_made_from(path, vectors.shape[1])
            return Codes.read(path / 'made')

    def encode_pieces(self, pieces: Iterable[np.ndarray], workers: int) -> Iterator['Codes']:
        """Encodes pieces, in order, several at the same time: ScaNN takes one core for each."""
        if workers <= 1:
            yield from map(self.encode, pieces)
            return
        # Of a process that has threads, no fork.
        with concurrent.futures.ProcessPoolExecutor(workers, multiprocessing.get_context('spawn')) as pool:
            encoding: collections.deque[concurrent.futures.Future] = collections.deque()
            for piece in pieces:
                encoding.append(pool.submit(self.encode, piece))
                if len(encoding) > workers:
                    yield encoding.popleft().result()
            while encoding:
                yield encoding.popleft().result()


@dataclasses.dataclass(frozen=True)
class Codes:
    """Blocks as a coder encodes them.

    Attributes:
      leaves: int32 `[blocks]`.
      hashes: a number below 16 for each pair of dimensions, uint8 `[blocks, pairs]`.
    """

    leaves: np.ndarray
    hashes: np.ndarray

    @classmethod
    def read(cls, path: pathlib.Path, mmap_mode: Literal['r'] | None = None) -> 'Codes':
        """The codes of a searcher that ScaNN wrote; `r` maps them to memory."""
        return cls(*(np.load(path / name, mmap_mode) for name in ('datapoint_to_token.npy', 'hashed_dataset.npy')))


def tensors_of_assets(path: pathlib.Path) -> list[np.ndarray]:
    """The files of a searcher as ScaNN's TensorFlow operations take them, in the order of its `ScannState`.

    Of a file that is not there, a scalar: empty text or 0.

    Args:
      path: the directory of a searcher that ScaNN wrote.
    """

    def text(name: str) -> np.ndarray:
        file = path / name
        # As objects, since numpy's own texts lose zeros at their end.
        return np.array([file.read_bytes()], object) if file.exists() else np.array(b'', object)

    def array(name: str, dtype: type) -> np.ndarray:
        file = path / name
        return np.load(file) if file.exists() else np.zeros((), dtype)

    return [
        text('scann_config.pb'),
        text('serialized_partitioner.pb'),
        array('datapoint_to_token.npy', np.int32),
        text('ah_codebook.pb'),
        array('hashed_dataset.npy', np.uint8),
        array('int8_dataset.npy', np.int8),
        array('int8_multipliers.npy', np.float32),
        array('dp_norms.npy', np.float32),
        array('dataset.npy', np.float32),
    ]


def write_assets(path: pathlib.Path, config: bytes) -> None:
    """Writes what makes files of ScaNN in a directory a searcher that it can load.

    Args:
      path: the directory.
      config: a serialized `ScannConfig`.
    """
    (path / 'scann_config.pb').write_bytes(config)
    assets = [
        f'assets {{\n  asset_type: {kind}\n  asset_path: "{name}"\n}}\n'
        for name, kind in _ASSET_TYPES.items()
        if (path / name).exists()
    ]
    (path / 'scann_assets.pbtxt').write_text(''.join(assets))


def serialized_config(dimension: int, reordering: str | None) -> bytes:
    """ScaNN's settings, a serialized `ScannConfig`.

    Args:
      dimension: size of a vector.
      reordering: what blocks are scored again with, `float32` or `int8`; None if they are not.
    """
    scann = import_scann()
    from google.protobuf import text_format
    from scann.proto import scann_pb2

    # The builder wants vectors for their size alone. How many leaves there are is in the tree, and how far a search
    # looks is said with every search.
    builder = scann.scann_ops_pybind.builder(np.empty((1, dimension), np.float32), 10, 'dot_product').tree(1, 1)
    builder = builder.score_ah(2, anisotropic_quantization_threshold=0.2, training_sample_size=_TRAINING_SAMPLE_SIZE)
    if reordering is not None:
        builder = builder.reorder(100, quantize=reordering == 'int8')
    return text_format.Parse(builder.create_config(), scann_pb2.ScannConfig()).SerializeToString(deterministic=True)


def _partitioner(centroids: np.ndarray) -> bytes:
    from scann.partitioning import partitioner_pb2

    partitioner = partitioner_pb2.SerializedPartitioner(n_tokens=len(centroids))
    tree = partitioner.kmeans.kmeans_tree
    tree.root.leaf_id = -1
    tree.root.learned_spilling_threshold = float('nan')
    for leaf, centroid in enumerate(centroids):
        tree.root.centers.add().dimension.extend(centroid.tolist())
        tree.root.children.add(leaf_id=leaf, learned_spilling_threshold=float('nan'))
    return partitioner.SerializeToString(deterministic=True)


def _serialize_what_is_made_from(path: pathlib.Path, dimension: int) -> None:
    """Has ScaNN make what is missing of a searcher in `path`, and write it into `path/made`."""
    write_assets(path, serialized_config(dimension, reordering=None))
    made = path / 'made'
    made.mkdir()
    searcher = import_scann().scann_ops_pybind.load_searcher(str(path))
    searcher.serialize(str(made), relative_path=True)
