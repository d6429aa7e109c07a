"""Keeps the checkpoint that does best on development questions, and ends a training that gets no better."""

from collections.abc import Callable, Mapping

from realm_tf.progress import say
from realm_tf.training.checkpoints import Checkpoints

# In the checkpoints: the step and the value of the best measurement, and how many came after it.
_BEST = 'best'


class Selection:
    """Measures now and then, and keeps the checkpoint of the best measurement.

    Args:
      checkpoints: of the training, restored.
      measure: measures the weights as they are; each of the metrics is the better the larger it is.
      decides: which of the metrics decides.
      every: steps between two measurements.
      last_step: after which it is measured in any case.
      patience: how many measurements without a better one end the training; None: none do.
      is_chief: whether this process writes checkpoints.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        measure: Callable[[], Mapping[str, float]],
        decides: str,
        every: int,
        last_step: int,
        patience: int | None,
        *,
        is_chief: bool = True,
    ):
        self._checkpoints = checkpoints
        self._measure = measure
        self._decides = decides
        self._every = every
        self._last_step = last_step
        self._patience = patience
        self._is_chief = is_chief
        checkpoints.keep = self.best_step

    @property
    def best_step(self) -> int | None:
        """The step of the best measurement, of equals the first; None before there is one."""
        best = self._checkpoints.extra.get(_BEST)
        return best and best['step']

    def after_step(self, step: int, asked_to_stop: Callable[[], bool]) -> dict[str, float]:
        """Measures if it is time; what it gives is added to the metrics of the step."""
        if step % self._every and step != self._last_step:
            return {}
        metrics = dict(self._measure())
        value, best = metrics[self._decides], self._checkpoints.extra.get(_BEST)
        if best is None or value > best['value']:
            self._checkpoints.extra[_BEST] = {'step': step, 'value': value, 'since': 0}
            self._checkpoints.keep = step
            if self._is_chief:
                self._checkpoints.save(step)
        else:
            self._checkpoints.extra[_BEST] = best | {'since': best['since'] + 1}
        shown = ', '.join(f'{name} {value:.3f}' for name, value in metrics.items())
        say(f'Step {step}: {shown}; the best is that of step {self.best_step}.')
        return {f'dev/{name}': value for name, value in metrics.items()}

    def is_over(self) -> bool:
        """Whether patience is at its end."""
        best = self._checkpoints.extra.get(_BEST)
        return best is not None and self._patience is not None and best['since'] >= self._patience

    def restore_best(self) -> int:
        """Restores the checkpoint of the best measurement, and gives its step."""
        self._checkpoints.wait()
        step = self.best_step
        self._checkpoints.restore_step(step)
        return step
