"""What the documentation says of how fast ours is beside peers, in one picture.

    python -m benchmarks.ratios --docs docs/benchmarks.md --picture docs/benchmarks/ratios.svg

Of every table with a column of `times as fast as` some peer, each row is a bar, with its spread where one is given. A
row is named by its first columns, those before the first in seconds or a second. Prints how many there are.
"""

import itertools
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import click
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from benchmarks.pictures import picture

_SPEED = 'times as fast as'
_OF_TIME = re.compile(r'\bs\b')
_RATIO = re.compile(r'(?P<median>[\d.]+)( \((?P<lowest>[\d.]+)–(?P<highest>[\d.]+)\))?')
_TICKS = (0.25, 0.5, 1, 2, 3, 4, 5, 10, 20)
_INCHES_A_BAR = 0.22


class Ratio(NamedTuple):
    """How many times as fast as the peer ours is."""

    name: str
    median: float
    lowest: float
    highest: float


@click.command()
@click.option('--docs', required=True, type=click.Path(exists=True, path_type=pathlib.Path), help='The documentation.')
@click.option('--picture', 'path', required=True, type=click.Path(path_type=pathlib.Path), help='An SVG to draw.')
def main(docs, path):
    """Draws the ratios of all tables."""
    tables = dict(ratios_by_table(docs.read_text()))
    if not tables:
        raise click.ClickException(f'{docs}: no table has a column “{_SPEED} …”.')
    draw(tables, path)
    print(f'{sum(map(len, tables.values()))} comparisons of {len(tables)} tables; right of the line, ours is faster.')


def ratios_by_table(text: str) -> Iterator[tuple[str, list[Ratio]]]:
    """The ratios of each table of a Markdown text that has some.

    Args:
      text: of it.

    Yields:
      A pair of the heading that the table stands under, with a number from the second on, and the ratios of its rows;
      what could not be measured is left out.
    """
    heading, of_heading = '', 0
    for in_table, lines in itertools.groupby(text.splitlines(), lambda line: line.startswith('|')):
        lines = list(lines)
        if not in_table:
            for line in lines:
                if line.startswith('#'):
                    heading, of_heading = line.lstrip('# '), 0
            continue
        header, _, *rows = map(_cells, lines)
        if ratios := list(_ratios(header, rows)):
            of_heading += 1
            yield heading if of_heading == 1 else f'{heading} ({of_heading})', ratios


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip('|').split('|')]


def _ratios(header: list[str], rows: list[list[str]]) -> Iterator[Ratio]:
    column = next((place for place, name in enumerate(header) if name.startswith(_SPEED)), None)
    if column is None:
        return
    names = header[: next(place for place, name in enumerate(header) if _OF_TIME.search(name))]
    for row in rows:
        if found := _RATIO.match(row[column]):
            median, lowest, highest = (float(found[key] or found['median']) for key in ('median', 'lowest', 'highest'))
            yield Ratio(', '.join(map(_named, names, row)), median, lowest, highest)


def _named(name: str, cell: str) -> str:
    return f'{name}: {cell}' if cell[:1].isdigit() else cell


def draw(tables: dict[str, list[Ratio]], path: pathlib.Path) -> None:
    """Draws a bar for each ratio, on a logarithmic scale."""
    # A heading takes the room of two bars.
    height = _INCHES_A_BAR * sum(len(ratios) + 2 for ratios in tables.values())
    grid = {'nrows': len(tables), 'sharex': True, 'squeeze': False}
    with picture(path, 8, height, height_ratios=list(map(len, tables.values())), **grid) as axes:
        for axis, (heading, ratios) in zip(axes[:, 0], tables.items(), strict=True):
            names, medians, lowest, highest = zip(*ratios, strict=True)
            spread = [[m - low for m, low in zip(medians, lowest, strict=True)]]
            spread += [[high - m for m, high in zip(medians, highest, strict=True)]]
            places = range(len(names))
            # From 1, where both are as fast.
            axis.barh(places, [median - 1 for median in medians], left=1, xerr=spread, height=0.6)
            axis.set(xscale='log', yticks=places, yticklabels=names)
            axis.set_title(heading, loc='left', fontsize='medium')
            axis.axvline(1, color='black', linewidth=1)
            axis.invert_yaxis()
            axis.xaxis.set(major_locator=FixedLocator(_TICKS), minor_locator=NullLocator())
            axis.xaxis.set_major_formatter(ScalarFormatter())
            axis.grid(axis='x', alpha=0.3)
        axis.set_xlabel('times as fast as the peer')


if __name__ == '__main__':
    main()
