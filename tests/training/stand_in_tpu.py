"""TensorFlow's own TPUStrategy, with processors of this machine where a program's TPU cores would be.

What it traces has the operations that a TPU would be given; they cannot run here.
"""

import collections

import numpy as np
import tensorflow as tf
from tensorflow.python.distribute import tpu_strategy
from tensorflow.python.tpu import tpu_system_metadata

CORES = 2
_HOST = '/job:localhost/replica:0/task:0/device:CPU:0'
_Device = collections.namedtuple('_Device', 'name device_type')


def stand_in_tpu_strategy() -> tf.distribute.TPUStrategy:
    """Makes the strategy; call it before anything else of TensorFlow, in a process of its own."""
    devices = [tf.config.LogicalDeviceConfiguration()] * (1 + CORES)
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices('CPU')[0], devices)
    tpu_strategy.TPUExtended = _StandInExtended
    return tf.distribute.TPUStrategy(_StandInResolver())


class _StandInResolver:
    """Finds one machine with a TPU of so many cores."""

    tpu_hardware_feature = None
    task_type = task_id = None

    def get_tpu_system_metadata(self):
        return tpu_system_metadata.TPUSystemMetadata(
            num_cores=CORES,
            num_hosts=1,
            num_of_cores_per_host=CORES,
            topology=None,
            devices=[_Device(_HOST.replace('CPU:0', f'TPU:{core}'), 'TPU') for core in range(CORES)],
        )

    def get_job_name(self):
        return 'localhost'

    def cluster_spec(self):
        return tf.train.ClusterSpec({})


class _StandInExtended(tpu_strategy.TPUExtended):
    """Puts the variables of the cores on processors."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        cores = [_HOST.replace('CPU:0', f'CPU:{1 + core}') for core in range(CORES)]
        self._tpu_devices = np.array(cores, dtype=object)[:, np.newaxis]
        self._host_device = _HOST
        for workers, of_worker in (
            (self._device_input_worker_devices, cores),
            (self._host_input_worker_devices, [_HOST] * CORES),
        ):
            workers.clear()
            workers[_HOST] = of_worker
