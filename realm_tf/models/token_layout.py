"""How the tokens of a batch of texts lie one after another: all of them, or those that are no padding."""

from keras import ops


class AllTokens:
    """Every position of a batch, padding too. The shapes are those of the batch, as compilers for accelerators need.

    Args:
      token_ids: int32 `[batch, length]`.
    """

    def __init__(self, token_ids):
        self._shape = ops.shape(token_ids)

    def flat(self, values):
        """`[batch, length, …]` to `[tokens, …]`."""
        return ops.reshape(values, (-1, *values.shape[2:]))

    def padded(self, values):
        """`[tokens, …]` to `[batch, length, …]`."""
        return ops.reshape(values, (*self._shape, *values.shape[1:]))


class TokensWithoutPadding(AllTokens):
    """The positions of a batch that are no padding. How many they are is known when the batch is.

    The first position of a text is always one of them. In what is padded again, padding repeats the token before it.

    Args:
      token_ids: int32 `[batch, length]`, padded with 0.
    """

    def __init__(self, token_ids):
        super().__init__(token_ids)
        is_first = ops.equal(ops.arange(self._shape[1]), 0)
        # [batch * length]
        is_token = ops.reshape(ops.logical_or(ops.not_equal(token_ids, 0), is_first), (-1,))
        # [tokens]
        (self._positions,) = ops.nonzero(is_token)
        # [batch * length]
        self._tokens = ops.cumsum(ops.cast(is_token, 'int32')) - 1

    def flat(self, values):
        return ops.take(super().flat(values), self._positions, axis=0)

    def padded(self, values):
        return super().padded(ops.take(values, self._tokens, axis=0))
