"""Runs a module with a directory in place of the buckets of `gs://`, behind TensorFlow's own file system.

    python tests/object_store.py DIRECTORY MODULE ARGUMENTS

A path `gs://bucket/name` is the file `DIRECTORY/bucket/name` to everything in `tf.io.gfile`, which is all that `epath`
and we know of an object store. Real buckets have no rename that is whole, and no file that can be read half written.
"""

import functools
import pathlib
import runpy
import sys

import tensorflow as tf

SCHEME = 'gs://'


def install(directory: pathlib.Path) -> None:
    """Puts the directory in place of all buckets, for the rest of the process."""

    def local(path):
        return str(path).replace(SCHEME, f'{directory}/', 1) if str(path).startswith(SCHEME) else path

    def remote(path):
        return str(path).replace(f'{directory}/', SCHEME, 1)

    class File(tf.io.gfile.GFile):
        def __init__(self, name, mode='r'):
            super().__init__(local(name), mode)

    def with_local_paths(function):
        @functools.wraps(function)
        def call(*arguments, **named):
            return function(*map(local, arguments), **named)

        return call

    of_paths = ['copy', 'exists', 'isdir', 'listdir', 'makedirs', 'mkdir', 'remove', 'rename', 'rmtree', 'stat']
    for name in of_paths:
        setattr(tf.io.gfile, name, with_local_paths(getattr(tf.io.gfile, name)))
    glob = tf.io.gfile.glob
    tf.io.gfile.glob = lambda pattern: list(map(remote, glob(local(pattern))))
    tf.io.gfile.GFile = File


if __name__ == '__main__':
    _, store, module, *rest = sys.argv
    install(pathlib.Path(store).resolve())
    sys.argv = [module, *rest]
    sys.path[0] = str(pathlib.Path.cwd())
    runpy.run_module(module, run_name='__main__', alter_sys=True)
