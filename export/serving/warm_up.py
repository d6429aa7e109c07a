"""The first run of a graph is slow: it is made before the first question comes."""

from export.serving.served_model import ServedModel


def warm_up(model: ServedModel) -> None:
    """Computes the requests of the version's warm-up file, as TensorFlow Serving does."""
    from export.serving_files import read_warm_up

    for signature_name, inputs in read_warm_up(model.path):
        model.run(signature_name, inputs)
