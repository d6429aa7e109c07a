"""BERT's AdamW."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from realm_tf.config import OptimizerConfig

FIRST_MOMENT_DECAY = 0.9
SECOND_MOMENT_DECAY = 0.999
EPSILON = 1e-6


class BertAdamW:
    """Adam without bias correction, with decoupled weight decay (Devlin et al. 2019, the released code).

    Weight decay spares LayerNorms and biases. After n steps the learning rate is n / warm-up of its peak during the
    warm-up, so that the very first step only fills the moments, and 1 − n / total of it later. Gradients are summed
    over replicas, then clipped by their global norm, then applied; Keras clips before it sums, which is another step
    than that of one device on the same batch.

    Make it in the scope of the strategy. Every replica then has a copy of every variable and of the moments, and makes
    the same update of its own, since they all have the same sum of gradients.

    Args:
      parameters: the variables to train, by name.
      config: learning rate, warm-up, weight decay and clipping.
      total_steps: steps of the whole training.
    """

    def __init__(self, parameters: Mapping[str, keras.Variable], config: OptimizerConfig, total_steps: int):
        self._config = config
        self._total_steps = total_steps
        self._warmup_steps = config.warmup_steps
        if self._warmup_steps is None:
            self._warmup_steps = min(10_000, max(100, total_steps // 10))
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name='step')
        self._variables = {name: variable.value for name, variable in parameters.items()}

        def moments():
            return {
                name: tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False)
                for name, variable in self._variables.items()
            }

        self._first_moments = moments()
        self._second_moments = moments()

    @property
    def variables(self) -> list[tf.Variable]:
        """The variables that are trained, in the order that `apply` takes their gradients."""
        return list(self._variables.values())

    def learning_rate(self) -> tf.Tensor:
        """The learning rate of the next step, float32 scalar."""
        step = tf.cast(self.step, tf.float32)
        warmup = step / max(1, self._warmup_steps)
        decay = 1.0 - step / self._total_steps
        return self._config.learning_rate * tf.maximum(0.0, tf.where(step < self._warmup_steps, warmup, decay))

    def apply(self, gradients: list[tf.Tensor]) -> tf.Tensor:
        """Makes one step; call it in the replica context.

        Args:
          gradients: of this replica's share of the loss, dense, in the order of `variables`.

        Returns:
          The global norm of the gradients before clipping, float32 scalar.
        """
        gradients = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        gradients, norm = tf.clip_by_global_norm(gradients, self._config.clip_norm)
        learning_rate = self.learning_rate()
        for name, gradient in zip(self._variables, gradients, strict=True):
            self._update(name, gradient, learning_rate)
        self.step.assign_add(1)
        return norm

    def _update(self, name: str, gradient: tf.Tensor, learning_rate: tf.Tensor) -> None:
        variable = self._variables[name]
        if not (name.endswith('bias') or 'layer_norm' in name):
            variable.assign_sub(learning_rate * self._config.weight_decay * variable)
        # With both powers of the decay rates at zero, this fused kernel makes no bias correction.
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._first_moments[name].handle,
            v=self._second_moments[name].handle,
            beta1_power=0.0,
            beta2_power=0.0,
            lr=learning_rate,
            beta1=FIRST_MOMENT_DECAY,
            beta2=SECOND_MOMENT_DECAY,
            epsilon=EPSILON,
            grad=gradient,
        )

    def state(self) -> dict[str, np.ndarray]:
        """Step and moments, by name."""
        return {
            'step': self.step.numpy(),
            **{f'first_moment/{name}': moment.numpy() for name, moment in self._first_moments.items()},
            **{f'second_moment/{name}': moment.numpy() for name, moment in self._second_moments.items()},
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Sets step and moments from what `state` gave."""
        self.step.assign(state['step'])
        for name in self._variables:
            self._first_moments[name].assign(state[f'first_moment/{name}'])
            self._second_moments[name].assign(state[f'second_moment/{name}'])
