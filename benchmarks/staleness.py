"""Whether pre-training teaches retrieval, and what a stale index does to it.

    python -m benchmarks.staleness --corpus-file articles.jsonl.gz --questions webquestions.train.jsonl \\
        --questions nq_open.train_subset.jsonl --workdir staleness --picture docs/staleness.svg

Every stage is a command that users run, and is printed. MiniLM's body was itself trained to retrieve, so that it is no
neutral start: the towers pool [CLS], which it was not trained by, through a fresh random projection. It has no
masked-language-model head either: the reader is first trained without documents, and then on sentences that stand there
twice, so that it learns to look for what is masked; what a reader teaches that does not look is noise. The retriever is
trained on a short inverse cloze task. From both, pre-training is run twice, alike but for the index: refreshed every
so many steps, or 30 times more seldom. Its sentences come from the same articles cut into shorter blocks, which are to
it another corpus: the block that says what is masked may then be found, as in so small a corpus few others say it.
Zero-shot recall is measured before and after the inverse cloze task, and along both trainings. Killed, the same command
goes on where it was. Prints a table in Markdown, and draws it.
"""

import concurrent.futures
import json
import math
import os
import pathlib
import shutil
import time
from collections.abc import Mapping, Sequence

import click
import numpy as np

from benchmarks.machine import machine
from benchmarks.pictures import picture
from realm_tf.artifacts import MANIFEST, file_checksum, write_text_whole
from realm_tf.commands import run_realm, setting_arguments
from realm_tf.files import read_json_lines
from realm_tf.quickstart.minilm import minilm_directory
from realm_tf.training.checkpoints import step_directory, steps_below
from realm_tf.training.generations import generation_of_step
from realm_tf.weights.encoder_artifact import RETRIEVER
from realm_tf.weights.parameters import load_parameters

COMMON = {
    'precision': 'mixed_bfloat16',
    'corpus.block_length': 64,
    'retriever.pooling': 'cls',
    'retriever.projection_start': 'random',
}
# With the null document as the only candidate, the objective is BERT's own, and the retriever gets no gradient.
WORDPIECES = {
    'num_candidates': 1,
    'masking': 'tokens',
    'batch_size': 32,
    'refresh': 'none',
    'checkpoint_every': 100,
    'optimizer.learning_rate': 2e-4,
    'optimizer.warmup_steps': 100,
}
ICT = {'steps': 50, 'batch_size': 32, 'optimizer.learning_rate': 2e-5, 'optimizer.warmup_steps': 10}
# What is masked stands in the other half of the sentence, most of the time.
COPYING = {
    'num_candidates': 1,
    'masking': 'tokens',
    'batch_size': 16,
    'query_length': 64,
    'refresh': 'none',
    'checkpoint_every': 100,
    'optimizer.learning_rate': 2e-4,
    'optimizer.warmup_steps': 50,
}
# Training that waits for the index is as far behind it on a slow machine as on a fast one.
PRETRAIN = {
    'num_candidates': 4,
    'batch_size': 8,
    'refresh': 'synchronous',
    'refresh_workers': 2,
    'optimizer.learning_rate': 2e-5,
    'optimizer.warmup_steps': 20,
}
# Of few blocks; an approximate index would add to the difference, and a tower that collapses can have none.
EXACT = {'index.searcher': 'exact'}
SENTENCES = {'corpus.block_length': 48}
STALER = 30
_POLL_SECONDS = 1.0


@click.command()
@click.option('--corpus-file', required=True, help='Documents to build the corpus from.')
@click.option('--questions', 'question_files', required=True, multiple=True, help='JSON Lines; again for more.')
@click.option('--workdir', required=True, type=click.Path(path_type=pathlib.Path), help='Directory for everything.')
@click.option('--picture', 'path', type=click.Path(path_type=pathlib.Path), help='An SVG to draw the curves into.')
@click.option('--wordpiece-steps', default=1000, show_default=True, help='Steps of the reader without documents.')
@click.option('--copying-steps', default=600, show_default=True, help='Steps of it on repeated sentences.')
@click.option('--steps', default=1200, show_default=True, help='Steps of each pre-training.')
@click.option('--refresh-every', default=40, show_default=True, help='Steps between refreshes of the fresh index.')
@click.option('--measure-every', default=200, show_default=True, help='Steps between two measurements.')
def main(
    corpus_file,
    question_files,
    workdir,
    path,
    wordpiece_steps,
    copying_steps,
    steps,
    refresh_every,
    measure_every,
):
    """Trains with a fresh and with a stale index, and measures recall along both."""
    experiment = Experiment(workdir)
    experiment.prepare(corpus_file, question_files)
    first = experiment.start(wordpiece_steps, copying_steps)
    trainings = {
        f'refreshed every {refresh_every} steps': ('fresh', refresh_every),
        f'{STALER} times staler': ('stale', STALER * refresh_every),
    }
    curves = {name: experiment.pretrain(run, steps, every, measure_every) for name, (run, every) in trainings.items()}
    print(f'\n{machine()}\n\n{recall_table(first, curves)}\n')
    print(training_table({name: experiment.metrics(run) for name, (run, _) in trainings.items()}))
    if path:
        draw(first['after ICT'], curves, path)


class Experiment:
    """The stages, and the directory that they share.

    Args:
      directory: everything goes there; finished stages in it are kept.
    """

    def __init__(self, directory: pathlib.Path):
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def prepare(self, corpus_file: str, question_files: Sequence[str]) -> None:
        """Makes the corpus, its spans, the imported encoder, and the file of questions that it can answer."""
        self._build(corpus_file, 'corpus', 'spans')
        self._build(corpus_file, 'sentences', 'sentence-spans', SENTENCES)
        write_repeated(self._at('corpus'), self._at('repeated.jsonl'))
        # Any block will do that has a span of some kind.
        self._build(self._at('repeated.jsonl'), 'repeated-corpus', 'repeated-spans', {'spans.tagger': 'dates'})
        self._realm('import', '--from', minilm_directory(), '--to', self._at('encoder'))
        write_answerable_questions(self._at('corpus'), question_files, self._at('questions.jsonl'))

    def _build(self, documents: str | pathlib.Path, corpus: str, spans: str, chosen: Mapping | None = None) -> None:
        vocabulary = minilm_directory() / 'vocab.txt'
        inputs = ('--input', documents, '--vocabulary', vocabulary)
        self._realm('corpus', 'build', *inputs, '--output', self._at(corpus), chosen=chosen)
        self._realm('corpus', 'tag-spans', '--corpus', self._at(corpus), '--output', self._at(spans), chosen=chosen)

    def start(self, wordpiece_steps: int, copying_steps: int) -> dict[str, dict]:
        """Trains the reader without documents, and the retriever on the inverse cloze task.

        Returns:
          The metrics of the retriever before and after the inverse cloze task.
        """
        before = self._measure(self._at('encoder'), self._at('before-ict'))
        self._index(self._at('before-ict'))
        wordpieces = self._pretraining('encoder', 'before-ict', 'wordpieces', WORDPIECES | {'steps': wordpiece_steps})
        self._realm(*wordpieces, '--spans', self._at('spans'))
        self._realm(
            *('ict', '--corpus', self._at('corpus'), '--encoder', self._at('wordpieces', 'encoder')),
            *('--output', self._at('ict'), *setting_arguments(ICT, 'ict')),
        )
        after = self._measure(self._at('ict', 'encoder'), self._at('after-ict'))
        self._index(self._at('after-ict'))
        repeated = ('--pretraining-corpus', self._at('repeated-corpus'), '--spans', self._at('repeated-spans'))
        copying = COPYING | {'steps': copying_steps}
        self._realm(*self._pretraining('ict/encoder', 'after-ict', 'copying', copying), *repeated)
        networks = ('--retriever', self._at('ict', 'encoder'), '--reader', self._at('copying', 'encoder'))
        run_realm('combine', *networks, '--to', self._at('start', 'encoder'))
        self._realm(
            *('embed', '--corpus', self._at('corpus'), '--encoder', self._at('start', 'encoder')),
            *('--output', self._at('start', 'embeddings')),
        )
        self._index(self._at('start'), EXACT)
        return {'before ICT': before, 'after ICT': after}

    def pretrain(self, name: str, steps: int, refresh_every: int, measure_every: int) -> dict[int, dict]:
        """Pre-trains, and measures the retriever along the way.

        Returns:
          Metrics of the retriever, by step.
        """
        run, points = self._at(name), self._at(f'{name}-points')
        chosen = {'steps': steps, 'refresh_every': refresh_every, 'checkpoint_every': measure_every}
        # As old as a schedule makes it, and no warning.
        chosen['max_stale_steps'] = 2 * refresh_every
        pretraining = self._pretraining('start/encoder', 'start', name, PRETRAIN | chosen)
        sentences = ('--pretraining-corpus', self._at('sentences'), '--spans', self._at('sentence-spans'))
        with concurrent.futures.ThreadPoolExecutor() as threads:
            training = threads.submit(self._realm, *pretraining, *sentences, chosen=EXACT)
            while not training.done():
                keep_retrievers(run, points)
                time.sleep(_POLL_SECONDS)
        training.result()
        keep_retrievers(run, points)
        metrics = {}
        for step in steps_below(points):
            point = step_directory(points, step)
            make_encoder(point, self._at('start', 'encoder'))
            metrics[step] = self._measure(point / 'encoder', point)
        return metrics

    def metrics(self, name: str) -> list[dict]:
        """What a training wrote at every step."""
        return read_json_lines(self._at(name) / 'metrics.jsonl')

    def _pretraining(self, encoder: str, start: str, output: str, chosen: Mapping) -> list:
        return [
            *('pretrain', '--corpus', self._at('corpus'), '--encoder', self._at(encoder)),
            *('--embeddings', self._at(start, 'embeddings'), '--index', self._at(start, 'index')),
            *('--output', self._at(output), *setting_arguments(chosen, 'pretrain')),
        ]

    def _index(self, place: pathlib.Path, chosen: Mapping | None = None) -> None:
        self._realm('index', '--embeddings', place / 'embeddings', '--output', place / 'index', chosen=chosen)

    def _measure(self, encoder: pathlib.Path, place: pathlib.Path) -> dict:
        corpus = ('--corpus', self._at('corpus'), '--encoder', encoder)
        self._realm('embed', *corpus, '--output', place / 'embeddings')
        self._realm(
            *('evaluate', *corpus, '--embeddings', place / 'embeddings'),
            *('--questions', self._at('questions.jsonl'), '--output', place / 'evaluation'),
        )
        return json.loads((place / 'evaluation' / 'metrics.json').read_text())

    def _realm(self, *arguments, chosen: Mapping | None = None) -> None:
        run_realm(*arguments, '--preset', 'small', *setting_arguments(COMMON | dict(chosen or {})))

    def _at(self, *parts: str) -> pathlib.Path:
        return self._directory.joinpath(*parts)


def write_repeated(corpus: pathlib.Path, output: pathlib.Path) -> None:
    """Writes documents in which every sentence of a corpus stands twice, as one sentence."""
    from realm_tf.corpus.block_store import BlockStore
    from realm_tf.corpus.sentences import split_sentences

    store = BlockStore.open(corpus)
    rows = np.arange(len(store))
    lines = []
    for row, title, text in zip(rows.tolist(), store.titles(rows), store.texts(rows), strict=True):
        sentences = [text[start:limit].strip() for start, limit in split_sentences(text)]
        twice = ' '.join(f'{sentence.rstrip(".")}, {sentence}' for sentence in sentences)
        lines.append(json.dumps({'id': str(row), 'title': title, 'text': twice}, ensure_ascii=False) + '\n')
    write_text_whole(output, ''.join(lines))


def write_answerable_questions(corpus: pathlib.Path, files: Sequence[str], output: pathlib.Path) -> None:
    """Writes the questions of all files that have an answer in a block."""
    from realm_tf.corpus.block_store import BlockStore
    from realm_tf.corpus.questions import read_questions, write_questions
    from realm_tf.evaluation.answers import blocks_with_answers

    store = BlockStore.open(corpus)
    kept = []
    for file in files:
        questions = read_questions(file).questions
        holders = blocks_with_answers(store, questions)
        answerable = [question for question, blocks in zip(questions, holders, strict=True) if len(blocks)]
        chance = np.mean([1 - (1 - len(blocks) / len(store)) ** 5 for blocks in holders if len(blocks)])
        print(
            f'{len(answerable):,} of the {len(questions):,} questions of {file} have an answer in the corpus; five '
            f'random blocks would hold one of {100 * chance:.1f} % of those.'
        )
        kept += answerable
    write_questions(output, kept)


def keep_retrievers(run: pathlib.Path, points: pathlib.Path) -> None:
    """Keeps the retriever of every checkpoint, before the training removes it.

    Where an index generation of the same step is built, its encoder and embeddings are kept: the weights are the same.
    """
    for step in steps_below(run / 'checkpoints'):
        checkpoint, point = step_directory(run / 'checkpoints', step), step_directory(points, step)
        if (checkpoint / MANIFEST).exists() and not point.exists():
            point.mkdir(parents=True)
            os.link(checkpoint / RETRIEVER, point / RETRIEVER)
    for step in steps_below(points):
        generation, point = generation_of_step(run, step), step_directory(points, step)
        if generation.is_published() and not (point / 'encoder').exists():
            shutil.copytree(generation.embeddings, point / 'embeddings', copy_function=os.link)
            shutil.copytree(generation.encoder, point / 'encoder', copy_function=os.link)


def make_encoder(point: pathlib.Path, start: pathlib.Path) -> None:
    """Makes an encoder of the retriever that was kept at a step, like the one that the training started from."""
    from realm_tf.weights.encoder_artifact import Encoder, write_encoder

    if (point / 'encoder' / MANIFEST).exists():
        return
    started_from = Encoder.open(start)
    retriever = started_from.retriever()
    load_parameters(retriever, point / RETRIEVER)
    write_encoder(
        point / 'encoder',
        configuration=started_from.artifact.configuration,
        vocabulary=started_from.vocabulary,
        retriever=retriever,
        knowledge_augmented_encoder=None,
        inputs={'encoder': started_from.artifact.digest, 'retriever': file_checksum(point / RETRIEVER)},
        step=int(point.name.removeprefix('step-')),
        overwrite=True,
    )


def recall_table(first: Mapping[str, Mapping], curves: Mapping[str, Mapping[int, Mapping]]) -> str:
    """Recall in percent with its standard error, a line for every measurement."""
    number = first['before ICT']['questions']
    lines = [f'| retriever, {number:,} questions | recall@1 | recall@5 | recall@20 |', '|---|---|---|---|']
    lines += [f'| {name} | {_recalls(metrics)} |' for name, metrics in first.items()]
    for name, points in curves.items():
        lines += [f'| {name}, step {step} | {_recalls(metrics)} |' for step, metrics in points.items()]
    return '\n'.join(lines)


def training_table(trainings: Mapping[str, Sequence[Mapping]]) -> str:
    """How old the index was over the whole training, and what reader and retriever did in its last quarter."""
    lines = [
        '| index | steps old, mean | at most | loss | masked wordpieces right | retrieval utility | null document |',
        '|---|---|---|---|---|---|---|',
    ]
    for name, steps in trainings.items():
        ages = [step['staleness_steps'] for step in steps]
        last = steps[-(len(steps) // 4) :]
        loss, accuracy, utility, null = (
            sum(step[key] for step in last) / len(last)
            for key in ('loss', 'accuracy', 'retrieval_utility', 'null_probability')
        )
        lines.append(
            f'| {name} | {sum(ages) / len(ages):.0f} | {max(ages):.0f} | {loss:.2f} | {100 * accuracy:.1f} % | '
            f'{utility:+.3f} | {100 * null:.0f} % |'
        )
    return '\n'.join(lines)


def _recalls(metrics: Mapping) -> str:
    return ' | '.join(
        f'{100 * metrics[f"recall@{k}"]:.1f} ± {100 * standard_error(metrics[f"recall@{k}"], metrics["questions"]):.1f}'
        for k in (1, 5, 20)
    )


def standard_error(share: float, number: int) -> float:
    """The standard error of a share of so many questions."""
    return math.sqrt(share * (1 - share) / number)


def draw(start: Mapping, curves: Mapping[str, Mapping[int, Mapping]], path: pathlib.Path) -> None:
    """Draws recall@5 by step, with its standard error."""
    with picture(path, 6, 3.2) as axes:
        for name, points in curves.items():
            with_start = {0: start, **points}
            recalls = [metrics['recall@5'] for metrics in with_start.values()]
            errors = [standard_error(recall, start['questions']) for recall in recalls]
            axes.errorbar(list(with_start), recalls, errors, label=name, marker='o', capsize=3)
        axes.set(xlabel='step of pre-training', ylabel='zero-shot recall@5')
        axes.grid(alpha=0.3)
        axes.legend()


if __name__ == '__main__':
    main()
