"""Whether weights are computed with as they were made, and inputs are as long as they can be."""

from collections.abc import Mapping
from typing import Any

from etils import epath

from realm_tf.config import Config
from realm_tf.errors import RealmError

OF_RETRIEVER = (
    'encoder.num_heads',
    'encoder.activation',
    'encoder.layer_norm_epsilon',
    'retriever.pooling',
    'retriever.projection_layer_norm_epsilon',
)
OF_KNOWLEDGE_AUGMENTED_ENCODER = OF_RETRIEVER[:3]
OF_READER = (*OF_RETRIEVER[:3], 'finetune.reader_layer_norm_epsilon')


def settings_named(config: Config, names: tuple[str, ...]) -> dict[str, Any]:
    """Settings of a configuration by their dotted names, such as `encoder.activation`."""
    return {name: _setting(config, name) for name in names}


def require_fit(
    theirs: Mapping[str, Any], config: Config, source: epath.PathLike, or_else: str = ', or a preset that fits'
) -> None:
    """Checks that a configuration has the settings that weights, or figures, were made with.

    Args:
      theirs: these settings, by their dotted names.
      config: the configuration.
      source: where they are, for the error.
      or_else: what else than to give these settings the error says can be done.

    Raises:
      RealmError: if it has others; the sentence names them, and what to give.
    """
    ours = settings_named(config, tuple(theirs))
    misfits = {name: value for name, value in theirs.items() if value != ours[name]}
    if misfits:
        found = ', '.join(f'{name} is {value!r} there and {ours[name]!r} here' for name, value in misfits.items())
        remedy = ' '.join(f'--set {name}={value}' for name, value in misfits.items())
        raise RealmError(f'{source} does not fit the configuration: {found}. Give {remedy}{or_else}.')


def require_positions(config: Config, lengths: Mapping[str, int]) -> None:
    """Checks that the encoder has a position for every wordpiece of its inputs.

    Args:
      config: of the encoder.
      lengths: the wordpieces of its inputs, by what the error calls them.

    Raises:
      RealmError: if it has not.
    """
    for name, length in lengths.items():
        if length > config.encoder.max_positions:
            raise RealmError(
                f'With {name} an input has {length} wordpieces, and the encoder has positions for '
                f'{config.encoder.max_positions} (encoder.max_positions). Choose a shorter one.'
            )


def _setting(config: Config, name: str) -> Any:
    section, setting = name.split('.')
    return getattr(getattr(config, section), setting)
