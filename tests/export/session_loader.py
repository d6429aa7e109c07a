"""Runs a SavedModel in the Session loader, as TensorFlow Serving does, where the Python package is not imported.

    python -m tests.export.session_loader < request.json

The request holds `path`; `libraries` with the operations the graph needs; `inputs`, what is fed by the name of its
tensor, texts or rows of int32; and `outputs`, names of tensors by the key they are printed under. Prints one JSON
object of flat lists.
"""

import json
import sys

import numpy as np

from export.serving.session import Session, load_operations


def to_array(values):
    if isinstance(values[0], str):
        return np.array([text.encode() for text in values], object)
    return np.array(values, np.int32)


def to_json(array):
    return [value.decode() if isinstance(value, bytes) else value for value in array.ravel().tolist()]


def main():
    request = json.load(sys.stdin)
    load_operations(request['libraries'])
    session = Session(request['path'])
    feeds = {name: to_array(values) for name, values in request['inputs'].items()}
    fetched = session.run(feeds, list(request['outputs'].values()))
    session.close()
    assert 'tensorflow' not in sys.modules
    json.dump(dict(zip(request['outputs'], map(to_json, fetched), strict=True)), sys.stdout)


if __name__ == '__main__':
    main()
