"""Open-domain question answering on real questions, with MiniLM, beside BM25 and MiniLM as it comes.

    python -m benchmarks.open_domain --documents articles.jsonl.gz --workdir open-domain \\
        --questions webquestions=jsonl:webquestions.train.jsonl \\
        --questions curatedtrec=regex:curatedtrec.train.jsonl --questions nq=jsonl:nq_open.train_subset.jsonl

Every stage is a command that users run, and is printed. Of each question set a development set is held out by the
paper's rule. The retriever is trained first, alone, on the questions of all sets, as that takes little time; several
times, by different seeds, and their mean is taken a part of the way back to MiniLM. Then the reader is trained on what
it finds. With --read-first FILE, a file in the form of SQuAD, the reader, and the first of the retrievers, begin with
its questions over its own paragraphs: a reader that has learnt what an answer is learns the rest sooner. The best
weights are chosen by the development questions, so that the figures on these are a little too good; name sets that
nothing was chosen by with --test, such as webquestions=jsonl:webquestions.test.jsonl. All rows of a table have the same
reader.

    python -m benchmarks.open_domain squad --train train.json --evaluate new_wiki.json --workdir squad-open

trains both towers of the retriever on the paragraphs and questions of one file in the form of SQuAD, and looks for the
paragraph that each question of the other was asked of among all of its paragraphs. Killed, the same command goes on
where it was.
"""

import json
import pathlib
import time
from collections.abc import Mapping, Sequence

import click

from benchmarks.machine import machine
from realm_tf.commands import refuse_options_before_subcommand, run_realm, setting_arguments
from realm_tf.evaluation.report import comparison_table
from realm_tf.files import read_json_lines
from realm_tf.quickstart.minilm import minilm_directory

# Blocks of about a hundred words, and MiniLM's own space.
COMMON = {
    'precision': 'mixed_bfloat16',
    'corpus.block_length': 160,
    'corpus.num_shards': 16,
    'retriever.projection_size': 384,
    'retriever.projection_start': 'identity',
    'index.searcher': 'exact',
    'finetune.question_length': 32,
    'finetune.reader_length': 192,
    'finetune.reader_blocks': 5,
    # The preset ends after so many; here the epochs say when.
    'finetune.max_steps': 'null',
}
RETRIEVER = {
    'objective': 'retriever',
    'batch_size': 32,
    'num_candidates': 1000,
    'epochs': 2,
    'measure_every': 100,
    'optimizer.learning_rate': 1e-4,
    'optimizer.warmup_steps': 20,
}
# Of the retrievers' mean; the rest is MiniLM's.
SHARE = 0.75
READER = {
    'objective': 'reader',
    'batch_size': 8,
    'num_candidates': 1000,
    'epochs': 2,
    'measure_every': 200,
    'checkpoint_every': 100,
    'optimizer.learning_rate': 6e-5,
    'optimizer.warmup_steps': 40,
}
# Before the question sets, where --read-first is given.
FIRST = READER | {'objective': 'joint', 'answer_match': 'document', 'epochs': 1, 'measure_every': 500}
# A question of SQuAD is about a sentence or two of a paragraph: an embedding of all of it says little of them.
SQUAD = {'corpus.block_length': 64, 'corpus.overlap': 1, 'corpus.num_shards': 4}
# Each question's own paragraph is known.
SQUAD_RETRIEVER = RETRIEVER | {
    'answer_match': 'document',
    'refresh': 'synchronous',
    'refresh_every': 100,
    'refresh_workers': 2,
    'fresh_candidates': 8,
    'max_steps': 300,
    'optimizer.learning_rate': 2e-5,
}


@click.group(invoke_without_command=True)
@click.option('--documents', help='Documents to build the corpus from.')
@click.option('--questions', 'sets', multiple=True, metavar='NAME=FORMAT:FILE', help='A training set; again for more.')
@click.option(
    '--test', 'tests', multiple=True, metavar='NAME=FORMAT:FILE', help='A set that is only measured; again for more.'
)
@click.option('--read-first', 'first_read', metavar='FILE', help='SQuAD v1.1 that is trained on before the sets.')
@click.option('--workdir', type=click.Path(path_type=pathlib.Path), help='Directory for everything.')
@click.option(
    '--set', 'assignments', multiple=True, metavar='NAME=VALUE', help='A setting, over those of the benchmark.'
)
@click.option('--workers', default=2, show_default=True, help='Processes that embed the corpus.')
@click.option(
    '--retrievers', type=click.IntRange(min=1), default=4, show_default=True, help='Trainings of the retriever.'
)
@click.option('--reader-steps', type=int, help='Steps of the reader; unset: two epochs.')
@click.pass_context
def main(context, documents, sets, tests, first_read, workdir, assignments, workers, retrievers, reader_steps):
    """Fine-tunes and evaluates on question sets, over one corpus."""
    if context.invoked_subcommand:
        return refuse_options_before_subcommand(context)
    if not (documents and sets and workdir):
        raise click.UsageError('Give --documents, --questions and --workdir.')
    experiment = Experiment(workdir, COMMON, assignments, workers)
    experiment.knowledge('knowledge', documents)
    experiment.encoder()
    experiment.embed('knowledge')
    names = [experiment.questions(given, dev=True) for given in sets]
    start = None
    if first_read:
        start = 'read'
        experiment.questions(f'reading=squad:{first_read}', dev=True)
        experiment.knowledge('reading-corpus', workdir / 'reading' / 'documents.jsonl')
        experiment.embed('reading-corpus')
        experiment.train('reading-corpus', ['reading'], start, FIRST)
    runs = [f'retriever-{seed}' for seed in range(retrievers)]
    for seed, run in enumerate(runs):
        experiment.train('knowledge', names, run, RETRIEVER, start=None if seed else start, seed=seed)
    experiment.interpolate(runs, SHARE, 'mean')
    reader = READER | {'max_steps': reader_steps or 'null'}
    trained = experiment.train('knowledge', names, 'reader', reader, start='mean')
    for name in names:
        experiment.evaluate(trained, 'knowledge', f'{name}/dev.jsonl', f'{name}-dev')
    for given in tests:
        asked = experiment.questions(given, 'tests', dev=False)
        name = pathlib.PurePath(asked).name
        experiment.evaluate(trained, 'knowledge', f'{asked}/train.jsonl', f'{name}-test', f'{name}-dev')
    experiment.print_tables()


@main.command()
@click.option('--train', 'train_file', required=True, help='SQuAD v1.1 to train on.')
@click.option('--evaluate', 'evaluated_file', required=True, help='SQuAD v1.1 to find the paragraphs of.')
@click.option('--workdir', required=True, type=click.Path(path_type=pathlib.Path), help='Directory for everything.')
@click.option(
    '--set', 'assignments', multiple=True, metavar='NAME=VALUE', help='A setting, over those of the benchmark.'
)
@click.option('--workers', default=2, show_default=True, help='Processes that embed the corpora.')
def squad(train_file, evaluated_file, workdir, assignments, workers):
    """Trains the retriever on the paragraphs of one file, and looks for those of another."""
    experiment = Experiment(workdir, COMMON | SQUAD, assignments, workers)
    experiment.questions(f'train=squad:{train_file}', dev=True)
    experiment.questions(f'evaluated=squad:{evaluated_file}', dev=False)
    experiment.encoder()
    for corpus, name in (('train-corpus', 'train'), ('evaluated-corpus', 'evaluated')):
        experiment.knowledge(corpus, workdir / name / 'documents.jsonl')
        experiment.embed(corpus)
    experiment.evaluate_encoder('evaluated-corpus', 'evaluated/train.jsonl', 'as-it-comes')
    trained = experiment.train('train-corpus', ['train'], 'retriever', SQUAD_RETRIEVER)
    by_trained = 'evaluated-by-trained'
    experiment.embed('evaluated-corpus', trained.parent / 'generations' / 'final' / 'encoder', by_trained)
    experiment.evaluate_retriever(trained, 'evaluated-corpus', by_trained, 'evaluated/train.jsonl', 'trained')
    experiment.print_tables()


class Experiment:
    """The stages, and the directory that they share.

    Args:
      directory: everything goes there; finished stages in it are kept.
      settings: those of the benchmark that all stages have in common.
      assignments: settings over those of the benchmark.
      workers: processes that embed a corpus.
    """

    def __init__(self, directory: pathlib.Path, settings: Mapping, assignments: Sequence[str], workers: int):
        self._directory = directory
        self._settings = settings
        self._overrides = dict(assignment.split('=', 1) for assignment in assignments)
        # The first one: trainings that are averaged need one each.
        self._seed = int(self._overrides.pop('seed', 0))
        self._workers = workers
        self._runs: list[str] = []
        self._evaluations: dict[str, pathlib.Path] = {}
        directory.mkdir(parents=True, exist_ok=True)

    def knowledge(self, name: str, documents: str | pathlib.Path) -> None:
        """Builds a corpus."""
        vocabulary = minilm_directory() / 'vocab.txt'
        self._realm('corpus', 'build', '--input', documents, '--vocabulary', vocabulary, '--output', self._at(name))

    def encoder(self) -> None:
        """Imports MiniLM."""
        self._realm('import', '--from', minilm_directory(), '--to', self._at('encoder'))

    def embed(self, corpus: str, encoder: pathlib.Path | None = None, embedded: str | None = None) -> None:
        """Embeds a corpus by MiniLM or another encoder, and builds its index; both are named after it, or otherwise."""
        embeddings, index = self._at(f'{embedded or corpus}-embeddings'), self._at(f'{embedded or corpus}-index')
        encoder = encoder or self._at('encoder')
        self._realm(
            *('embed', '--corpus', self._at(corpus), '--encoder', encoder, '--output', embeddings),
            *('--num_workers', self._workers),
        )
        self._realm('index', '--embeddings', embeddings, '--output', index)

    def questions(self, given: str, below: str = '', *, dev: bool) -> str:
        """Makes question files of `NAME=FORMAT:FILE`, and gives the directory that they are in, named so."""
        name, _, rest = given.partition('=')
        form, _, file = rest.partition(':')
        split, made = '--dev' if dev else '--no-dev', self._at(below, name)
        self._realm('questions', '--from', file, '--format', form, split, '--output', made, '--overwrite')
        return str(made.relative_to(self._directory))

    def train(
        self, corpus: str, names: Sequence[str], run: str, settings: Mapping, start: str | None = None, seed: int = 0
    ) -> pathlib.Path:
        """Trains, from the encoder or from what another run made; gives the model."""
        self._realm(
            *('finetune', *self._of(corpus), '--output', self._at(run)),
            *(('--model', self._at(start, 'model')) if start else ('--encoder', self._at('encoder'))),
            *(part for name in names for part in ('--questions', self._at(name, 'train.jsonl'))),
            *(part for name in names for part in ('--dev', self._at(name, 'dev.jsonl'))),
            chosen={'seed': self._seed + seed} | {f'finetune.{name}': value for name, value in settings.items()},
        )
        self._runs.append(run)
        return self._at(run, 'model')

    def interpolate(self, runs: Sequence[str], share: float, name: str) -> None:
        """Takes the mean of what runs trained, by this share; the rest is MiniLM's."""
        models = (part for run in runs for part in ('--model', self._at(run, 'model')))
        encoder, made = ('--encoder', self._at('encoder')), ('--to', self._at(name, 'model'))
        self._realm('interpolate', *models, *encoder, '--share', share, *made)

    def evaluate(
        self, model: pathlib.Path, corpus: str, file: str, output: str, calibration: str | None = None
    ) -> None:
        """Measures a model on a question file, beside MiniLM as it comes, BM25, and fusions with it."""
        calibrated = ('--calibration', self._at(calibration)) if calibration in self._evaluations else ()
        encoder = ('--encoder', self._at('encoder'))
        self._evaluate(output, *self._of(corpus), '--model', model, *encoder, '--bm25', *calibrated, questions=file)

    def evaluate_retriever(self, model: pathlib.Path, corpus: str, embedded: str, file: str, output: str) -> None:
        """Measures what a model retrieves, beside BM25 and their fusion."""
        model_and_corpus = ('--model', model, *self._of(corpus, embedded))
        self._evaluate(output, *model_and_corpus, '--bm25', '--retrieval-only', questions=file)

    def evaluate_encoder(self, corpus: str, file: str, output: str) -> None:
        """Measures what MiniLM as it comes retrieves."""
        paths = ('--corpus', self._at(corpus), '--embeddings', self._at(f'{corpus}-embeddings'))
        self._evaluate(output, *paths, '--encoder', self._at('encoder'), questions=file)

    def print_tables(self) -> None:
        """Prints what was measured, and what the steps of each training took."""
        print(f'\n{machine()}')
        for run in self._runs:
            lines = read_json_lines(self._at(run) / 'metrics.jsonl')
            seconds = sum(line['seconds'] for line in lines)
            retrieval = sum(line['retrieval_seconds'] for line in lines)
            print(
                f'{run}: {len(lines)} steps in {seconds / 60:.0f} minutes, {seconds / len(lines):.2f} s each; '
                f'{retrieval / seconds:.0%} of it to embed questions, search, label and pack.'
            )
        for name, path in self._evaluations.items():
            metrics = json.loads((path / 'metrics.json').read_text())
            comparison = metrics.get('comparison', {'encoder as it comes': metrics})
            print(f'\n{name}, {metrics["questions"]:,} questions\n\n{comparison_table(comparison)}')

    def _evaluate(self, output: str, *arguments, questions: str) -> None:
        files = ('--questions', self._at(questions), '--output', self._at(output))
        self._realm('evaluate', *arguments, *files, '--overwrite')
        self._evaluations[output] = self._at(output)

    def _of(self, corpus: str, embedded: str | None = None) -> tuple:
        embeddings, index = self._at(f'{embedded or corpus}-embeddings'), self._at(f'{embedded or corpus}-index')
        return '--corpus', self._at(corpus), '--embeddings', embeddings, '--index', index

    def _realm(self, *arguments, chosen: Mapping | None = None) -> None:
        """Runs a command, with the settings that are common, those of the stage, and those of the user over both."""
        settings = dict(self._settings) | dict(chosen or {}) | self._overrides
        takes_settings = arguments[0] not in ('questions', 'interpolate')
        chosen = ('--preset', 'small', *setting_arguments(settings)) if takes_settings else ()
        started = time.monotonic()
        # Status 3: lines of a question file were left out, and said to be.
        run_realm(*arguments, *chosen, accepted=(0, 3))
        print(f'  {time.monotonic() - started:.0f} s\n', flush=True)

    def _at(self, *parts: str) -> pathlib.Path:
        return self._directory.joinpath(*parts)


if __name__ == '__main__':
    main()
