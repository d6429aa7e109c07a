"""Compiles a training step for a TPU topology, with the TPU's own compiler and no TPU; see `benchmarks.tpu_compile`.

python benchmarks/peers/tpu_compiler.py STEP.hlo TOPOLOGY REPLICAS
"""

import json
import math
import os
import pathlib
import re
import sys
import time

# libtpu must not look for a TPU, not ask the cloud what machine this is, and not keep other processes from a TPU.
os.environ.update(
    TPU_SKIP_MDS_QUERY='1',
    JAX_PLATFORMS='cpu',
    TPU_WORKER_HOSTNAMES='localhost',
    TPU_ACCELERATOR_TYPE='v4-8',
    ALLOW_MULTIPLE_LIBTPU_LOAD='true',
)

import numpy as np
from jax._src import compiler
from jax._src.interpreters.mlir import make_ir_context
from jax._src.lib import _jax
from jax._src.lib.mlir import ir
from jax.experimental import topologies

_BYTES = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's32': 4, 'u32': 4, 'f32': 4, 's64': 8, 'u64': 8, 'f64': 8}
_COLLECTIVE = re.compile(
    r'= (?P<shapes>.+?) (?P<kind>all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\('
)
_SHAPE = re.compile(r'(\w+)\[([\d,]*)\]')
_RAN_OUT = re.compile(r'Used ([\d.]+[KMG]) of ([\d.]+[KMG]) hbm')


def main(step: str, topology: str, replicas: str) -> None:
    """Prints, as JSON, what a core needs for the step; or, if it does not fit, what the compiler says that it uses."""
    description = topologies.get_topology_desc(platform='tpu', topology_name=topology)
    devices = description.devices[: int(replicas)]
    found = {'device': devices[0].device_kind}
    started = time.process_time()
    try:
        executable = _compiled(pathlib.Path(step).read_bytes(), devices)
    except Exception as error:
        ran_out = _RAN_OUT.search(str(error))
        if not ran_out:
            raise
        found |= {'used': _bytes(ran_out[1]), 'capacity': _bytes(ran_out[2])}
    else:
        memory = executable.get_compiled_memory_stats()
        found |= {
            'arguments': memory.argument_size_in_bytes,
            'outputs': memory.output_size_in_bytes - memory.alias_size_in_bytes,
            'temporaries': memory.temp_size_in_bytes,
            'code': memory.generated_code_size_in_bytes,
            'operations': _properties(executable)['flops'],
            'collectives': _collectives(executable.hlo_modules()[0].to_string()),
        }
    print(json.dumps(found | {'seconds': time.process_time() - started}))


def _compiled(hlo: bytes, devices):
    client = devices[0].client
    assignment = np.array([[device.id] for device in devices])
    options = compiler.get_compile_options(
        num_replicas=len(devices), num_partitions=1, device_assignment=assignment, backend=client
    )
    with make_ir_context():
        module = ir.Module.parse(_jax.mlir.hlo_to_stablehlo(hlo))
        _remove_copies(module)
        return client.compile(module, executable_devices=_jax.DeviceList(tuple(devices)), compile_options=options)


def _remove_copies(module: ir.Module) -> None:
    """Takes out XLA's copies, which StableHLO has no operation for; the TPU's compiler puts in those it needs."""

    def remove(operation):
        if operation.name == 'mhlo.copy':
            operation.results[0].replace_all_uses_with(operation.operands[0])
            operation.erase()
        return ir.WalkResult.ADVANCE

    module.operation.walk(remove)


def _properties(executable) -> dict[str, float]:
    properties = executable.cost_analysis()
    return properties if isinstance(properties, dict) else properties[0]


def _collectives(hlo: str) -> dict[str, list[int]]:
    """Of each kind: how many there are, of how many tensors, and their bytes."""
    found: dict[str, list[int]] = {}
    for match in _COLLECTIVE.finditer(hlo):
        sizes = [
            _BYTES[dtype] * math.prod(int(size) for size in dimensions.split(',') if size)
            for dtype, dimensions in _SHAPE.findall(match['shapes'])
            if dtype in _BYTES
        ]
        of_kind = found.setdefault(match['kind'], [0, 0, 0])
        for index, value in enumerate((1, len(sizes), sum(sizes))):
            of_kind[index] += value
    return found


def _bytes(text: str) -> float:
    return float(text[:-1]) * 1024 ** ('KMG'.index(text[-1]) + 1)


if __name__ == '__main__':
    main(*sys.argv[1:])
