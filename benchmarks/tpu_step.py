"""The training step of one replica of many, as XLA gets it; see `benchmarks.tpu_compile`.

python -m benchmarks.tpu_step TASK CONFIG.yaml REPLICAS STEP.hlo
"""

import os
import pathlib
import sys
from collections.abc import Callable

os.environ.update(TF_CPP_MIN_LOG_LEVEL='3', KERAS_BACKEND='tensorflow')

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tensorflow.compiler.tf2xla.python import xla

from realm_tf.config import Config, load_config
from realm_tf.training.finetuning_loss import finetuning_loss
from realm_tf.training.ict import inverse_cloze_task
from realm_tf.training.optimizer import BertAdamW
from realm_tf.training.pretraining_loss import pretraining_loss
from realm_tf.training.train_step import make_train_step
from realm_tf.weights.networks import make_knowledge_augmented_encoder, make_reader, make_retriever
from realm_tf.weights.parameters import named_parameters

TASKS = ('pretrain', 'ict', 'finetune')
# `finetune.epochs` alone does not say how many steps there are.
_FINETUNING_STEPS = 1000


def main(task: str, config_path: str, replicas: str, output: str) -> None:
    """Writes the step of one of so many replicas, as a serialized HLO module."""
    config = load_config('paper', config_path)
    step = training_step(task, config, OneOfManyReplicas(int(replicas)))
    share = {
        name: tf.zeros([spec.shape[0] // int(replicas), *spec.shape[1:]], spec.dtype)
        for name, spec in batch_specs(task, config).items()
    }
    # TPUs compile everything; elsewhere it has to be asked for.
    compiled = tf.function(step, jit_compile=True)
    hlo = compiled.experimental_get_compiler_ir(share)(stage='hlo_serialized', platform_name='CPU')
    pathlib.Path(output).write_bytes(hlo)


def training_step(task: str, config: Config, strategy: tf.distribute.Strategy) -> Callable:
    """The step that `realm ict`, `realm pretrain` or `realm finetune` makes, with fresh weights.

    Args:
      task: one of `TASKS`.
      config: the configuration.
      strategy: of the training.

    Returns:
      The `tf.function` of the step: of the batch as the strategy shares it out.
    """
    settings = getattr(config, task)
    with strategy.scope():
        networks = {'retriever': make_retriever(config)}
        if task == 'pretrain':
            networks['reader'] = make_knowledge_augmented_encoder(config)
        if task == 'finetune':
            networks['reader'] = make_reader(config)
        is_frozen = task == 'finetune' and not settings.num_fresh
        trained = networks | ({'retriever': networks['retriever'].query_tower} if is_frozen else {})
        parameters = {
            f'{name}/{path}': variable
            for name, network in trained.items()
            for path, variable in named_parameters(network).items()
        }
        steps = _FINETUNING_STEPS if task == 'finetune' else settings.steps
        optimizer = BertAdamW(parameters, settings.optimizer, steps)

    def loss_function(batch):
        if task == 'ict':
            return inverse_cloze_task(batch=batch, **networks)
        loss = {'pretrain': pretraining_loss, 'finetune': finetuning_loss}[task]
        return loss(batch=batch, config=config, **networks)

    accumulation_steps = 1 if task == 'ict' else settings.accumulation_steps
    return make_train_step(loss_function, optimizer, strategy, accumulation_steps).compiled


def batch_specs(task: str, config: Config) -> dict[str, tf.TensorSpec]:
    """Shapes of a global batch; those that `inverse_cloze_batch`, `PretrainingBatches` or `FinetuningBatches` makes."""
    length = config.corpus.block_length
    if task == 'finetune':
        return _finetuning_specs(config)
    if task == 'ict':
        batch = config.ict.batch_size
        shapes = {
            'query_ids': [batch, config.ict.query_length],
            'document_ids': [batch, length],
            'document_segments': [batch, length],
        }
    else:
        batch, masks = config.pretrain.batch_size, config.pretrain.max_masks
        candidates, joint = batch * config.pretrain.num_candidates, config.pretrain.query_length + length
        shapes = {
            'query_ids': [batch, config.pretrain.query_length],
            'candidate_ids': [candidates],
            'document_ids': [candidates, length],
            'document_segments': [candidates, length],
            'joint_ids': [candidates, joint],
            'joint_segments': [candidates, joint],
            'mask_positions': [batch, masks],
            'gold_ids': [batch, masks],
            'mask_weights': [batch, masks],
        }
    return {name: tf.TensorSpec(shape, tf.int32) for name, shape in shapes.items()}


def _finetuning_specs(config: Config) -> dict[str, tf.TensorSpec]:
    settings = config.finetune
    batch, candidates, blocks = settings.batch_size, settings.num_candidates, settings.reader_blocks
    length = settings.reader_length
    fresh = {}
    if settings.num_fresh:
        rows = batch * settings.num_fresh
        shapes = {name: [rows, config.corpus.block_length] for name in ('fresh_ids', 'fresh_segments')}
        shapes['fresh_blocks'] = [rows]
        fresh = {name: tf.TensorSpec(shape, tf.int32) for name, shape in shapes.items()}
    return fresh | {
        'question_ids': tf.TensorSpec([batch, settings.question_length], tf.int32),
        'candidate_embeddings': tf.TensorSpec([batch, candidates, config.retriever.projection_size], tf.float32),
        'is_candidate': tf.TensorSpec([batch, candidates], tf.bool),
        'has_answer': tf.TensorSpec([batch, candidates], tf.bool),
        'reader_ids': tf.TensorSpec([batch * blocks, length], tf.int32),
        'reader_segments': tf.TensorSpec([batch * blocks, length], tf.int32),
        'is_gold': tf.TensorSpec([batch, blocks, length, settings.max_answer_length], tf.bool),
    }


class OneOfManyReplicas(tf.distribute.Strategy):
    """Traces the step of one replica; what it exchanges with the others are XLA's collectives.

    The others are on no device of this process, so that the step can be compiled here, not run.

    Args:
      replicas: how many there are.
    """

    def __init__(self, replicas: int):
        super().__init__(_OneOfManyReplicas(self, replicas))


class _OneOfManyReplicas(tf.compat.v1.distribute.StrategyExtended):
    def __init__(self, strategy: tf.distribute.Strategy, replicas: int):
        super().__init__(strategy)
        self._replicas = replicas

    @property
    def _num_replicas_in_sync(self):
        return self._replicas

    def _get_local_replica_id(self, replica_id_in_sync_group):
        return 0

    def _create_variable(self, next_creator, **kwargs):
        return next_creator(**kwargs)

    def value_container(self, value):
        return value

    def _call_for_each_replica(self, fn, args, kwargs):
        with tf.distribute.ReplicaContext(self._container_strategy(), xla.replica_id()):
            return fn(*args, **kwargs)

    def _use_merge_call(self):
        return False

    def _replica_ctx_all_reduce(self, reduce_op, value, options=None):
        assert reduce_op is tf.distribute.ReduceOp.SUM
        everyone = [list(range(self._replicas))]
        return [
            gen_xla_ops.xla_all_reduce(part, everyone, reduce_op='Add', mode='CrossReplica')
            for part in tf.nest.flatten(value)
        ]


if __name__ == '__main__':
    main(*sys.argv[1:])
