"""The first run of a graph is slow: it is made before the first question comes."""

import numpy as np

from export.serving.served_model import DEFAULT_SIGNATURE, ServedModel

_QUESTION = b'What is asked first?'


def warm_up(model: ServedModel) -> None:
    """Asks a question."""
    model.run(DEFAULT_SIGNATURE, {'question': np.array([_QUESTION], object)})
