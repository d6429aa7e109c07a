"""Asks an exported model.

python -m export.ask --model model "What is the capital of Uruguay?"
"""

import contextlib
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

import click
from etils import epath

from export.answers import Answer, answers_of
from export.errors import for_people
from export.versions import KIND, version_of
from realm_tf.artifacts import open_artifact
from realm_tf.environment import assume_frozen_weights
from realm_tf.errors import RealmError


class Answerer:
    """An exported model, loaded.

    Args:
      base: the directory of the export, or one version of it.

    Raises:
      RealmError: if there is no export.
    """

    def __init__(self, base: epath.PathLike):
        artifact = open_artifact(version_of(base), KIND)

        import tensorflow as tf
        import tensorflow_text  # noqa: F401 — its operations are in the graph

        if artifact.configuration['searcher'] == 'scann':
            from realm_tf.environment import import_scann

            import_scann()
        self._constant = tf.constant
        # The loader tracks what it loaded; the function alone would lose its variables.
        self._model = tf.saved_model.load(str(artifact.path))

    def ask(self, questions: Sequence[str]) -> list[list[Answer]]:
        """Answers questions: for each, the most probable ones, best first; none where there is none."""
        found = self._model.signatures['serving_default'](question=self._constant(list(questions)))
        return answers_of({name: values.numpy().tolist() for name, values in found.items()})


@click.command(context_settings={'show_default': True, 'help_option_names': ['-h', '--help']})
@click.option('--model', required=True, help='An export: BASE, or BASE/<version>.')
@click.option('--top', default=1, type=click.IntRange(1), help='Answers shown for a question.')
@click.argument('questions', nargs=-1)
def ask(model, top, questions):
    """Ask an exported model. Without a question, reads them from the terminal, one a line."""
    for question in questions:
        if not question.strip():
            raise RealmError('The question is empty.')
    assume_frozen_weights(open_artifact(version_of(model), KIND).configuration.get('precision'))
    answerer = Answerer(model)
    for number, question in enumerate(questions or _typed()):
        if number:
            click.echo()
        if questions:
            click.echo(question)
        answers = answerer.ask([question])[0][:top]
        for answer in answers:
            show(answer)
        if not answers:
            click.echo('  There is no answer to this in the corpus.')


def show(answer: Answer) -> None:
    """Prints an answer with its evidence, as wide as the terminal."""
    is_terminal = sys.stdout.isatty()
    width = min(100, shutil.get_terminal_size().columns)
    # Marks of one character, so that lines are broken where the reader sees them.
    passage = ' '.join(answer.marked('\x01', '\x02').split())
    lines = textwrap.fill(passage, width - 4, initial_indent='    ', subsequent_indent='    ')
    before, after = ('\x1b[1;4m', '\x1b[0m') if is_terminal else ('**', '**')
    # Whatever white space the passage has in it.
    text = ' '.join(answer.answer.split())
    click.echo(f'  {click.style(text, bold=True) if is_terminal else text}')
    click.echo(f'  probability {answer.probability:.2f}, score {answer.score:.2f}, from “{answer.title}”')
    click.echo(lines.replace('\x01', before).replace('\x02', after))


def _typed() -> Iterator[str]:
    """Questions from the terminal, or from a pipe, until its end."""
    if sys.stdin.isatty():
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 — line editing and history
        click.echo('Ask a question; Ctrl-D ends.')
    while True:
        try:
            question = input('> ' if sys.stdin.isatty() else '')
        except (EOFError, KeyboardInterrupt):
            return
        if question.strip():
            yield question


if __name__ == '__main__':
    sys.exit(for_people(ask))
