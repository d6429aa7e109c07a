"""A BERT that labels wordpieces, from a Hugging Face directory."""

import dataclasses

import keras
from etils import epath

from realm_tf.errors import RealmError
from realm_tf.models.bert_encoder import BertEncoder
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.weights import hugging_face
from realm_tf.weights.json_files import read_json
from realm_tf.weights.parameters import assign_parameters
from realm_tf.weights.pretrained import BERT


@dataclasses.dataclass(frozen=True)
class TokenClassifier:
    """A BERT with a linear classifier on every wordpiece.

    Attributes:
      encoder: the BERT.
      classifier: the classifier.
      labels: what its outputs stand for.
      vocabulary: the wordpieces.
      lower_case: whether texts are lower-cased before they are tokenised.
    """

    encoder: BertEncoder
    classifier: keras.layers.Dense
    labels: tuple[str, ...]
    vocabulary: Vocabulary
    lower_case: bool

    def logits(self, token_ids):
        """Scores the labels of wordpieces, int32 `[batch, length]` padded with 0: `[batch, length, labels]`."""
        return self.classifier(self.encoder(token_ids, keras.ops.zeros_like(token_ids)))


def read_token_classifier(path: epath.PathLike) -> TokenClassifier:
    """Reads a `BertForTokenClassification` from a Hugging Face directory.

    Args:
      path: the directory: `config.json` with `id2label`, `vocab.txt`, `model.safetensors`, and `tokenizer_config.json`,
        without which texts are lower-cased, as Hugging Face's default is.

    Raises:
      RealmError: if a file is missing or damaged, or they do not fit together.
    """
    path = epath.Path(path)
    pretrained = hugging_face.read(path, allow_pickle=False)
    if BERT not in pretrained.parts:
        raise RealmError(f'{path} is a REALM, where a BERT that labels wordpieces is needed.')
    config = pretrained.encoder
    labels = _read_labels(path)
    vocabulary = Vocabulary.read(path / 'vocab.txt')
    if len(vocabulary.pieces) > config.vocabulary_size:
        raise RealmError(
            f'{path / "vocab.txt"} has {len(vocabulary.pieces)} pieces, the BERT beside it {config.vocabulary_size}.'
        )
    encoder = BertEncoder(**dataclasses.asdict(config), skip_padding=True, dtype='float32')
    encoder.build()
    assign_parameters(encoder, pretrained.body(BERT), source=str(path))
    classifier = keras.layers.Dense(len(labels), dtype='float32', name='classifier')
    classifier.build((None, config.hidden_size))
    arrays = hugging_face.read_arrays(path, allow_pickle=False)
    head = {name: arrays[f'classifier.{name}'].T for name in ('weight', 'bias') if f'classifier.{name}' in arrays}
    if len(head) < 2:
        raise RealmError(f'{path} lacks classifier.weight or classifier.bias: it labels no wordpieces.')
    assign_parameters(classifier, {'kernel': head['weight'], 'bias': head['bias']}, source=str(path))
    return TokenClassifier(encoder, classifier, labels, vocabulary, hugging_face.lower_cases(path))


def _read_labels(path: epath.Path) -> tuple[str, ...]:
    by_id = read_json(path / 'config.json', 'the configuration of a model').get('id2label')
    if not isinstance(by_id, dict) or not by_id or set(by_id) != {str(id) for id in range(len(by_id))}:
        raise RealmError(f'{path / "config.json"} has no id2label with a label for each id from 0 on.')
    return tuple(by_id[str(id)] for id in range(len(by_id)))
