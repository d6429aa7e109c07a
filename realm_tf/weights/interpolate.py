"""A QA model whose query tower is between the one that fine-tunings began with and those that they ended in.

Fine-tuning on few questions gains on questions like them and can lose on others. The mean of the weights before and
after keeps much of both (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"), and the mean of several
trainings that differ by their seeds more than each of them ("Model soups", of the same authors and year).
"""

from collections.abc import Sequence

import numpy as np
from etils import epath

from realm_tf.artifacts import Artifact, open_artifact, outdated_because
from realm_tf.errors import RealmError
from realm_tf.weights.encoder_artifact import Encoder
from realm_tf.weights.model_artifact import KIND, Model, write_model
from realm_tf.weights.parameters import assign_parameters, copied_parameters


def interpolate(
    model_paths: Sequence[epath.PathLike],
    encoder_path: epath.PathLike,
    share: float,
    output: epath.PathLike,
    *,
    overwrite: bool = False,
) -> Artifact:
    """Makes a model with interpolated weights of the query tower, unless it is there.

    Each of its weights is (1 − share) times the encoder's plus share times the mean of the models'. The reader is that
    of the first model, and so are the embeddings that it answers with.

    Args:
      model_paths: the fine-tuned models; their documents were frozen.
      encoder_path: the encoder that their fine-tuning began with.
      share: the share of the fine-tuned weights, from 0 to 1.
      output: the new model.
      overwrite: whether another one there is replaced.

    Raises:
      RealmError: if a model did not begin with this encoder, or its document tower was trained, or the new one is in
        the way of another.
    """
    models, encoder = [Model.open(path) for path in model_paths], Encoder.open(encoder_path)
    for path, model in zip(model_paths, models, strict=True):
        _require_frozen_documents(model, path)
        model.artifact.require_input('encoder', encoder.artifact)
    first = models[0]
    configuration = first.artifact.configuration
    inputs = {
        **first.artifact.inputs,
        'models': ' '.join(model.artifact.digest for model in models),
        'share': f'{share:g}',
    }
    if outdated_because(output, KIND, configuration, inputs) is None:
        return open_artifact(output, KIND)
    before = copied_parameters(encoder.retriever().query_tower)
    after = [copied_parameters(model.retriever().query_tower) for model in models]
    retriever = first.retriever()
    between = {
        name: (1 - share) * value + share * np.mean([of_model[name] for of_model in after], axis=0)
        for name, value in before.items()
    }
    assign_parameters(retriever.query_tower, between, source=str(encoder_path))
    return write_model(
        output,
        configuration=configuration,
        vocabulary=first.vocabulary,
        retriever=retriever,
        reader=first.reader(),
        inputs=inputs,
        step=first.artifact.counts['step'],
        overwrite=overwrite,
    )


def _require_frozen_documents(model: Model, path: epath.PathLike) -> None:
    if model.config.finetune.refresh != 'none':
        raise RealmError(
            f'{path} was fine-tuned with finetune.refresh = {model.config.finetune.refresh}: the query tower that it '
            'began with does not know the documents it answers with. Name a model with frozen documents.'
        )
