"""What TensorFlow Serving is given beside a SavedModel, written from the model."""

import itertools
import os
from collections.abc import Sequence

import jinja2
import numpy as np
import tensorflow as tf
from etils import epath
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from export.parts import PART
from export.serving.limits import Limits
from export.versions import MODEL_NAME, SERVING
from realm_tf.artifacts import write_text_whole
from realm_tf.config import Config

WARM_UP = 'assets.extra/tf_serving_warmup_requests'
# Of the tensorflow-serving-api that the client is tested with.
_IMAGE = 'tensorflow/serving:2.20.0'
# A server reads a thousand at most; a few are enough to build what the first run builds.
_WARM_UP_QUESTIONS = 8
# What a process takes without a model, and what a string of a tensor takes beside its bytes.
_RUNTIME_BYTES = 600 << 20
_STRING_BYTES = 24 + 16
# Tower and reader to answer, the tower to retrieve and to embed a query or a document, the reader to read.
_NETWORKS_OF_SIGNATURES = 6
_MIB = 1 << 20

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader('export', 'templates'), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
)


def write_warm_up(path: epath.PathLike, questions: Sequence[str]) -> None:
    """Writes the requests that TensorFlow Serving computes before it takes others: a TFRecord of `PredictionLog`.

    Each question alone, for the signatures that a person asks; then a batch of them.

    Args:
      path: the directory of the version.
      questions: of the kind that will be asked.
    """
    questions = questions[:_WARM_UP_QUESTIONS]
    requests = [
        *itertools.product(['serving_default'], ([question] for question in questions)),
        ('serving_default', list(itertools.islice(itertools.cycle(questions), PART))),
        ('retrieve', questions[:1]),
    ]
    path = epath.Path(path) / WARM_UP
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
        for signature_name, texts in requests:
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = MODEL_NAME, signature_name
            request.inputs['question'].CopyFrom(tf.make_tensor_proto(texts, tf.string))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())


def read_warm_up(path: epath.PathLike) -> list[tuple[str, dict[str, np.ndarray]]]:
    """The requests in a version's warm-up file: signature and inputs of each; none if there is no file."""
    path = epath.Path(path) / WARM_UP
    if not path.exists():
        return []
    requests = [
        prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        for record in tf.data.TFRecordDataset(os.fspath(path)).as_numpy_iterator()
    ]
    return [
        (
            request.model_spec.signature_name,
            {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()},
        )
        for request in requests
    ]


def write_serving_files(base: epath.PathLike, *, model_bytes: int, num_blocks: int, config: Config) -> int:
    """Writes `BASE/serving/`: the configuration of TensorFlow Serving, a compose file and a Kubernetes manifest.

    Args:
      base: the directory of the versions.
      model_bytes: size of the files of one version.
      num_blocks: blocks in it.
      config: of the QA model.

    Returns:
      The memory that the server is given, in bytes.
    """
    memory = memory_bytes(model_bytes, num_blocks, config)
    folder = epath.Path(base) / SERVING
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        'name': MODEL_NAME,
        'image': _IMAGE,
        'max_batch': PART,
        'max_rows': Limits.max_rows,
        'memory_mib': memory // _MIB,
        'frozen_weights': int(config.precision != 'float32'),
        'seconds_to_load': 120 + model_bytes // (50 << 20),
    }
    for template in _TEMPLATES.list_templates():
        write_text_whole(folder / template, _TEMPLATES.get_template(template).render(values))
    return memory


def memory_bytes(model_bytes: int, num_blocks: int, config: Config) -> int:
    """The memory that a server needs: two versions at a time, what a batch takes, and the process itself.

    Args:
      model_bytes: size of the files of one version.
      num_blocks: blocks in it, each a title and a text.
      config: of the QA model.

    Returns:
      Bytes, a multiple of 256 MiB.
    """
    encoder, finetune = config.encoder, config.finetune
    # In bfloat16 what each signature runs on has its dense weights laid out for the processor, beside the model's.
    weights = encoder.num_layers * encoder.hidden_size * (4 * encoder.hidden_size + 2 * encoder.intermediate_size)
    laid_out = 0 if config.precision == 'float32' else 2 * _NETWORKS_OF_SIGNATURES * weights
    version = model_bytes + 2 * num_blocks * _STRING_BYTES + laid_out
    inputs = PART * finetune.reader_blocks
    length = finetune.reader_length
    # float32: inner activations and attention of a layer, then the spans, of which three copies exist at a time.
    layer = length * (6 * encoder.hidden_size + 2 * encoder.intermediate_size) + 3 * encoder.num_heads * length**2
    spans = 3 * length * finetune.max_answer_length * finetune.reader_hidden_size
    batch = 4 * inputs * max(layer, spans)
    step = 256 * _MIB
    return -(-(2 * version + batch + _RUNTIME_BYTES) // step) * step
