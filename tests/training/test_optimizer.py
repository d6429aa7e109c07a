import keras
import numpy as np
import pytest
import tensorflow as tf

from realm_tf.config import OptimizerConfig, load_config
from realm_tf.training.optimizer import BertAdamW
from realm_tf.weights.networks import make_knowledge_augmented_encoder, make_reader, make_retriever
from realm_tf.weights.parameters import named_parameters


def numpy_bert_adamw(values, gradients_of_steps, config, total_steps):
    """BERT's optimizer written out, as `optimization.py` of the released code has it."""
    first = {name: np.zeros_like(value) for name, value in values.items()}
    second = {name: np.zeros_like(value) for name, value in values.items()}
    for step, gradients in enumerate(gradients_of_steps):
        factor = step / config.warmup_steps if step < config.warmup_steps else 1 - step / total_steps
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
    # Half of the gradients are longer than the norm they are clipped to.
    gradients = [
        {name: scale * generator.standard_normal(shape) for name, shape in names.items()} for scale in 3 * [0.1, 3.0]
    ]
    norms = [np.sqrt(sum((gradient**2).sum() for gradient in of_step.values())) for of_step in gradients]
    assert sum(norm > config.clip_norm for norm in norms) == 3
    variables = {name: keras.Variable(value.astype(np.float32)) for name, value in values.items()}
    optimizer = BertAdamW(variables, config, total_steps=10)

    @tf.function
    def step(gradients):
        return optimizer.apply(gradients)

    for of_step, norm in zip(gradients, norms, strict=True):
        found = step([tf.constant(gradient, tf.float32) for gradient in of_step.values()])
        np.testing.assert_allclose(found, norm, rtol=1e-5)
    for name, expected in numpy_bert_adamw(values, gradients, config, 10).items():
        np.testing.assert_allclose(variables[name], expected, rtol=2e-5, atol=2e-6)


def test_warms_up_and_decays_to_zero():
    optimizer = BertAdamW({'v': keras.Variable([0.0])}, OptimizerConfig(learning_rate=1.0, warmup_steps=2), 4)
    rates = []
    for step in range(5):
        optimizer.step.assign(step)
        rates.append(float(optimizer.learning_rate()))
    np.testing.assert_allclose(rates, [0.0, 0.5, 0.5, 0.25, 0.0])


@pytest.mark.parametrize('steps, warmup', [(500, 100), (20_000, 2000), (200_000, 10_000)])
def test_the_default_warm_up_is_a_tenth_within_bounds(steps, warmup):
    optimizer = BertAdamW({'v': keras.Variable([0.0])}, OptimizerConfig(learning_rate=1.0), steps)
    optimizer.step.assign(warmup - 1)
    np.testing.assert_allclose(optimizer.learning_rate(), 1 - 1 / warmup, rtol=1e-6)
    optimizer.step.assign(warmup)
    np.testing.assert_allclose(optimizer.learning_rate(), 1 - warmup / steps, rtol=1e-6)


def test_weight_decay_spares_layer_norms_and_biases():
    config = load_config('tiny', overrides={'retriever.pooling': 'cls', 'retriever.shared_towers': False})
    parameters = {
        f'{index}/{name}': variable
        for index, make in enumerate((make_retriever, make_knowledge_augmented_encoder, make_reader))
        for name, variable in named_parameters(make(config)).items()
    }
    for variable in parameters.values():
        variable.assign(np.ones(variable.shape, np.float32))
    optimizer = BertAdamW(parameters, OptimizerConfig(learning_rate=0.1, warmup_steps=0), 10)
    optimizer.apply([tf.zeros(variable.shape) for variable in parameters.values()])
    decayed = {name for name, variable in parameters.items() if not np.all(np.asarray(variable) == 1.0)}
    assert decayed == {name for name in parameters if name.endswith(('/kernel', '_embeddings'))}
    kinds = {name.rpartition('/')[2] for name in parameters.keys() - decayed}
    assert kinds == {'gamma', 'beta', 'bias'}


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
