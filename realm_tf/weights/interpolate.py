"""A QA model whose query tower is between the one that a fine-tuning began with and the one that it ended in.

Fine-tuning on few questions gains on questions like them and can lose on others. The mean of the weights before and
after keeps much of both (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
"""

import numpy as np
from etils import epath

from realm_tf.artifacts import Artifact, open_artifact, outdated_because
from realm_tf.errors import RealmError
from realm_tf.weights.encoder_artifact import Encoder
from realm_tf.weights.model_artifact import KIND, Model, write_model
from realm_tf.weights.parameters import assign_parameters, named_parameters


def interpolate(
    model_path: epath.PathLike,
    encoder_path: epath.PathLike,
    share: float,
    output: epath.PathLike,
    *,
    overwrite: bool = False,
) -> Artifact:
    """Makes a model with interpolated weights of the query tower, unless it is there.

    Each of its weights is (1 − share) times the encoder's plus share times the model's. The reader is the model's, and
    so are the embeddings that it answers with.

    Args:
      model_path: the fine-tuned model; its documents were frozen.
      encoder_path: the encoder that its fine-tuning began with.
      share: the share of the fine-tuned weights, from 0 to 1.
      output: the new model.
      overwrite: whether another one there is replaced.

    Raises:
      RealmError: if the model did not begin with this encoder, or its document tower was trained, or it is in the way
        of another one.
    """
    model, encoder = Model.open(model_path), Encoder.open(encoder_path)
    if model.config.finetune.refresh != 'none':
        raise RealmError(
            f'{model_path} was fine-tuned with finetune.refresh = {model.config.finetune.refresh}: the query tower '
            'that it began with does not know the documents it answers with. Name a model with frozen documents.'
        )
    model.artifact.require_input('encoder', encoder.artifact)
    configuration = model.artifact.configuration
    inputs = {**model.artifact.inputs, 'model': model.artifact.digest, 'share': f'{share:g}'}
    if outdated_because(output, KIND, configuration, inputs) is None:
        return open_artifact(output, KIND)
    retriever = model.retriever()
    before = named_parameters(encoder.retriever().query_tower)
    after = named_parameters(retriever.query_tower)
    between = {name: (1 - share) * np.asarray(before[name]) + share * np.asarray(after[name]) for name in after}
    assign_parameters(retriever.query_tower, between, source=str(encoder_path))
    return write_model(
        output,
        configuration=configuration,
        vocabulary=model.vocabulary,
        retriever=retriever,
        reader=model.reader(),
        inputs=inputs,
        step=model.artifact.counts['step'],
        overwrite=overwrite,
    )
