import keras
import numpy as np
import tensorflow as tf

from realm_tf.config import OptimizerConfig
from realm_tf.training.optimizer import BertAdamW


def numpy_bert_adamw(values, gradients_of_steps, config, total_steps):
    """BERT's optimizer written out, as `optimization.py` of the released code has it."""
    first = {name: np.zeros_like(value) for name, value in values.items()}
    second = {name: np.zeros_like(value) for name, value in values.items()}
    for step, gradients in enumerate(gradients_of_steps):
        warm = step < config.warmup_steps
        factor = (step + 1) / config.warmup_steps if warm else 1 - step / total_steps
        norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
        for name, gradient in gradients.items():
            gradient = gradient * min(1.0, config.clip_norm / norm)
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            update = first[name] / (np.sqrt(second[name]) + 1e-6)
            if name == 'dense/kernel':
                update = update + config.weight_decay * values[name]
            values[name] = values[name] - config.learning_rate * factor * update
    return values


def test_equals_the_written_out_version():
    config = OptimizerConfig(learning_rate=0.01, warmup_steps=3, weight_decay=0.1)
    generator = np.random.default_rng(0)
    names = {'dense/kernel': (3, 4), 'dense/bias': (4,), 'output_layer_norm/gamma': (4,)}
    values = {name: generator.standard_normal(shape) for name, shape in names.items()}
    gradients = [{name: 3 * generator.standard_normal(shape) for name, shape in names.items()} for _ in range(6)]
    variables = {name: keras.Variable(value.astype(np.float32)) for name, value in values.items()}
    optimizer = BertAdamW(variables, config, total_steps=10)

    @tf.function
    def step(gradients):
        return optimizer.apply(gradients)

    for of_step in gradients:
        norm = step([tf.constant(gradient, tf.float32) for gradient in of_step.values()])
        np.testing.assert_allclose(norm, np.sqrt(sum((g**2).sum() for g in of_step.values())), rtol=1e-5)
    for name, expected in numpy_bert_adamw(values, gradients, config, 10).items():
        np.testing.assert_allclose(variables[name], expected, rtol=2e-5, atol=2e-6)


def test_warms_up_and_decays_to_zero():
    optimizer = BertAdamW({'v': keras.Variable([0.0])}, OptimizerConfig(learning_rate=1.0, warmup_steps=2), 4)
    rates = []
    for step in range(5):
        optimizer.step.assign(step)
        rates.append(float(optimizer.learning_rate()))
    np.testing.assert_allclose(rates, [0.5, 1.0, 0.5, 0.25, 0.0])


def test_its_state_can_be_restored():
    def optimizer():
        return BertAdamW({'v': keras.Variable([1.0, 2.0])}, OptimizerConfig(learning_rate=0.1, warmup_steps=1), 10)

    first, second = optimizer(), optimizer()
    for made in range(3):
        first.apply([tf.constant([0.1 * made, 0.2])])
    second.restore(first.state())
    second._variables['v'].assign(first._variables['v'])
    for one in (first, second):
        one.apply([tf.constant([0.3, -0.1])])
    np.testing.assert_array_equal(first._variables['v'], second._variables['v'])
