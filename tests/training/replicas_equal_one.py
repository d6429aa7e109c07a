"""Trains a few steps on two replicas and on one, and prints by how much they differ: a process of `test_replicas`.

python tests/training/replicas_equal_one.py TASK
"""

import json
import sys

import numpy as np
import tensorflow as tf

from realm_tf.config import load_config
from realm_tf.training.finetuning_loss import finetuning_loss
from realm_tf.training.ict import inverse_cloze_task
from realm_tf.training.optimizer import BertAdamW
from realm_tf.training.pretraining_loss import pretraining_loss
from realm_tf.training.strategies import make_strategy
from realm_tf.training.train_step import make_train_step
from realm_tf.weights.networks import make_knowledge_augmented_encoder, make_reader, make_retriever
from realm_tf.weights.parameters import named_parameters

STEPS = 4
BATCH, CANDIDATES, QUERY, BLOCK, MASKS, SPANS = 8, 3, 10, 14, 3, 10
CONFIG = load_config(
    'tiny',
    overrides={
        'encoder.dropout': 0.0,
        'encoder.vocabulary_size': 100,
        'pretrain.num_candidates': CANDIDATES,
        'finetune.num_candidates': CANDIDATES,
        'finetune.reader_blocks': 2,
        # With the document tower.
        'finetune.refresh': 'external',
        'finetune.fresh_candidates': 1,
        # Clipping must see the sum over replicas, and the first steps must not be a warm-up at rate 0.
        'pretrain.optimizer': {'learning_rate': 1e-3, 'warmup_steps': 1, 'clip_norm': 0.05},
    },
)


def batches(task: str) -> list[dict[str, np.ndarray]]:
    """Random batches of wordpieces; rows have different numbers of masks, so that no replica's mean is the mean."""
    random = np.random.default_rng(0)

    def ids(*shape):
        return random.integers(5, 100, shape).astype(np.int32)

    def segments(*shape):
        return np.repeat([[0] * 4 + [1] * (shape[1] - 4)], shape[0], axis=0).astype(np.int32)

    def one():
        if task == 'finetune':
            return {
                'question_ids': ids(BATCH, QUERY),
                'candidate_embeddings': random.normal(size=(BATCH, CANDIDATES, 32)).astype(np.float32),
                'is_candidate': np.ones((BATCH, CANDIDATES), bool),
                'has_answer': np.arange(BATCH)[:, None] % 4 > np.arange(CANDIDATES),
                'fresh_ids': ids(BATCH, BLOCK),
                'fresh_segments': segments(BATCH, BLOCK),
                'reader_ids': ids(BATCH * 2, BLOCK),
                'reader_segments': segments(BATCH * 2, BLOCK),
                'is_gold': random.random((BATCH, 2, BLOCK, SPANS)) < 0.1,
            }
        if task == 'ict':
            return {
                'query_ids': ids(BATCH, QUERY),
                'document_ids': ids(BATCH, BLOCK),
                'document_segments': segments(BATCH, BLOCK),
            }
        return {
            'query_ids': ids(BATCH, QUERY),
            'document_ids': ids(BATCH * CANDIDATES, BLOCK),
            'document_segments': segments(BATCH * CANDIDATES, BLOCK),
            'joint_ids': ids(BATCH * CANDIDATES, QUERY + BLOCK),
            'joint_segments': segments(BATCH * CANDIDATES, QUERY + BLOCK),
            'mask_positions': random.integers(1, QUERY, (BATCH, MASKS)).astype(np.int32),
            'mask_weights': (np.arange(MASKS) < 1 + np.arange(BATCH)[:, None] % MASKS).astype(np.int32),
            'gold_ids': ids(BATCH, MASKS),
        }

    return [one() for _ in range(STEPS)]


def trained(task: str, strategy: tf.distribute.Strategy, accumulation_steps: int = 1) -> tuple[list, dict]:
    """The metrics of every step, and the weights after the last."""
    with strategy.scope():
        networks = {'retriever': make_retriever(CONFIG)}
        if task == 'pretrain':
            networks['reader'] = make_knowledge_augmented_encoder(CONFIG)
        if task == 'finetune':
            networks['reader'] = make_reader(CONFIG)
        parameters = {
            f'{name}/{path}': variable
            for name, network in networks.items()
            for path, variable in named_parameters(network).items()
        }
        optimizer = BertAdamW(parameters, CONFIG.pretrain.optimizer, total_steps=10)

    def loss_function(batch):
        if task == 'ict':
            return inverse_cloze_task(networks['retriever'], batch)
        loss = {'pretrain': pretraining_loss, 'finetune': finetuning_loss}[task]
        return loss(networks['retriever'], networks['reader'], batch, CONFIG)

    step = make_train_step(loss_function, optimizer, strategy, accumulation_steps)
    metrics = [step(batch) for batch in batches(task)]
    return metrics, {path: np.asarray(variable.value) for path, variable in parameters.items()}


def main(task: str) -> None:
    """Prints the largest differences of losses (relative) and of weights, and what the steps of one replica were."""
    # Before anything else of TensorFlow.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices('CPU')[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    metrics, weights = trained(task, make_strategy())
    runs = {'two': trained(task, make_strategy('mirrored'))}
    if task != 'ict':
        runs['two, accumulated'] = trained(task, make_strategy('mirrored'), accumulation_steps=2)
    differences = {
        name: {
            'loss': max(abs(a['loss'] / b['loss'] - 1) for a, b in zip(metrics, of_run, strict=True)),
            'weights': max(float(np.abs(weights[path] - values).max()) for path, values in its_weights.items()),
        }
        for name, (of_run, its_weights) in runs.items()
    }
    print(json.dumps({'metrics': metrics, 'differences': differences}))


if __name__ == '__main__':
    main(sys.argv[1])
