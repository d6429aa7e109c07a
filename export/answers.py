"""Answers with their evidence, as an export gives them."""

import dataclasses
from collections.abc import Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer with its evidence.

    Attributes:
      answer: the words of the passage.
      probability: of all spans of the passages read that are this answer, in whatever spelling.
      score: the logit of the best of them, of which the rest is said.
      title: the title of the passage.
      text: the passage.
      start, limit: where the answer stands in the passage, in bytes.
    """

    answer: str
    probability: float
    score: float
    title: str
    text: str
    start: int
    limit: int

    @property
    def parts(self) -> tuple[str, str, str]:
        """The passage before the answer, the answer, and the passage after it."""
        text = self.text.encode()
        parts = text[: self.start], text[self.start : self.limit], text[self.limit :]
        return tuple(part.decode(errors='replace') for part in parts)

    def marked(self, before: str, after: str) -> str:
        """The passage with the answer between two marks."""
        head, answer, tail = self.parts
        return f'{head}{before}{answer}{after}{tail}'


def answers_of(outputs: Mapping[str, Sequence]) -> list[list[Answer]]:
    """The answers to each question, best first; none where nothing is probable enough, or nothing was asked.

    Args:
      outputs: those of the signature `serving_default`, as lists; texts may be bytes.
    """
    top = {field.name: outputs[f'top_{field.name}'] for field in dataclasses.fields(Answer)}
    return [
        [
            Answer(**{name: _decoded(value) for name, value in zip(top, of_one, strict=True)})
            for of_one in zip(*of_question, strict=True)
            if of_one[0]
        ]
        for of_question in zip(*top.values(), strict=True)
    ]


def _decoded(value):
    return value.decode(errors='replace') if isinstance(value, bytes) else value
