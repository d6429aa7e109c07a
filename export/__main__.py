"""Writes a QA model as one SavedModel: question text in, answer and evidence out.

python -m export --model finetune/model --corpus corpus --embeddings embeddings --output model
"""

import contextlib
import sys

import click
from etils import epath

from export.errors import for_people
from export.versions import KIND, SERVING, newest_version, next_version
from realm_tf.artifacts import Artifact, file_checksum, make_artifact, open_artifact, outdated_because
from realm_tf.config import config_from_dict
from realm_tf.corpus.questions import read_questions, say_what_was_left_out
from realm_tf.errors import RealmError
from realm_tf.locks import lock

_STAND_IN_QUESTIONS = 8
_LOCK = 'export.lock'


@click.command(context_settings={'show_default': True, 'help_option_names': ['-h', '--help']})
@click.option('--model', required=True, help='The QA model.')
@click.option('--corpus', required=True, help='Its corpus.')
@click.option('--embeddings', required=True, help='Its embeddings of the corpus.')
@click.option('--index', help='An index over the embeddings, for --searcher ivf and scann.')
@click.option(
    '--encoder',
    help='The encoder that made the embeddings, for the signature embed_document; not needed of a model that was made '
    'with finetune.refresh or retriever.shared_towers=false.',
)
@click.option('--output', required=True, help='BASE: the model is written to BASE/<version>/, the next free one.')
@click.option(
    '--searcher',
    type=click.Choice(['exact', 'ivf', 'scann']),
    default='exact',
    help='exact, ivf: core operations, any TensorFlow Serving. scann: a server with the operations of ScaNN.',
)
@click.option(
    '--min-probability',
    default=0.0,
    type=click.FloatRange(0, 1),
    help='An answer that is less probable is not given: there is none then.',
)
@click.option('--questions', help='JSON Lines of questions, to warm the server up with; else made of titles.')
@click.option(
    '--update',
    is_flag=True,
    help='The corpus was edited since the model was trained, and embedded again by the encoder of the model.',
)
def export(model, corpus, embeddings, index, encoder, output, searcher, min_probability, questions, update):
    """Write a QA model as one SavedModel: question in, answer and evidence out.

    Beside it, in BASE/serving/, goes what TensorFlow Serving is started with.
    """
    if (index is None) != (searcher == 'exact'):
        raise RealmError('--searcher ivf and scann need --index; exact has none, and searches the embeddings.')
    model = open_artifact(model, 'model')
    corpus = open_artifact(corpus, 'corpus')
    embeddings = open_artifact(embeddings, 'embeddings')
    if update:
        _require_same_encoder(model, embeddings.require_input('corpus', corpus))
    else:
        model.require_input('corpus', corpus).require_input('embeddings', embeddings)
    precision = model.configuration['precision']
    configuration = {'searcher': searcher, 'min_probability': min_probability, 'precision': precision}
    inputs = {'model': model.digest, 'corpus': corpus.digest, 'embeddings': embeddings.digest}
    if index:
        inputs['index'] = _index_for(searcher, index, embeddings).digest
    if encoder:
        encoder = open_artifact(encoder, 'encoder')
        inputs['encoder'] = embeddings.require_input('encoder', encoder).inputs['encoder']
    read = read_questions(questions) if questions else None
    if read:
        inputs['questions'] = file_checksum(questions)
    base = epath.Path(output)
    newest = newest_version(base)
    current = base / str(newest)
    if newest and outdated_because(current, KIND, configuration, inputs) is None:
        if not (base / SERVING).exists():
            _write_serving_files(base, current, model)
        click.echo(f'{current} is up to date.')
        return

    # TensorFlow is imported only where there is something to write.
    from export.saved_model import QuestionAnswerer, save
    from export.search import ExactGraphSearcher, IvfGraphSearcher, ScannGraphSearcher
    from export.serving_files import write_warm_up
    from realm_tf.corpus.block_store import BlockStore
    from realm_tf.search.embeddings import Embeddings
    from realm_tf.search.index import open_index
    from realm_tf.weights.encoder_artifact import Encoder
    from realm_tf.weights.model_artifact import Model

    blocks = BlockStore(corpus)
    opened = Model.open(model.path)
    blocks.require_vocabulary(opened.vocabulary, model.path)
    settings = opened.config.finetune
    if len(blocks) < settings.reader_blocks:
        raise RealmError(
            f'{corpus.path} has {len(blocks)} blocks, fewer than are read (finetune.reader_blocks = '
            f'{settings.reader_blocks}).'
        )
    base.mkdir(parents=True, exist_ok=True)
    # Another export would take the same number.
    with lock(base / _LOCK) or contextlib.nullcontext():
        path = base / str(next_version(base))
        # A server looks for numbers: it is not to see one before all of it is there.
        unfinished = path.with_name(f'.{path.name}')
        with make_artifact(unfinished, KIND, configuration=configuration, inputs=inputs, overwrite=True) as draft:
            if searcher == 'exact':
                graph_searcher = ExactGraphSearcher(Embeddings.open(embeddings.path).as_array())
            elif searcher == 'ivf':
                graph_searcher = IvfGraphSearcher(open_index(index, embeddings))
            else:
                graph_searcher = ScannGraphSearcher(open_index(index, embeddings), Embeddings.open(embeddings.path))
            retriever = Encoder.open(encoder.path).retriever() if encoder else None
            save(QuestionAnswerer(opened, blocks, graph_searcher, min_probability, retriever), str(draft.path))
            if read:
                say_what_was_left_out(questions, read)
            write_warm_up(draft.path, [one.text for one in read.questions] if read else _of_titles(blocks))
            draft.counts['blocks'] = len(blocks)
        # Before the version, which says that all was done.
        memory, size = _write_serving_files(base, unfinished, model)
        unfinished.rename(path)
    click.echo(
        f'Wrote {path}: {len(blocks):,} blocks, {size / 1e6:.0f} MB; a server of it needs {memory / 2**30:.2f} GiB.'
    )


def _require_same_encoder(model: Artifact, embeddings: Artifact) -> None:
    """Checks that the embeddings were made by the encoder whose embeddings the model was trained with."""
    encoder = model.inputs.get('encoder')
    if encoder is None or embeddings.inputs.get('encoder') != encoder:
        raise RealmError(
            f'The embeddings {embeddings.path} are not by the encoder that the model {model.path} was trained with. '
            'Embed the edited corpus with that encoder.'
        )


def _index_for(searcher: str, path: str, embeddings: Artifact) -> Artifact:
    index = open_artifact(path, 'index').require_input('embeddings', embeddings)
    if index.configuration['searcher'] != searcher:
        raise RealmError(
            f'The index {path} is for the searcher {index.configuration["searcher"]}. '
            f'Build one with: realm index --set index.searcher={searcher}'
        )
    return index


def _write_serving_files(base: epath.Path, version: epath.Path, model: Artifact) -> tuple[int, int]:
    """Writes `BASE/serving/` for a version; returns the memory that its server needs, and its own size, in bytes."""
    from export.serving_files import write_serving_files

    exported = open_artifact(version, KIND)
    size = sum(file['bytes'] for file in exported.files.values())
    config = config_from_dict(model.configuration, source=str(model.path))
    return write_serving_files(base, model_bytes=size, num_blocks=exported.counts['blocks'], config=config), size


def _of_titles(blocks) -> list[str]:
    """Questions made of titles of the corpus."""
    step = max(1, len(blocks) // _STAND_IN_QUESTIONS)
    return [f'What is {title}?' for title in blocks.titles(list(range(0, len(blocks), step)))]


if __name__ == '__main__':
    sys.exit(for_people(export))
