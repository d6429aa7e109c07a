"""The report of the quickstart: `report.json`, and `report.html` with its plots inside."""

import base64
import importlib.metadata
import io
import json
import pathlib
import platform
from collections.abc import Mapping, Sequence

import jinja2
import matplotlib

matplotlib.use('agg')

from matplotlib import pyplot

from realm_tf import __version__
from realm_tf.artifacts import open_artifact, write_text_whole
from realm_tf.config import Config, config_to_dict
from realm_tf.environment import processor
from realm_tf.files import read_json_lines
from realm_tf.training.checkpoints import steps_below

# Where the recall of each state of the retriever was measured.
EVALUATIONS = {
    'before ICT': 'before-ict/evaluation',
    'after ICT': 'after-ict/evaluation',
    'after pre-training': 'after-pretraining/evaluation',
    'after fine-tuning': 'evaluation',
}
_PACKAGES = ('tensorflow', 'keras', 'tensorflow-text', 'scann', 'apache-beam', 'numpy')
_SHOWN_PREDICTIONS = 12


def write_report(
    directory: pathlib.Path, preset: str, config: Config, measurements: Mapping[str, Mapping[str, float]]
) -> pathlib.Path:
    """Writes `report.json` and `report.html`.

    Args:
      directory: the working directory of a finished quickstart.
      preset: the preset it ran with.
      config: its configuration.
      measurements: seconds and peak memory of each stage.

    Returns:
      The path of `report.html`.
    """
    report = _collect(directory, preset, config, measurements)
    write_text_whole(directory / 'report.json', json.dumps(report, indent=2, ensure_ascii=False))
    template = pathlib.Path(__file__).with_name('report.html').read_text()
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(template).render(report=report, plots=_plots(report), sum=sum)
    write_text_whole(directory / 'report.html', page)
    return directory / 'report.html'


def _collect(directory: pathlib.Path, preset: str, config: Config, measurements: Mapping) -> dict:
    predictions = read_json_lines(directory / 'evaluation' / 'predictions.jsonl')
    pretraining = read_json_lines(directory / 'pretrain' / 'metrics.jsonl')
    return {
        'preset': preset,
        'evaluation': {
            name: json.loads((directory / path / 'metrics.json').read_text()) for name, path in EVALUATIONS.items()
        },
        'counts': {
            kind: dict(open_artifact(directory / path).counts)
            for kind, path in (('factbook', 'factbook'), ('corpus', 'corpus'), ('spans', 'spans'), ('index', 'index'))
        },
        'refresh': {
            'generations': sorted({int(line['generation']) for line in pretraining}),
            'generations_kept': steps_below(directory / 'pretrain' / 'generations'),
            'most_stale_steps': max(line['staleness_steps'] for line in pretraining),
            'longest_wait_seconds': max(line['waited_seconds'] for line in pretraining[1:]),
            'index_waited_seconds': sum(line['index_waited_seconds'] for line in pretraining),
            'longest_step_seconds': max(line['seconds'] for line in pretraining[1:]),
            'median_step_seconds': sorted(line['seconds'] for line in pretraining)[len(pretraining) // 2],
        },
        'training': {
            'ICT': read_json_lines(directory / 'ict' / 'metrics.jsonl'),
            'REALM pre-training': pretraining,
            'fine-tuning': read_json_lines(directory / 'finetune' / 'metrics.jsonl'),
        },
        'predictions': predictions[:: max(1, len(predictions) // _SHOWN_PREDICTIONS)],
        'stages': dict(measurements),
        'versions': {
            'realm-tf': __version__,
            'python': platform.python_version(),
            **{package: importlib.metadata.version(package) for package in _PACKAGES},
        },
        'machine': f'{platform.system()} {platform.machine()}, {processor()}',
        'configuration': config_to_dict(config),
    }


def _plots(report: Mapping) -> dict[str, str]:
    pretraining = report['training']['REALM pre-training']
    return {
        'Loss': _curves(
            {name: [(line['step'], line['loss']) for line in lines] for name, lines in report['training'].items()},
            'step',
            'loss',
        ),
        'Retrieval utility': _curves(
            {'mean over candidates': [(line['step'], line['retrieval_utility']) for line in pretraining]},
            'step of pre-training',
            'log p(y | x, z) − log p(y | x, ∅)',
        ),
        'Staleness of the index': _curves(
            {'staleness': [(line['step'], line['staleness_steps']) for line in pretraining]},
            'step of pre-training',
            'steps since the snapshot',
        ),
        'Recall': _curves(
            {
                f'recall@{k}': [(name, metrics[f'recall@{k}']) for name, metrics in report['evaluation'].items()]
                for k in (1, 5, 20)
            },
            '',
            'recall on held-out countries',
        ),
    }


def _curves(curves: Mapping[str, Sequence[tuple]], x_label: str, y_label: str) -> str:
    """Draws curves, and gives the picture as a data URL."""
    figure, axes = pyplot.subplots(figsize=(6, 3.2), layout='constrained')
    for name, points in curves.items():
        axes.plot(*zip(*points, strict=True), label=name, marker='o' if len(points) < 10 else None)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.3)
    axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format='svg', metadata={'Date': None})
    pyplot.close(figure)
    return 'data:image/svg+xml;base64,' + base64.b64encode(picture.getvalue()).decode()
