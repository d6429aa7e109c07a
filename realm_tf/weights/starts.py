"""What a network starts from: a part of the sources, the BERT of one, or nothing."""

from collections.abc import Iterable, Sequence

import keras
import numpy as np

from realm_tf.weights.parameters import assign_parameters, named_parameters
from realm_tf.weights.pretrained import BERT, Pretrained


def start(network: keras.layers.Layer, part: str, sources: Sequence[Pretrained]) -> str:
    """Gives a fresh network the parameters of a part; without that, those of the BERT that it has a place for.

    Args:
      network: a tower, a knowledge-augmented encoder or a reader.
      part: the part that it is.
      sources: what there is; no part is in two of them.

    Returns:
      Where its parameters come from, for people.

    Raises:
      RealmError: if a parameter is missing, unexpected or misshapen.
    """
    by_part = {part: source for source in sources for part in source.parts}
    if part in by_part:
        source = by_part[part]
        assign_parameters(network, source.parts[part], source=f'{source.source} ({part})')
        return f'from {source.source}'
    if BERT not in by_part:
        return 'fresh'
    source = by_part[BERT]
    fresh = {name: np.asarray(variable) for name, variable in named_parameters(network).items()}
    pieces = _pieces(fresh)
    taken = {name: array for name, array in source.parts[BERT].items() if _piece(name) in pieces}
    left = [piece for piece in pieces if piece not in _pieces(taken)]
    rest = {name: array for name, array in fresh.items() if _piece(name) in left}
    assign_parameters(network, taken | rest, source=source.source)
    return f'{", ".join(_pieces(taken))} from {source.source}' + (f'; {", ".join(left)} fresh' if left else '')


def _piece(name: str) -> str:
    return name.partition('/')[0]


def _pieces(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(map(_piece, names)))
