"""A seed that gives the same numbers each time."""

import keras


class DrawnSeed(keras.random.SeedGenerator):
    """A seed that has been drawn already, for `keras.random`: whoever asks, and however often, is given it again.

    A layer that is computed again in the backward pass must drop the same units as before; a `SeedGenerator` would give
    it the next seed.

    Args:
      seed: what a `SeedGenerator` gave.
    """

    def __init__(self, seed):
        # Without the parent's constructor, which makes a variable of the state: there is none.
        self._seed = seed

    def next(self, ordered=True):
        return self._seed
