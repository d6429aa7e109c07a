"""The command `realm`.

Every command opens artefacts, calls one function, and leaves an artefact. TensorFlow is imported by the command that
needs it, after everything that can be wrong with its arguments was looked at, so that help and errors come at once.
"""

import os
import sys

import click

from realm_tf import __version__
from realm_tf.commands import refuse_options_before_subcommand
from realm_tf.environment import assume_frozen_weights
from realm_tf.errors import STOPPED_BY_SYSTEM, RealmError, sentence_of

# Commands that are programs of their own: `realm corpus build …` is `python -m beam_jobs.build_corpus …`.
_PROGRAMS = {
    'build': 'beam_jobs.build_corpus',
    'tag-spans': 'beam_jobs.tag_spans',
    'embed': 'beam_jobs.embed_blocks',
    'export': 'export',
    'ask': 'export.ask',
    'serve': 'export.serve',
}


class _Path(click.Path):
    """An existing directory or file, local or `gs://`."""

    def convert(self, value, param, ctx):
        return value if '://' in value else super().convert(value, param, ctx)


INPUT = _Path(exists=True)
SOURCE = _Path()
OUTPUT = _Path(file_okay=False)


@click.group(context_settings={'help_option_names': ['-h', '--help'], 'show_default': True, 'max_content_width': 110})
@click.version_option(__version__, prog_name='realm')
def realm():
    """Retrieval-augmented language-model pre-training and open-domain question answering.

    A first try, on real text: realm quickstart
    """


@realm.group()
def corpus():
    """Make a corpus of blocks, and find its salient spans."""


def _program(group: click.Group, name: str, text: str) -> None:
    """Adds a command that hands its arguments to a program of its own."""

    @group.command(
        name,
        help=text,
        add_help_option=False,
        context_settings={'ignore_unknown_options': True, 'allow_extra_args': True, 'allow_interspersed_args': False},
    )
    @click.argument('arguments', nargs=-1, type=click.UNPROCESSED)
    def run(arguments):
        os.execv(sys.executable, [sys.executable, '-m', _PROGRAMS[name], *arguments])


_program(corpus, 'build', 'Cut documents into blocks (an Apache Beam job).')
_program(corpus, 'tag-spans', 'Find named entities and dates in blocks (an Apache Beam job).')
_program(realm, 'embed', 'Embed the blocks of a corpus with many workers (an Apache Beam job).')
_program(realm, 'export', 'Write a QA model as one SavedModel: question in, answer and evidence out.')
_program(realm, 'ask', 'Ask an exported model.')
_program(realm, 'serve', 'Serve an exported model: a page to ask it, and the interfaces of TensorFlow Serving.')


def configured(*sections: str, settings_of: tuple[str, ...] = (), **short_for: str):
    """Gives a command `--preset`, `--config` and `--set`, and passes it the `Config` they make.

    The settings of `sections` are listed in its help. Those of the artefact that the first of the options
    `settings_of` names which is given are over the preset. Of an option that is short for a `--set`, and over it,
    `short_for` names the setting.
    """
    preset_help = 'Settings to start from: paper, base, small or tiny.'
    if settings_of:
        preset_help += f' Over it: those that the {" or ".join(settings_of)} was made with.'

    def decorate(command):
        def with_config(preset, config_file, overrides, **arguments):
            from realm_tf.config import load_config, parse_overrides, settings_to_answer_with

            made = next(((kind, arguments[kind]) for kind in settings_of if arguments[kind] is not None), None)
            saved = None
            if made is not None:
                from realm_tf.artifacts import open_artifact

                kind, path = made
                saved = settings_to_answer_with(open_artifact(path, kind).configuration)
            asked = {setting: arguments.pop(option) for option, setting in short_for.items()}
            given = {setting: value for setting, value in asked.items() if value is not None}
            config = load_config(preset, config_file, parse_overrides(overrides) | given, saved)
            return command(config=config, **arguments)

        with_config.__name__, with_config.__doc__ = command.__name__, command.__doc__
        with_config.__click_params__ = [
            *getattr(command, '__click_params__', []),
            click.Option(['--set', 'overrides'], multiple=True, metavar='NAME=VALUE', help=_set_help(sections)),
            click.Option(['--config', 'config_file'], type=INPUT, help='YAML with settings, over the preset.'),
            click.Option(['--preset'], default='paper', help=preset_help),
        ]
        return with_config

    return decorate


def _set_help(sections: tuple[str, ...]) -> str:
    names = ', '.join(f'{section}.*' for section in sections)
    return f'A setting, over preset and file (here: {names}). All of them, explained: realm config.'


def _strategy(command):
    """Gives a command `--strategy` and `--tpu`."""
    where = click.Choice(['default', 'mirrored', 'multiworker', 'tpu'])
    command = click.option('--tpu', help="Name of a Cloud TPU, or 'local' on its own machine.")(command)
    return click.option('--strategy', type=where, default='default', help='Where it runs: docs/cloud-tpu.md.')(command)


def _prepare(run, result: str, configuration, inputs, overwrite: bool, strategy: str) -> bool:
    """Makes the directory of a training ready; False if its result is there."""
    from realm_tf.training.runs import prepare_run

    is_chief = True
    if strategy == 'multiworker':
        from realm_tf.training.strategies import is_first_worker

        is_chief = is_first_worker()
    return prepare_run(run, result, configuration=configuration, inputs=inputs, overwrite=overwrite, is_chief=is_chief)


def _require_place(strategy: str, tpu: str | None, config) -> None:
    """Checks, before anything is written, that a training can run where it is to."""
    from realm_tf.config import require_fixed_shapes

    if tpu is not None and strategy != 'tpu':
        raise RealmError(f'--tpu is for --strategy tpu, and this is --strategy {strategy}.')

    if strategy == 'tpu':
        require_fixed_shapes(config)


def _overwrite(command):
    return click.option('--overwrite', is_flag=True, help='Replace what was made with other settings or inputs.')(
        command
    )


@realm.command()
@configured('every section')
def config(config):
    """Print the settings of a preset as YAML, each explained."""
    from realm_tf.config import to_yaml

    click.echo(to_yaml(config))


@realm.command()
@click.option('--output', required=True, type=OUTPUT, help='Directory for documents and questions.')
@_overwrite
@configured('quickstart')
def factbook(output, overwrite, config):
    """Make documents and questions from the World Factbook."""
    from realm_tf.corpus.factbook import write_factbook

    write_factbook(output, config.quickstart, config.seed, overwrite)
    _done(output)


@realm.command('import')
@click.option(
    '--from',
    'sources',
    required=True,
    multiple=True,
    type=SOURCE,
    help='Weights: a Hugging Face directory, a BERT of TensorFlow Hub, by directory or handle, a TensorFlow 1 '
    'checkpoint, or what realm made. Again for more, which are put together.',
)
@click.option(
    '--to', 'output', required=True, type=OUTPUT, help='Directory of the encoder or, with a reader, the model.'
)
@click.option('--vocabulary', type=INPUT, help='A vocab.txt, where no source has one.')
@click.option('--corpus', type=INPUT, help='The corpus: of the embeddings, and for principal components.')
@click.option(
    '--embeddings',
    type=OUTPUT,
    help='Directory for the embeddings of blocks that a source has; if none has, of those that the model is to use.',
)
@click.option('--allow-pickle', is_flag=True, help='Open pickles, such as pytorch_model.bin, which can run code.')
@click.option('--random', is_flag=True, help='Read vocab.txt alone, and start from random weights.')
@_overwrite
@configured('encoder', 'retriever', 'finetune')
def import_(sources, output, vocabulary, corpus, embeddings, allow_pickle, random, overwrite, config):
    """Make an encoder or a model of weights from elsewhere."""
    from realm_tf.weights.import_weights import import_weights

    import_weights(
        sources,
        output,
        config,
        random=random,
        vocabulary_path=vocabulary,
        corpus_path=corpus,
        embeddings_path=embeddings,
        allow_pickle=allow_pickle,
        overwrite=overwrite,
    )


@realm.command()
@click.option('--from', 'source', required=True, type=INPUT, help='An encoder or a model.')
@click.option('--to', 'output', required=True, type=OUTPUT, help='A new or empty directory.')
@click.option('--format', required=True, type=click.Choice(['hugging-face', 'tf-hub']), help='What others read.')
@click.option('--corpus', type=INPUT, help="The model's corpus, for a RealmForOpenQA.")
@click.option('--embeddings', type=INPUT, help="The model's embeddings of the corpus, for a RealmForOpenQA.")
def convert(source, output, format, corpus, embeddings):
    """Write the weights of an encoder or a model for other libraries."""
    from realm_tf.weights.convert import convert

    for path in convert(source, output, format, corpus_path=corpus, embeddings_path=embeddings):
        _done(path)


@realm.command()
@click.option('--retriever', required=True, type=INPUT, help='The encoder whose dual encoder is taken.')
@click.option('--reader', required=True, type=INPUT, help='The encoder whose knowledge-augmented encoder is taken.')
@click.option('--to', 'output', required=True, type=OUTPUT, help='Directory of the new encoder.')
@_overwrite
def combine(retriever, reader, output, overwrite):
    """Put the retriever of one encoder together with the reader of another."""
    from realm_tf.weights.combine import combine

    combine(retriever, reader, output, overwrite=overwrite)
    _done(output)


@realm.command()
@click.option(
    '--model',
    'models',
    required=True,
    multiple=True,
    type=INPUT,
    help='A model that was fine-tuned with frozen documents; again for more, of which the first gives the reader.',
)
@click.option('--encoder', required=True, type=INPUT, help='The encoder that their fine-tuning began with.')
@click.option('--share', required=True, type=click.FloatRange(0, 1), help='Share of the fine-tuned weights.')
@click.option('--to', 'output', required=True, type=OUTPUT, help='Directory of the new model.')
@_overwrite
def interpolate(models, encoder, share, output, overwrite):
    """Take the mean query tower of models part of the way back to where they began."""
    from realm_tf.weights.interpolate import interpolate

    interpolate(models, encoder, share, output, overwrite=overwrite)
    _done(output)


@realm.command()
@click.option('--corpus', required=True, type=INPUT, help='The corpus.')
@click.option('--encoder', required=True, type=INPUT, help='The encoder to start from.')
@click.option('--output', 'run', required=True, type=OUTPUT, help='Directory of the run; the result is its encoder/.')
@_strategy
@_overwrite
@configured('ict')
def ict(corpus, encoder, run, strategy, tpu, overwrite, config):
    """Warm-start the retriever with the inverse cloze task."""
    from realm_tf.config import recipe

    _require_place(strategy, tpu, config)
    inputs = _inputs(corpus=corpus, encoder=encoder)
    configuration = recipe(config, 'ict')
    if not _prepare(run, 'encoder', configuration, inputs, overwrite, strategy):
        return _up_to_date(run)
    from realm_tf.training import ict
    from realm_tf.training.strategies import make_strategy

    ict.train(corpus, encoder, run, config, strategy=make_strategy(strategy, tpu))
    _done(run)


@realm.command()
@click.option('--corpus', required=True, type=INPUT, help='The knowledge corpus.')
@click.option('--spans', required=True, type=INPUT, help='Salient spans of the pre-training corpus.')
@click.option('--pretraining-corpus', type=INPUT, help='The pre-training corpus, if it is not the knowledge corpus.')
@click.option('--encoder', required=True, type=INPUT, help='The encoder to start from.')
@click.option('--embeddings', required=True, type=INPUT, help='Embeddings of the corpus by this encoder.')
@click.option('--index', required=True, type=INPUT, help='An index over them, for the first steps.')
@click.option('--output', 'run', required=True, type=OUTPUT, help='Directory of the run; the result is its encoder/.')
@_strategy
@_overwrite
@configured('pretrain', 'embed', 'index')
def pretrain(corpus, spans, pretraining_corpus, encoder, embeddings, index, run, strategy, tpu, overwrite, config):
    """Pre-train retriever and reader together, with an index that is refreshed from the weights in training."""
    from realm_tf.config import recipe

    _require_place(strategy, tpu, config)
    inputs = _inputs(
        corpus=corpus,
        spans=spans,
        pretraining_corpus=pretraining_corpus,
        encoder=encoder,
        embeddings=embeddings,
        index=index,
    )
    configuration = recipe(config, 'pretrain', 'embed', 'index')
    if not _prepare(run, 'encoder', configuration, inputs, overwrite, strategy):
        return _up_to_date(run)
    from realm_tf.training import pretrain
    from realm_tf.training.strategies import make_strategy

    where = make_strategy(strategy, tpu)
    pretrain.train(
        corpus,
        spans,
        encoder,
        embeddings,
        index,
        run,
        config,
        pretraining_corpus_path=pretraining_corpus,
        strategy=where,
    )
    _done(run)


@realm.command()
@click.option('--run', required=True, type=INPUT, help='Directory of the training run.')
@click.option('--corpus', required=True, type=INPUT, help='The knowledge corpus.')
@click.option('--nice', default=0, help='How far to yield to other processes on this machine.')
@click.argument('beam_options', nargs=-1, type=click.UNPROCESSED)
def refresh(run, corpus, nice, beam_options):
    """Build an index generation from the newest snapshot of a training run, again and again until it is finished.

    `realm pretrain`, and `realm finetune` with a refresh, start this beside themselves. With pretrain.refresh=external
    or finetune.refresh=external they do not: run it where the directory of the run is seen. BEAM_OPTIONS, after “--”,
    are those of Apache Beam for the job that embeds the corpus:
    realm refresh --run RUN --corpus CORPUS -- --num_workers 64
    """
    from realm_tf.training.index_builder import run_builder

    os.nice(nice)
    run_builder(run, corpus, beam_options)


@realm.group(invoke_without_command=True)
@click.option('--embeddings', type=INPUT, help='The embeddings.')
@click.option('--output', type=OUTPUT, help='Directory of the index.')
@click.option(
    '--recall', type=click.FloatRange(0, 1, min_open=True), help='What search is tuned to reach: index.recall.'
)
@click.option('--k', type=click.IntRange(1), help='The k of the recall@k: index.recall_at.')
@_overwrite
@configured('index', recall='index.recall', k='index.recall_at')
@click.pass_context
def index(context, embeddings, output, overwrite, config):
    """Build an index over embeddings: tune it to a recall at the least cost, and measure it."""
    if context.invoked_subcommand is not None:
        return refuse_options_before_subcommand(context)
    _require_options(context, embeddings=embeddings, output=output)
    from realm_tf.search.index import build_index

    build_index(embeddings, output, config.index, overwrite=overwrite, seed=config.seed)
    _done(output)


@index.command()
@click.option('--index', 'old', required=True, type=INPUT, help='The index of the corpus before.')
@click.option('--embeddings', required=True, type=INPUT, help='Embeddings of the edited corpus, by the same encoder.')
@click.option('--output', required=True, type=OUTPUT, help='Directory of the new index.')
@_overwrite
def update(old, embeddings, output, overwrite):
    """Make the index of an edited corpus without building it: blocks that are as they were keep their codes."""
    from realm_tf.search.index import update_index

    update_index(old, embeddings, output, overwrite=overwrite)
    _done(output)


@realm.command()
@click.option('--from', 'source', required=True, type=INPUT, help='Questions as they are published.')
@click.option('--output', required=True, type=OUTPUT, help='Directory for train.jsonl and dev.jsonl.')
@click.option(
    '--format',
    default='jsonl',
    type=click.Choice(['jsonl', 'regex', 'natural-questions', 'squad']),
    help='{"question", "answer"} a line; with answers that are regular expressions (CuratedTREC); Natural Questions, '
    'as JSON Lines; SQuAD v1.1, whose paragraphs become documents.jsonl.',
)
@click.option('--dev/--no-dev', default=True, help="Split off a development set, by the paper's rule.")
@_overwrite
def questions(source, output, format, dev, overwrite):
    """Make question files of a published set, and split off a development set."""
    from realm_tf.corpus.question_sets import write_question_set
    from realm_tf.corpus.questions import say_what_was_left_out

    artifact, read = write_question_set(source, output, format, dev=dev, overwrite=overwrite)
    say_what_was_left_out(source, read)
    click.echo(', '.join(f'{name}: {count}' for name, count in artifact.counts.items()))
    _done(output)
    _exit_after(read)


_QUESTIONS = 'JSON Lines of {"question": …, "answer": […]}'


@realm.command()
@click.option('--corpus', required=True, type=INPUT, help='The knowledge corpus.')
@click.option('--encoder', type=INPUT, help='The encoder to start from.')
@click.option('--model', type=INPUT, help='Or a QA model, to go on with.')
@click.option('--embeddings', required=True, type=INPUT, help='Embeddings of the corpus by this encoder.')
@click.option('--index', required=True, type=INPUT, help='An index over them.')
@click.option('--questions', 'files', required=True, multiple=True, type=INPUT, help=f'{_QUESTIONS}; again for more.')
@click.option('--dev', 'dev_files', multiple=True, type=INPUT, help='The same, to choose the best weights by.')
@click.option('--output', 'run', required=True, type=OUTPUT, help='Directory of the run; the result is its model/.')
@_strategy
@_overwrite
@configured('finetune', 'embed', 'index')
def finetune(corpus, encoder, model, embeddings, index, files, dev_files, run, strategy, tpu, overwrite, config):
    """Fine-tune for open-domain question answering.

    The document tower is frozen with its embeddings; with finetune.refresh it is trained too, and the index refreshed.
    If a line of a question file cannot be used it is left out, and the status is 3.
    """
    from realm_tf.artifacts import open_artifact
    from realm_tf.config import recipe, require_nothing_of_development_questions, sections_of_finetuning

    if (encoder is None) == (model is None):
        raise RealmError('Give either --encoder or --model to start from.')
    if not dev_files:
        require_nothing_of_development_questions(config)
    _require_place(strategy, tpu, config)
    reads, dev_reads = _question_files(files), _question_files(dev_files)
    inputs = _inputs(corpus=corpus, encoder=encoder, model=model, embeddings=embeddings, index=index)
    if model is not None and 'encoder' in (made_from := open_artifact(model).inputs):
        # By this the model can answer from other corpora too.
        inputs['encoder'] = made_from['encoder']
    inputs |= _checksums('questions', files) | _checksums('dev', dev_files)
    configuration = recipe(config, *sections_of_finetuning(config))
    if not _prepare(run, 'model', configuration, inputs, overwrite, strategy):
        _up_to_date(run)
        _exit_after(*reads, *dev_reads)
        return
    from realm_tf.training import finetune
    from realm_tf.training.strategies import make_strategy

    finetune.train(
        corpus,
        encoder or model,
        embeddings,
        index,
        [question for read in reads for question in read.questions],
        run,
        config,
        inputs,
        development=[question for read in dev_reads for question in read.questions],
        strategy=make_strategy(strategy, tpu),
    )
    _done(run)
    _exit_after(*reads, *dev_reads)


@realm.command()
@click.option('--corpus', required=True, type=INPUT, help='The knowledge corpus.')
@click.option('--model', type=INPUT, help='A QA model, to measure its answers and its recall.')
@click.option(
    '--encoder', type=INPUT, help='An encoder, to measure its zero-shot recall; with --model, to compare with it.'
)
@click.option('--embeddings', required=True, type=INPUT, help='Embeddings of the corpus by this encoder or model.')
@click.option(
    '--encoder-embeddings',
    type=INPUT,
    help='With --model and --encoder, embeddings by the encoder, where the model answers with others: those of a '
    'fine-tuning that refreshed them. Unset: --embeddings.',
)
@click.option('--index', type=INPUT, help='An index over the embeddings, for --model.')
@click.option('--questions', type=INPUT, help=f'{_QUESTIONS}.')
@click.option('--bm25', is_flag=True, help="Compare with BM25 over the same blocks, read by the model's reader.")
@click.option('--calibration', type=INPUT, help='An evaluation on development questions, to choose when not to answer.')
@click.option('--retrieval-only', is_flag=True, help='Of --model, measure recall alone: its reader reads nothing.')
@click.option('--explain', metavar='QUESTION', help='Show why the model answers a question as it does, and no more.')
@click.option('--output', type=OUTPUT, help='Directory for metrics and predictions.')
@_overwrite
@configured('finetune', settings_of=('model', 'encoder'))
def evaluate(
    corpus,
    model,
    encoder,
    embeddings,
    encoder_embeddings,
    index,
    questions,
    bm25,
    calibration,
    retrieval_only,
    explain,
    output,
    overwrite,
    config,
):
    """Measure recall, and with --model answers; or explain one.

    If a line of the question file cannot be used it is left out, and the status is 3.
    """
    from realm_tf.config import recipe

    if model is None and encoder is None:
        raise RealmError('Give either --encoder or --model.')
    if model is None and (index or bm25 or calibration or retrieval_only or explain):
        raise RealmError(
            '--index, --bm25, --calibration, --retrieval-only and --explain are for --model; the recall of an encoder '
            'is by exact search.'
        )
    if model is not None and index is None:
        raise RealmError('--model needs --index.')
    if encoder_embeddings and (model is None or encoder is None):
        raise RealmError('--encoder-embeddings is for an --encoder that is compared with a --model.')
    if retrieval_only and (calibration or explain):
        raise RealmError('--calibration and --explain are about answers, which --retrieval-only does not make.')

    assume_frozen_weights(config.precision)
    if explain is not None:
        from realm_tf.evaluation.evaluate import explain_question

        return click.echo(explain_question(corpus, model, embeddings, index, explain, config))
    if questions is None or output is None:
        raise RealmError('Give --questions and --output, or a question to --explain.')
    reads = _question_files([questions])
    inputs = _inputs(
        corpus=corpus,
        encoder=encoder,
        model=model,
        embeddings=embeddings,
        encoder_embeddings=encoder_embeddings,
        index=index,
        calibration=calibration,
    )
    inputs |= _checksums('questions', [questions]) | ({'compared': 'bm25'} if bm25 else {})
    inputs |= {'measured': 'retrieval'} if retrieval_only else {}
    if not _is_current(output, 'evaluation', recipe(config, 'finetune'), inputs):
        from realm_tf.evaluation.evaluate import Compared, evaluate_model, evaluate_retriever

        asked = reads[0].questions
        if model is None:
            evaluate_retriever(corpus, encoder, embeddings, asked, output, config, inputs, overwrite)
        else:
            evaluate_model(
                corpus,
                model,
                embeddings,
                index,
                asked,
                output,
                config,
                inputs,
                compared=Compared(encoder, encoder_embeddings, bm25),
                calibration_path=calibration,
                retrieval_only=retrieval_only,
                overwrite=overwrite,
            )
        _done(output)
    _exit_after(*reads)


@realm.command()
@click.option('--corpus', required=True, type=INPUT, help='The knowledge corpus.')
@click.option('--spans', required=True, type=INPUT, help='Salient spans of the pre-training corpus.')
@click.option('--pretraining-corpus', type=INPUT, help='The pre-training corpus, if it is not the knowledge corpus.')
@click.option('--encoder', required=True, type=INPUT, help='The encoder that all begin with, of realm ict.')
@click.option('--questions', required=True, type=INPUT, help='JSON Lines of questions and answers, to be split.')
@click.option('--output', required=True, type=OUTPUT, help='Directory for everything.')
@click.option('--budget-hours', required=True, type=click.FloatRange(min=0, min_open=True), help='For all of it.')
@click.option(
    '--seeds', default=1, show_default=True, type=click.IntRange(min=1), help='How often, each with its seed.'
)
@click.option('--row', 'names', multiple=True, help='A row of the table; again for more. Unset: all.')
@configured('pretrain', 'finetune', 'embed', 'index')
def ablate(names, config, **inputs):
    """Train and evaluate the rows of the paper's ablation table, as far as a budget goes.

    Stopped, the same command goes on where it was.
    """
    from realm_tf.ablation.ablate import ablate
    from realm_tf.ablation.rows import rows_named

    _done(ablate(config=config, rows=rows_named(names), **inputs))


@realm.command()
@click.option('--blocks', type=click.IntRange(1), help='How many blocks there are to be; unset: those of the corpus.')
@click.option(
    '--workers',
    type=click.IntRange(1),
    help='Workers that embed, each with a core; unset: pretrain.refresh_workers.',
)
@click.option('--corpus', type=INPUT, help='Blocks to measure with; unset: random ones of the full length.')
@click.option('--encoder', type=INPUT, help='The encoder to measure; unset: random weights in the shape of the preset.')
@click.option(
    '--blocks-per-second',
    type=click.FloatRange(0, min_open=True),
    help='Of one worker; unset: measured here, with one thread.',
)
@click.option(
    '--seconds-per-step',
    type=click.FloatRange(0, min_open=True),
    help='Of the training, to say how many steps a refresh takes.',
)
@click.option('--run', type=INPUT, help='Directory of a training run whose steps say --seconds-per-step.')
@click.option(
    '--index-sample',
    default=100_000,
    type=click.IntRange(1000),
    help='Embeddings of the larger of two indices that are measured.',
)
@configured('encoder', 'retriever', 'corpus', 'embed', 'index', 'pretrain')
def plan(config, corpus, encoder, **asked):
    """Say what embedding and indexing so many blocks will take, from what a minute here measures.

    Time, memory, disk, and the steps trained meanwhile; each line says what it rests on.
    """
    from realm_tf.planning.run import plan

    for line in plan(config, corpus_path=corpus, encoder_path=encoder, **asked):
        click.echo(f'{line.what:<42} {line.value:>18}   {line.basis}')


@realm.command()
@click.option('--workdir', default='realm-quickstart', type=OUTPUT, help='Directory for everything it makes.')
@click.option('--preset', default='small', type=click.Choice(['small', 'tiny']), help='How much is done.')
@click.option('--seed', default=0, help='Seed of every random choice.')
def quickstart(workdir, preset, seed):
    """From the World Factbook to an answered question, in a quarter of an hour on two cores.

    Runs every stage with the command that you would run; Ctrl-C, and the same command goes on where it was.
    """
    from realm_tf.quickstart.stages import run_quickstart

    run_quickstart(workdir, preset, seed)


def _inputs(**paths: str | None) -> dict[str, str]:
    """Digests of artefacts by role; of a training in progress, what is read is not removed."""
    from realm_tf.artifacts import input_digests
    from realm_tf.training.leases import lease_while_running

    digests = input_digests(**paths)
    for role in digests:
        lease_while_running(paths[role])
    return digests


def _require_options(context: click.Context, **values) -> None:
    """Of a group that is a command too: what it must be given where it is the command."""
    for parameter in context.command.params:
        if parameter.name in values and values[parameter.name] is None:
            raise click.MissingParameter(ctx=context, param=parameter)


def _is_current(output: str, kind: str, configuration, inputs) -> bool:
    from realm_tf.artifacts import outdated_because

    current = outdated_because(output, kind, configuration, inputs) is None
    if current:
        _up_to_date(output)
    return current


def _question_files(paths):
    """Reads question files, and says what is left out of them."""
    from realm_tf.corpus.questions import read_questions, say_what_was_left_out

    reads = [read_questions(path) for path in paths]
    for path, read in zip(paths, reads, strict=True):
        say_what_was_left_out(path, read)
    return reads


def _checksums(role: str, paths) -> dict[str, str]:
    """Checksums of files of one role: `questions`, `questions_2`, …"""
    from realm_tf.artifacts import file_checksum

    names = [role, *(f'{role}_{number}' for number in range(2, len(paths) + 1))]
    return {name: file_checksum(path) for name, path in zip(names, paths, strict=False)}


# Of a command that did its work, and left out lines of a question file that could not be used.
LEFT_OUT = 3


def _exit_after(*read) -> None:
    """Ends with the status `LEFT_OUT` if a line of a question file was left out."""
    if any(questions.rejected for questions in read):
        raise click.exceptions.Exit(LEFT_OUT)


def _up_to_date(output: str) -> None:
    click.echo(f'{output} is up to date.')


def _done(output) -> None:
    click.echo(f'Wrote {output}.')


def main() -> None:
    """Runs `realm`; errors for people go to standard error as a sentence, with exit status 2, the system's with 1."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    os.environ.setdefault('KERAS_BACKEND', 'tensorflow')
    try:
        # Not what a command returns: the status of one that ended itself.
        sys.exit(realm(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except RealmError as error:
        click.echo(f'realm: {error}', err=True)
        sys.exit(2)
    except OSError as error:
        click.echo(f'realm: {sentence_of(error)}', err=True)
        sys.exit(STOPPED_BY_SYSTEM)
    except (KeyboardInterrupt, click.Abort):
        click.echo('Interrupted. The same command goes on from here.', err=True)
        sys.exit(130)


if __name__ == '__main__':
    main()
