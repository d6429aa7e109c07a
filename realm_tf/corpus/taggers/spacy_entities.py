"""Named entities by spaCy."""

import importlib
import importlib.metadata
import importlib.util
import sys

from realm_tf.corpus.readers.folders import files_in
from realm_tf.corpus.spans import QUANTITIES, Tagger, in_bytes, without_overlaps
from realm_tf.corpus.taggers.dates import find_dates
from realm_tf.errors import RealmError
from realm_tf.weights.sources import digest_of_files

# Texts at once. More take more memory, and are no faster.
_BATCH = 32


class SpacyTagger(Tagger):
    """Finds named entities with an installed spaCy pipeline, and dates by their form.

    Of the pipeline only those components run that find entities, and those that these listen to; the others would take
    as long again.

    Args:
      pipeline: the name of the pipeline's package.

    Raises:
      RealmError: if the pipeline is not installed, or finds no entities.
    """

    def __init__(self, pipeline: str):
        require_pipeline(pipeline)
        self._pipeline = importlib.import_module(pipeline).load()
        # The limit is there for parsers; a block is one word of a million characters at worst.
        self._pipeline.max_length = sys.maxsize
        components = _entity_components(self._pipeline)
        if not components:
            raise RealmError(
                f'The spaCy pipeline {pipeline} finds no entities: it has {", ".join(self._pipeline.pipe_names)}.'
            )
        self._pipeline.select_pipes(enable=components)

    @classmethod
    def inputs(cls, pipeline):
        require_pipeline(pipeline)
        package = importlib.util.find_spec(pipeline)
        places = package.submodule_search_locations or [package.origin]
        # What Python compiles of it differs from one machine to the next.
        files = [file for place in places for file in files_in(place) if file.suffix != '.pyc']
        return {'spacy': importlib.metadata.version('spacy'), 'tagger': digest_of_files(files)}

    def tag(self, texts):
        # Outside a memory zone, spaCy keeps every word that it ever met.
        with self._pipeline.memory_zone():
            for text, document in zip(texts, self._pipeline.pipe(texts, batch_size=_BATCH), strict=True):
                entities = [
                    (entity.start_char, entity.end_char, entity.label_)
                    for entity in document.ents
                    if entity.label_ not in QUANTITIES
                ]
                yield without_overlaps([*find_dates(text), *in_bytes(text, entities)])


def require_pipeline(pipeline: str) -> None:
    """Checks that a spaCy pipeline is installed, without loading it.

    Raises:
      RealmError: if it is not.
    """
    if not (_is_installed('spacy') and _is_installed(pipeline)):
        raise RealmError(
            f'The spaCy pipeline {pipeline} is not installed. pip install ".[spacy]" in a checkout, name another one '
            'with spans.spacy_pipeline, or set spans.tagger=dates.'
        )


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # a package around it is missing
        return False


def _entity_components(pipeline) -> list[str]:
    """The components of a pipeline that find entities, and those whose output these take."""
    finding = {name for name in pipeline.pipe_names if 'doc.ents' in pipeline.get_pipe_meta(name).assigns}
    return [
        name
        for name, component in pipeline.pipeline
        if name in finding or finding.intersection(getattr(component, 'listening_components', ()))
    ]
