"""Writes a QA model as one SavedModel: question text in, answer and evidence out.

python -m export --model finetune/model --corpus corpus --embeddings embeddings --output model
"""

import sys

import click
from etils import epath

from export.errors import for_people
from export.versions import KIND, newest_version
from realm_tf.artifacts import make_artifact, open_artifact, outdated_because
from realm_tf.errors import RealmError


@click.command(context_settings={'show_default': True, 'help_option_names': ['-h', '--help']})
@click.option('--model', required=True, help='The QA model.')
@click.option('--corpus', required=True, help='Its corpus.')
@click.option('--embeddings', required=True, help='Its embeddings of the corpus.')
@click.option('--output', required=True, help='BASE: the model is written to BASE/<version>/, the next free one.')
@click.option(
    '--searcher',
    type=click.Choice(['exact', 'ivf', 'scann']),
    default='exact',
    help='exact; ivf, approximate, with core operations as exact is; scann: a server with the operations of ScaNN.',
)
def export(model, corpus, embeddings, output, searcher):
    """Write a QA model as one SavedModel: question in, answer and evidence out."""
    model = open_artifact(model, 'model')
    corpus = open_artifact(corpus, 'corpus')
    embeddings = open_artifact(embeddings, 'embeddings')
    model.require_input('corpus', corpus).require_input('embeddings', embeddings)
    configuration = {'searcher': searcher}
    inputs = {'model': model.digest, 'corpus': corpus.digest, 'embeddings': embeddings.digest}
    newest = newest_version(output)
    current = epath.Path(output) / str(newest)
    if newest and outdated_because(current, KIND, configuration, inputs) is None:
        click.echo(f'{current} is up to date.')
        return

    # TensorFlow is imported only where there is something to write.
    from export.saved_model import QuestionAnswerer, save
    from export.search import make_searcher
    from realm_tf.corpus.block_store import BlockStore
    from realm_tf.search.embeddings import Embeddings
    from realm_tf.weights.model_artifact import Model

    blocks = BlockStore(corpus)
    settings = Model.open(model.path).config.finetune
    if len(blocks) < settings.reader_blocks:
        raise RealmError(
            f'{corpus.path} has {len(blocks)} blocks, fewer than are read (finetune.reader_blocks = '
            f'{settings.reader_blocks}).'
        )
    path = epath.Path(output) / str(newest + 1)
    with make_artifact(path, KIND, configuration=configuration, inputs=inputs) as draft:
        graph_searcher = make_searcher(searcher, Embeddings.open(embeddings.path).as_array())
        save(QuestionAnswerer(Model.open(model.path), blocks, graph_searcher), str(draft.path))
        draft.counts['blocks'] = len(blocks)
    size = sum(file['bytes'] for file in open_artifact(path, KIND).files.values())
    click.echo(f'Wrote {path}: {len(blocks):,} blocks, {size / 1e6:.0f} MB.')


if __name__ == '__main__':
    sys.exit(for_people(export))
