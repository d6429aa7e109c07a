"""How the pictures of the benchmarks are drawn: letters stay letters, and the same figures give the same file."""

import contextlib
import pathlib
from collections.abc import Iterator

import matplotlib
import matplotlib.figure


@contextlib.contextmanager
def picture(path: str | pathlib.Path, width: float, height: float, **grid) -> Iterator[tuple]:
    """Gives axes to draw on, and writes them as an SVG.

    Args:
      path: the file.
      width: in inches.
      height: in inches.
      **grid: of `Figure.subplots`, which says what is given.
    """
    with matplotlib.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': 'realm'}):
        figure = matplotlib.figure.Figure(figsize=(width, height), layout='constrained')
        yield figure.subplots(**grid)
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format='svg', metadata={'Date': None})
