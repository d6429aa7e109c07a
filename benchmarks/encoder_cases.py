"""The encoders that are measured. Needs the standard library alone: peers use it too."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Case:
    """An encoder, and the shape of the batch that it is given."""

    num_layers: int
    hidden_size: int
    num_heads: int
    intermediate_size: int
    activation: str
    batch: int
    length: int

    @property
    def gigaflops(self) -> float:
        """Floating-point operations of a forward pass, in 10⁹: a multiplication and an addition are two."""
        dense = 4 * self.hidden_size**2 + 2 * self.hidden_size * self.intermediate_size
        attention = 2 * self.length * self.hidden_size
        return 2 * self.num_layers * (dense + attention) * self.batch * self.length / 1e9


CASES = {
    'BERT-base': Case(12, 768, 12, 3072, 'gelu_tanh', batch=8, length=288),
    'MiniLM': Case(6, 384, 12, 1536, 'gelu', batch=32, length=256),
}
PRECISIONS = ('float32', 'bfloat16')
