"""Traces training steps as a TPU would be given them, and prints what is in them: a process of `test_tpu_trace`.

python -m tests.training.tpu_trace
"""

import collections
import json
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import kernels

from benchmarks.tpu_step import batch_specs, training_step
from realm_tf.config import load_config
from realm_tf.errors import RealmError
from realm_tf.training.current_index import embedding_of_queries
from realm_tf.training.on_devices import computed_on
from realm_tf.training.replicas import spread_random_state
from realm_tf.training.strategies import require_shapes
from realm_tf.training.train_step import shared_out
from realm_tf.weights.networks import make_retriever
from tests.training.stand_in_tpu import stand_in_tpu_strategy

CASES = {
    'ict float32': ('ict', {'precision': 'float32'}),
    'ict bfloat16': ('ict', {'rematerialize': True}),
    'pretrain float32': ('pretrain', {'precision': 'float32'}),
    'pretrain bfloat16': ('pretrain', {'rematerialize': True, 'pretrain.accumulation_steps': 2}),
    'finetune float32': ('finetune', {'precision': 'float32'}),
    # With the document tower.
    'finetune bfloat16': (
        'finetune',
        {'rematerialize': True, 'finetune.accumulation_steps': 2, 'finetune.refresh': 'external'},
    ),
}
_ALL = {'skip_padding': False, 'precision': 'mixed_bfloat16', 'encoder.num_layers': 1}
# What marks the replicated part, for the rewrite to find, and the exchange between cores: a TPU's own operations.
_OF_TPU = {'TPUReplicateMetadata', 'CrossReplicaSum'}


def main() -> None:
    """Prints reports, as JSON: on every case, what is run beside it, and a step that a TPU would refuse."""
    strategy = stand_in_tpu_strategy()
    # XLA's kernels are registered when something is compiled for the first time.
    tf.function(lambda: tf.zeros([]), jit_compile=True)()
    reports = {}
    for name, (task, overrides) in CASES.items():
        config = load_config('tiny', overrides=_ALL | overrides)
        step = training_step(task, config, strategy)
        batch = {
            name: np.zeros(spec.shape, spec.dtype.as_numpy_dtype) for name, spec in batch_specs(task, config).items()
        }
        reports[name] = report(step.get_concrete_function(shared_out(batch, strategy)).graph)

    with strategy.scope():
        retriever = make_retriever(load_config('tiny', overrides=_ALL))
    spread = tf.function(lambda: spread_random_state([retriever], strategy))
    reports['random state'] = report(spread.get_concrete_function().graph)
    queries = shared_out({'query_ids': np.zeros([8, 16], np.int32)}, strategy)
    reports['queries'] = report(embedding_of_queries(retriever, strategy).get_concrete_function(queries).graph)
    questions = shared_out({'token_ids': np.zeros([8, 16], np.int32)}, strategy)
    embed = computed_on(strategy, retriever.embed_queries)
    reports['questions'] = report(embed.compiled.get_concrete_function(questions).graph)

    @tf.function
    def step_on_the_host():
        return strategy.run(lambda: tf.strings.length(tf.strings.as_string(tf.py_function(lambda: 1, [], tf.int32))))

    try:
        require_shapes(load_config('tiny', overrides={'skip_padding': True}), strategy)
    except RealmError as error:
        reports['padding'] = str(error)
    reports['on the host'] = report(step_on_the_host.get_concrete_function().graph)
    print(json.dumps(reports))


def report(graph: tf.Graph) -> dict:
    """What the replicated part of a graph takes, does and exchanges."""
    replicated = list(replicated_nodes(graph.as_graph_def()))
    counts = collections.Counter(node.op for node in replicated)
    by_type = collections.defaultdict(list)
    for operation in graph.get_operations():
        by_type[operation.type].append(operation)
    inputs = [operation.outputs[0] for operation in by_type['TPUReplicatedInput']]
    return {
        'counts': counts,
        'refused': sorted(name for name in counts.keys() - _OF_TPU if not has_xla_kernel(name)),
        'outside_compilation': [node.name for node in replicated if '_xla_outside_compilation' in node.attr],
        # Variables come as resources.
        'inputs': [[tensor.dtype.name, str(tensor.shape)] for tensor in inputs if tensor.dtype != tf.resource],
        'summed': [str(operation.inputs[0].shape) for operation in by_type['CrossReplicaSum']],
        'applied': [str(operation.inputs[-1].shape) for operation in by_type['ResourceApplyAdam']],
        'measured_for_clipping': [computed_by(operation.inputs[0]) for operation in by_type['L2Loss']],
    }


def replicated_nodes(graph_def) -> Iterator:
    """The nodes of the part that every core runs, and those of all functions that they call."""
    functions = {function.signature.name: function for function in graph_def.library.function}
    seen = set()

    def with_called(nodes):
        for node in nodes:
            yield node
            for attribute in node.attr.values():
                for name in (attribute.func.name, *(function.name for function in attribute.list.func)):
                    if name in functions and name not in seen:
                        seen.add(name)
                        yield from with_called(functions[name].node_def)

    nodes = [*graph_def.node, *(node for function in graph_def.library.function for node in function.node_def)]
    return with_called(node for node in nodes if '_tpu_replicate' in node.attr)


def has_xla_kernel(operation: str) -> bool:
    """Whether XLA can compile an operation."""
    return any('XLA' in kernel.device_type for kernel in kernels.get_registered_kernels_for_op(operation).kernel)


def computed_by(tensor: tf.Tensor) -> str:
    """The operation that a tensor comes from."""
    while tensor.op.type in ('Identity', 'IdentityN'):
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor.op.type


if __name__ == '__main__':
    main()
