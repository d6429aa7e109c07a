"""Trains and evaluates every row of the ablation table. Every stage is a command that users run, and is printed."""

import contextlib
import dataclasses
import json
import statistics
import time
from collections.abc import Mapping, Sequence

from etils import epath

from realm_tf.ablation.rows import REALM, ROWS, START, TRAININGS, Row
from realm_tf.ablation.sizes import Costs, Sizes, choose_sizes
from realm_tf.ablation.table import ablation_table
from realm_tf.artifacts import file_checksum, input_digests, write_text_whole
from realm_tf.commands import run_realm, setting_arguments
from realm_tf.config import Config, config_to_dict, require_nothing_of_development_questions, to_yaml
from realm_tf.corpus.questions import dev_split, read_questions, say_what_was_left_out, write_questions
from realm_tf.errors import RealmError
from realm_tf.files import read_json_lines
from realm_tf.locks import lock

# Steps of the trainings that are only measured; in the first of them TensorFlow compiles.
_MEASURED_STEPS = 12
_WARM_UP = 4


def ablate(
    corpus: epath.PathLike,
    spans: epath.PathLike,
    encoder: epath.PathLike,
    questions: epath.PathLike,
    output: epath.PathLike,
    config: Config,
    *,
    budget_hours: float,
    seeds: int = 1,
    rows: Sequence[Row] = ROWS,
    pretraining_corpus: epath.PathLike | None = None,
) -> epath.Path:
    """Trains and evaluates the rows of the paper's ablation table, and prints them beside the paper's.

    Costs are measured first, by a few steps of each training, and sizes chosen that fill the budget. Questions are
    split as the paper does: the development questions are those whose hash says so. Stopped, the same command goes on.

    Args:
      corpus: the knowledge corpus.
      spans: salient spans of the pre-training corpus.
      encoder: the encoder that all begin with: after the inverse cloze task.
      questions: JSON Lines of questions and answers.
      output: directory for everything.
      config: the configuration; its lengths of training are replaced.
      budget_hours: hours for everything, on this machine.
      seeds: how often everything is done, with seeds that follow each other.
      rows: which rows are made.
      pretraining_corpus: the pre-training corpus, which sentences come from; None: the knowledge corpus.

    Returns:
      The path of the table, in Markdown.

    Raises:
      RealmError: if a stage fails, the budget is too small, `output` has ablations of other inputs, or the
        configuration asks for what the fine-tuning of an ablation has not.
    """
    _require_plain_finetuning(config)
    output = epath.Path(output)
    output.mkdir(parents=True, exist_ok=True)
    inputs = _Inputs(corpus, pretraining_corpus, spans, encoder)
    with lock(output / 'ablate.lock') or contextlib.nullcontext():
        return _ablate(inputs, questions, output, config, budget_hours, seeds, rows)


def _ablate(
    inputs: '_Inputs',
    questions: epath.PathLike,
    output: epath.Path,
    config: Config,
    budget_hours: float,
    seeds: int,
    rows: Sequence[Row],
) -> epath.Path:
    asked = {'budget_hours': budget_hours, 'seeds': seeds, 'rows': [row.directory for row in rows]}
    _require_same(output, config, asked, questions, **vars(inputs))
    _write_split(questions, output)
    stages = _Stages(inputs, output, config.seed)
    sizes = _sizes(stages, output, budget_hours, seeds, rows)
    print(
        f'Steps of each pre-training: {sizes.pretraining_steps}; refreshes of its index: {sizes.refreshes_made}; '
        f'steps of each fine-tuning, at most: {sizes.finetuning_steps}.\n'
    )
    results = []
    for seed in range(config.seed, config.seed + seeds):
        of_seed = _Stages(inputs, output, seed)
        results.append({row.name: of_seed.row(row, sizes) for row in rows})
    table = ablation_table(rows, results, sizes)
    write_text_whole(output / 'ablations.md', table)
    print(table)
    return output / 'ablations.md'


@dataclasses.dataclass(frozen=True)
class _Inputs:
    """What every row is made from.

    Attributes:
      corpus: the knowledge corpus.
      pretraining_corpus: what sentences come from; None: the knowledge corpus.
      spans: salient spans of the pre-training corpus.
      encoder: the encoder that all begin with.
    """

    corpus: epath.PathLike
    pretraining_corpus: epath.PathLike | None
    spans: epath.PathLike
    encoder: epath.PathLike


class _Stages:
    """The commands, and where what they make lies."""

    def __init__(self, inputs: _Inputs, output: epath.Path, seed: int) -> None:
        self.encoder = epath.Path(inputs.encoder)
        self._inputs = inputs
        self._corpus = ('--corpus', inputs.corpus)
        self._output = output
        self._directory = output / f'seed-{seed}'
        self._seed = seed

    def row(self, row: Row, sizes: Sizes) -> dict:
        """Makes what a row needs; returns its zero-shot and its fine-tuned metrics."""
        place = self._directory / 'rows' / row.directory
        encoder = self._encoder_of(row, sizes)
        index = self.indexed(encoder, place)
        zero_shot = self.zero_shot(encoder, place)
        model = self.finetuned(encoder, index, place / 'finetune', sizes.finetuning_steps) / 'model'
        return {'zero_shot': zero_shot, 'finetuned': self.evaluated(model, index, place)}

    def _encoder_of(self, row: Row, sizes: Sizes) -> epath.Path:
        retriever, reader = (self._trained(training, sizes) for training in (row.retriever, row.reader))
        if retriever == reader:
            return retriever
        combined = self._directory / 'rows' / row.directory / 'encoder'
        run_realm('combine', '--retriever', retriever, '--reader', reader, '--to', combined, '--overwrite')
        return combined

    def _trained(self, training: str, sizes: Sizes) -> epath.Path:
        if training == START:
            return self.encoder
        settings = {'refresh': 'synchronous', 'refresh_every': sizes.refresh_every, **TRAININGS[training]}
        return self.pretrained(self._directory / training, sizes.pretraining_steps, settings) / 'encoder'

    def pretrained(self, run: epath.Path, steps: int, settings: Mapping) -> epath.Path:
        """Pre-trains from the start, and returns the run."""
        start = self._output / 'start'
        index = self.indexed(self.encoder, start)
        # How stale an index becomes is what the rows differ in.
        chosen = {'steps': steps, 'checkpoint_every': max(1, steps // 10), 'max_stale_steps': 'null', **settings}
        sentences = self._inputs.pretraining_corpus
        self._configured(
            *('pretrain', *self._corpus, *(('--pretraining-corpus', sentences) if sentences else ())),
            *('--spans', self._inputs.spans, '--encoder', self.encoder),
            *('--embeddings', start / 'embeddings', '--index', index, '--output', run, '--overwrite'),
            *setting_arguments(chosen, 'pretrain'),
        )
        return run

    def indexed(self, encoder: epath.Path, place: epath.Path) -> epath.Path:
        """Embeds the corpus and builds an index."""
        self._configured(
            *('embed', *self._corpus, '--encoder', encoder, '--output', place / 'embeddings', '--overwrite')
        )
        self._configured('index', '--embeddings', place / 'embeddings', '--output', place / 'index', '--overwrite')
        return place / 'index'

    def zero_shot(self, encoder: epath.Path, place: epath.Path) -> dict:
        """The metrics of a retriever on the development questions."""
        return self._evaluation(
            place / 'zero-shot', '--encoder', encoder, '--embeddings', place / 'embeddings', *self._corpus
        )

    def finetuned(self, encoder: epath.Path, index: epath.Path, run: epath.Path, steps: int) -> epath.Path:
        """Fine-tunes, and returns the run."""
        self._configured(
            *('finetune', *self._corpus, '--encoder', encoder, '--embeddings', index.parent / 'embeddings'),
            *('--index', index, '--questions', self._output / 'train.jsonl', '--output', run, '--overwrite'),
            *setting_arguments({'max_steps': steps}, 'finetune'),
        )
        return run

    def evaluated(self, model: epath.Path, index: epath.Path, place: epath.Path) -> dict:
        """The metrics of a model on the development questions."""
        embeddings = ('--embeddings', index.parent / 'embeddings')
        return self._evaluation(place / 'evaluation', '--model', model, '--index', index, *self._corpus, *embeddings)

    def _evaluation(self, output: epath.Path, *arguments) -> dict:
        questions = ('--questions', self._output / 'dev.jsonl')
        self._configured('evaluate', *arguments, *questions, '--output', output, '--overwrite')
        return json.loads((output / 'metrics.json').read_text())

    def _configured(self, *arguments) -> None:
        config = ('--config', self._output / 'config.yaml')
        run_realm(*arguments, *config, *setting_arguments({'seed': self._seed}))


def _require_plain_finetuning(config: Config) -> None:
    require_nothing_of_development_questions(config)
    if config.finetune.refresh != 'none':
        raise RealmError(
            f"finetune.refresh = '{config.finetune.refresh}': ablations are fine-tuned with their documents frozen, as "
            "the paper's are. Leave it at 'none'."
        )


def _sizes(stages: _Stages, output: epath.Path, budget_hours: float, seeds: int, rows: Sequence[Row]) -> Sizes:
    """The sizes, chosen once: what an interrupted command chose stays."""
    path = output / 'sizes.json'
    if path.exists():
        return Sizes(**json.loads(path.read_text())['sizes'])
    costs = _measure(stages, output)
    sizes = choose_sizes(costs, budget_hours, seeds, rows)
    write_text_whole(path, json.dumps({'costs': vars(costs), 'sizes': vars(sizes)}, indent=2))
    return sizes


def _measure(stages: _Stages, output: epath.Path) -> Costs:
    """Measures by doing, and throws the trainings away; what is embedded is what all of them begin with."""
    start, trial = output / 'start', output / 'trial'
    for left in (start, trial):
        if left.exists():
            left.rmtree()
    embedding, index = _timed(lambda: stages.indexed(stages.encoder, start))
    pretraining = stages.pretrained(trial / 'pretrain', _MEASURED_STEPS, {'refresh': 'none', **TRAININGS[REALM]})
    finetuning = stages.finetuned(stages.encoder, index, trial / 'finetune', _MEASURED_STEPS)
    zero_shot, _ = _timed(lambda: stages.zero_shot(stages.encoder, start))
    evaluation, _ = _timed(lambda: stages.evaluated(finetuning / 'model', index, trial))
    costs = Costs(_seconds_a_step(pretraining), _seconds_a_step(finetuning), embedding, zero_shot + evaluation)
    trial.rmtree()
    return costs


def _timed(function):
    started = time.monotonic()
    result = function()
    return time.monotonic() - started, result


def _seconds_a_step(run: epath.Path) -> float:
    # Of few questions a fine-tuning may have no more steps than those in which TensorFlow compiles.
    lines = read_json_lines(run / 'metrics.jsonl')
    return statistics.median(line['seconds'] for line in lines[_WARM_UP:] or lines[-1:])


def _write_split(questions: epath.PathLike, output: epath.Path) -> None:
    read = read_questions(questions)
    say_what_was_left_out(questions, read)
    for name, part in zip(('train.jsonl', 'dev.jsonl'), dev_split(read.questions), strict=True):
        if not part:
            raise RealmError(f'{questions} has too few questions: none fell into {name}.')
        write_questions(output / name, part)


def _require_same(
    output: epath.Path, config: Config, asked: Mapping, questions: epath.PathLike, **artifacts: epath.PathLike | None
) -> None:
    """Writes down what the directory is made from; refuses one that was made from something else.

    The sizes of all trainings follow from the budget, the seeds and the rows: with others of these, none is kept.
    """
    digests = input_digests(**artifacts) | {'questions': file_checksum(questions)}
    recipe = json.dumps({'inputs': digests, 'configuration': config_to_dict(config), 'asked': dict(asked)}, indent=2)
    path = output / 'ablations.json'
    if path.exists() and path.read_text() != recipe:
        there, here = json.loads(path.read_text()), json.loads(recipe)
        if there | {'asked': here['asked']} == here:
            was = ', '.join(f'{name} = {value}' for name, value in there['asked'].items())
            raise RealmError(
                f'{output} holds ablations with {was}, from which the sizes of its trainings follow. Give the same, or '
                'name another directory.'
            )
        raise RealmError(f'{output} holds ablations of other inputs or settings. Name another directory.')
    write_text_whole(path, recipe)
    write_text_whole(output / 'config.yaml', to_yaml(config))
