"""The corpora that the authors of ORQA and REALM released, which are cut into blocks already: each is a document."""

from collections.abc import Iterator
from typing import NamedTuple

from etils import epath

from realm_tf.corpus.documents import Document, Dropped, Rejected
from realm_tf.corpus.readers.field_reader import FieldReader, Fields, decoded
from realm_tf.corpus.readers.tf_records import TFRecord, read_tf_records
from realm_tf.errors import RealmError

BLOCKS, TITLES, EXAMPLES = 'blocks', 'titles', 'examples'


class TitledBlock(NamedTuple):
    """A block, and the title of its page."""

    title: TFRecord
    text: TFRecord


def _titles_of(path: epath.Path) -> epath.Path:
    if BLOCKS not in path.name:
        raise RealmError(f'{path} is not named like {BLOCKS}.tfr, so that its {TITLES}.tfr cannot be found.')
    return path.with_name(path.name.replace(BLOCKS, TITLES))


class BlocksReader(FieldReader):
    """Reads `blocks.tfr`, with `titles.tfr` beside it. A record is a block.

    The id of a block is its row in the authors' embeddings, counted from 0. `examples.tfr` holds the same blocks as
    wordpieces, and is not read: they are made again from the text.
    """

    holds_blocks = True

    def identity(self, path: epath.PathLike) -> list[str]:
        titles = _titles_of(epath.Path(path))
        # Without them, reading says so.
        return [*super().identity(path), *(super().identity(titles) if titles.exists() else [])]

    def records(self, path: epath.PathLike) -> Iterator[TitledBlock]:
        path = epath.Path(path)
        titles_path = _titles_of(path)
        titles, texts = read_tf_records(titles_path), read_tf_records(path)
        try:
            for title, text in zip(titles, texts, strict=True):
                yield TitledBlock(title, text)
        except ValueError as error:
            raise RealmError(
                f'{titles_path} and {path} hold different numbers of records, and the titles cannot be told. '
                'Get both files again.'
            ) from error

    def fields(self, record: TitledBlock) -> Fields:
        return Fields('', decoded(record.title.checked()), decoded(record.text.checked()))

    def raw(self, record: TitledBlock) -> bytes:
        return record.title.data + b'\n' + record.text.data

    def document(self, record: TitledBlock, file: str, position: int) -> Document | Rejected | Dropped:
        document = super().document(record, file, position)
        return document._replace(id=str(position - 1)) if isinstance(document, Document) else document


class RetrievalCorpusReader(FieldReader):
    """Reads shards of REALM's retrieval corpus: `tf.train.Example`s with `title` and `body`. A record is a block.

    Args:
      folder: the one that holds all files, if there is one.
    """

    holds_blocks = True

    def __init__(self, folder: epath.PathLike | None = None):
        super().__init__(folder, has_ids=False)

    def records(self, path: epath.PathLike) -> Iterator[TFRecord]:
        return read_tf_records(path)

    def fields(self, record: TFRecord) -> Fields:
        features = _features(record.checked())
        values = {}
        for name in ('title', 'body'):
            value = features[name].bytes_list.value if name in features else ()
            if len(value) != 1:
                raise ValueError(f'a tf.train.Example without {name!r}')
            values[name] = decoded(value[0])
        return Fields('', values['title'], values['body'])

    def raw(self, record: TFRecord) -> bytes:
        return record.data


def _features(data: bytes):
    # Here, because it brings all of TensorFlow, which a worker that makes documents needs anyway.
    from google.protobuf.message import DecodeError
    from tensorflow.core.example.example_pb2 import Example

    try:
        return Example.FromString(data).features.feature
    except DecodeError:
        raise ValueError('not a tf.train.Example') from None
