"""Runs benchmarks, and writes what they print into the documentation.

    python -m benchmarks                            those with a peer, corpus and growth, on the World Factbook
    python -m benchmarks --documents FILE           the same on other documents
    python -m benchmarks encoder --rounds 5         one of them, with its options
    python -m benchmarks --list                     which there are

Every figure is printed by a module of this package, which can be run by itself; what it prints replaces what it printed
the time before, between two comments in the documentation, with the command and the date, and the picture if it drew
one. What people wrote around the comments stays.
"""

import datetime
import itertools
import os
import pathlib
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence

import click

import benchmarks
from benchmarks.everything import Inputs

DOCUMENTATION = pathlib.Path('docs/benchmarks.md')


# What stands behind the name of a benchmark is its own.
@click.command(context_settings={'allow_interspersed_args': False})
@click.option('--docs', default=str(DOCUMENTATION), show_default=True, type=click.Path(path_type=pathlib.Path))
@click.option('--list', 'listed', is_flag=True, help='Say which benchmarks there are.')
@click.option('--documents', help='JSON Lines with title and text, for all benchmarks; unset: the World Factbook.')
@click.option('--questions', help='JSON Lines of questions, for all benchmarks; unset: those of the World Factbook.')
@click.option('--dump', help='A MediaWiki export compressed by bzip2; unset: what reads one is left out.')
@click.option(
    '--workdir',
    default='build/benchmarks',
    show_default=True,
    type=click.Path(path_type=pathlib.Path),
    help='What all benchmarks are run on is made here, once.',
)
@click.argument('name', required=False)
@click.argument('options', nargs=-1, type=click.UNPROCESSED)
def main(docs, listed, documents, questions, dump, workdir, name, options):
    """Runs the benchmark NAME with its OPTIONS, or without a name those with a peer, `corpus` and `growth`.

    One that fails does not keep the others from being run.
    """
    known = runnable()
    if listed:
        return click.echo('\n'.join(f'{module:22} {what}' for module, what in known.items()))
    if name is None:
        inputs = Inputs(workdir, documents, questions, dump)
        inputs.make()
        failed = []
        for module, of_module in inputs.options(docs).items():
            # They take hours: the others are worth having.
            try:
                run(module, tuple(map(str, of_module)), docs)
            except click.ClickException as error:
                error.show()
                failed.append(module)
        if failed:
            raise click.ClickException(f'Not measured: {", ".join(failed)}; what they said is above.')
    elif documents or questions or dump:
        raise click.ClickException(f'--documents, --questions and --dump are for all benchmarks; {name} has its own.')
    elif name in known:
        run(name, options, docs)
    else:
        raise click.ClickException(f'There is no benchmark {name}. There are {", ".join(known)}.')


def run(name: str, options: tuple[str, ...], docs: pathlib.Path) -> None:
    """Runs a benchmark, and writes what it prints into the documentation."""
    command = ['python', '-m', f'benchmarks.{name}', *options]
    click.echo(f'$ {shlex.join(command)}', err=True)
    printed = printed_by([sys.executable, *command[1:]])
    # Asked for help, it says nothing that belongs there.
    if '--help' not in options:
        # What lies in this directory is named from here.
        shown = shlex.join(command).replace(f'{pathlib.Path.cwd()}/', '')
        drawn = ''.join(f'\n\n![{name}]({os.path.relpath(path, docs.parent)})' for path in pictures_in(options))
        docs.write_text(with_section(docs.read_text(), name, shown, printed + drawn))


def pictures_in(options: Sequence[str]) -> list[str]:
    """The files that a benchmark with these options draws."""
    return [path for option, path in itertools.pairwise(options) if option == '--picture']


def runnable() -> dict[str, str]:
    """The modules of this package that are programs for people, and the first sentence of what each says of itself."""
    found = {}
    for module in pkgutil.iter_modules(benchmarks.__path__):
        path = pathlib.Path(benchmarks.__path__[0]) / f'{module.name}.py'
        text = path.read_text() if path.exists() else ''
        if '@click' in text and not module.name.startswith('__'):
            found[module.name] = re.match(r'"""(.*?)(?:\n|""")', text)[1]
    return found


def printed_by(command: list[str]) -> str:
    """Runs a command, shows what it prints as it does, and returns it."""
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            click.echo(line, nl=False)
            lines.append(line)
    if process.returncode:
        raise click.ClickException(f'It ended with status {process.returncode}; the documentation is as it was.')
    return ''.join(lines).strip()


def with_section(text: str, name: str, command: str, printed: str) -> str:
    """The documentation with what a benchmark printed in its place, or at the end."""
    begin, end = f'<!-- printed by {name} -->', f'<!-- end of {name} -->'
    section = f'{begin}\n`{command}`, {datetime.date.today():%d %B %Y}:\n\n{printed}\n{end}'
    if begin not in text:
        return f'{text.rstrip()}\n\n## {name}\n\n{section}\n'
    head, _, rest = text.partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        raise click.ClickException(f'{begin} has no {end} after it: mend the documentation by hand.')
    return f'{head}{section}{tail}'


if __name__ == '__main__':
    main()
