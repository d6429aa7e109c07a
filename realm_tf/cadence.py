"""How often something happens in a training: every so many steps, or by a schedule of them."""

import dataclasses
import re

# What is published after a step of a training is found by the batch after the next one, which is trained on two steps
# later: in pre-training the next one is being made already.
STEPS_AHEAD = 2
_PHASE = re.compile(r'\s*(\d+)\s*-\s*(\d*)\s*:\s*(\d+)\s*')
_EXAMPLE = 'such as 500, or 0-2000:200,2000-:500 (every 200 steps until step 2000, then every 500)'


@dataclasses.dataclass(frozen=True)
class Cadence:
    """Steps at which something happens.

    Attributes:
      phases: the first step of each phase, ascending from 0, and the steps between two occurrences in it, which are
        counted from the phase's first step. The last phase has no end.
    """

    phases: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, text: int | str) -> 'Cadence':
        """Reads a number of steps, or a schedule such as `0-2000:200,2000-:500`.

        Raises:
          ValueError: if it is neither, or the phases do not follow on each other; the sentence names the phase.
        """
        if str(text).strip().isdecimal():
            text = f'0-:{str(text).strip()}'
        phases = []
        end = 0
        for part in str(text).split(','):
            match = _PHASE.fullmatch(part)
            if not match:
                raise ValueError(f'{part.strip()!r} is neither a number of steps nor a phase of a schedule, {_EXAMPLE}')
            if end is None:
                raise ValueError(f'the phase before {part.strip()!r} has no end, so that nothing can follow it')
            first, every = int(match[1]), int(match[3])
            if first != end:
                raise ValueError(f'the phase {part.strip()!r} must begin at step {end}, so that no step is left out')
            end = int(match[2]) if match[2] else None
            if end is not None and end <= first:
                raise ValueError(f'the phase {part.strip()!r} ends before it begins')
            if every < 1:
                raise ValueError(f'there must be at least one step between two, in {part.strip()!r}')
            phases.append((first, every))
        if end is not None:
            raise ValueError(f'the last phase must have no end: write {phases[-1][0]}-:{phases[-1][1]}')
        return cls(tuple(phases))

    def last(self, step: int) -> int:
        """The last step up to and with `step` at which it happens; 0 if there is none."""
        first, every = max(phase for phase in self.phases if phase[0] <= step)
        return first + (step - first) // every * every

    def includes(self, step: int) -> bool:
        """Whether it happens at this step; never at step 0."""
        return step > 0 and self.last(step) == step

    @property
    def longest(self) -> int:
        """The most steps between two occurrences."""
        return max(every for _, every in self.phases)
