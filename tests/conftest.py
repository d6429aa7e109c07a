"""What all tests share."""

import json
import os
import pathlib
import subprocess
import sys

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('KERAS_BACKEND', 'tensorflow')

import hypothesis
import pytest

from realm_tf.errors import RealmError
from realm_tf.quickstart.minilm import minilm_directory
from realm_tf.text.vocabulary import Vocabulary

# The same examples every time, and no test that fails because the machine was busy.
hypothesis.settings.register_profile('deterministic', deadline=None, derandomize=True)
hypothesis.settings.load_profile('deterministic')


@pytest.fixture(scope='session')
def pretrained_directory() -> pathlib.Path:
    """The Hugging Face directory of MiniLM, in the package of the quickstart."""
    try:
        return minilm_directory()
    except RealmError as error:
        pytest.skip(str(error))


@pytest.fixture(scope='session')
def vocabulary_path(pretrained_directory) -> pathlib.Path:
    """The vocabulary of uncased BERT."""
    return pretrained_directory / 'vocab.txt'


@pytest.fixture(scope='session')
def vocabulary(vocabulary_path) -> Vocabulary:
    """The vocabulary of uncased BERT."""
    return Vocabulary.read(vocabulary_path)


DOCUMENTS = [
    {
        'id': f'{number}',
        'title': title,
        'text': f'{title} is a town in {country}. It was founded on {1 + number} May {1800 + number} by {founder}.\n'
        f'The river {river} runs through {title}. {founder} was born there in {1750 + number}. '
        f'About {3 + number},000 people live in {title}, and most of them speak {language}.',
    }
    for number, (title, country, founder, river, language) in enumerate(
        (town, country, founder, river, language)
        for town, river in (('Alba', 'Tern'), ('Brevo', 'Ister'), ('Cardo', 'Lune'), ('Dorn', 'Wye'), ('Elsö', 'Ouse'))
        for country, language in (('France', 'French'), ('Poland', 'Polish'), ('Peru', 'Spanish'), ('Ghana', 'English'))
        for founder in ('Ada Long', 'Émile Short')
    )
]


@pytest.fixture(scope='session')
def tiny_config():
    """The preset of tests, without dropout."""
    from realm_tf.config import load_config

    return load_config('tiny', overrides={'encoder.dropout': 0.0, 'corpus.block_length': 48})


@pytest.fixture(scope='session')
def tiny_corpus(tmp_path_factory, vocabulary_path, tiny_config) -> pathlib.Path:
    """A corpus of a few invented towns, made by the job."""
    from beam_jobs import build_corpus
    from beam_jobs.options import parse

    directory = tmp_path_factory.mktemp('tiny')
    lines = ''.join(json.dumps(document, ensure_ascii=False) + '\n' for document in DOCUMENTS)
    (directory / 'documents.jsonl').write_text(lines)
    arguments = ['--input', str(directory / 'documents.jsonl'), '--vocabulary', str(vocabulary_path)]
    arguments += ['--output', str(directory / 'corpus')]
    options = parse(arguments, build_corpus.__name__, build_corpus.BuildCorpusOptions)
    build_corpus.run(options, tiny_config)
    return directory / 'corpus'


@pytest.fixture(scope='session')
def tiny_spans(tmp_path_factory, tiny_corpus, tiny_config) -> pathlib.Path:
    """The dates of the tiny corpus, found by the job."""
    from beam_jobs import tag_spans
    from beam_jobs.options import parse

    output = tmp_path_factory.mktemp('tiny-spans') / 'spans'
    arguments = ['--corpus', str(tiny_corpus), '--output', str(output)]
    tag_spans.run(parse(arguments, tag_spans.__name__, tag_spans.TagSpansOptions), tiny_config)
    return output


@pytest.fixture(scope='session')
def news(tmp_path_factory, vocabulary_path, tiny_config) -> pathlib.Path:
    """A corpus of news, and its spans, made by the jobs."""
    from beam_jobs import build_corpus, tag_spans
    from beam_jobs.options import parse

    directory = tmp_path_factory.mktemp('news')
    documents = [
        {'id': f'{day}', 'title': '', 'text': f'On {day} June {1900 + day} a fair was held in Dorn. Many came.'}
        for day in range(1, 25)
    ]
    (directory / 'news.jsonl').write_text(''.join(json.dumps(document) + '\n' for document in documents))
    arguments = ['--input', str(directory / 'news.jsonl'), '--vocabulary', str(vocabulary_path)]
    arguments += ['--output', str(directory / 'corpus')]
    build_corpus.run(parse(arguments, build_corpus.__name__, build_corpus.BuildCorpusOptions), tiny_config)
    arguments = ['--corpus', str(directory / 'corpus'), '--output', str(directory / 'spans')]
    tag_spans.run(parse(arguments, tag_spans.__name__, tag_spans.TagSpansOptions), tiny_config)
    return directory


@pytest.fixture(scope='session')
def tiny_encoder(tmp_path_factory, pretrained_directory, tiny_config) -> pathlib.Path:
    """A random encoder."""
    from realm_tf.weights.import_weights import import_weights

    output = tmp_path_factory.mktemp('tiny-encoder') / 'encoder'
    import_weights([pretrained_directory], output, tiny_config, random=True)
    return output


@pytest.fixture(scope='session')
def tiny_embeddings(tmp_path_factory, tiny_corpus, tiny_encoder) -> pathlib.Path:
    """The tiny corpus, embedded by the random encoder with the job."""
    output = tmp_path_factory.mktemp('tiny-embeddings') / 'embeddings'
    paths = ('--corpus', tiny_corpus, '--encoder', tiny_encoder, '--output', output, '--preset', 'tiny')
    # A process of its own: it settles the threads of TensorFlow, which this one has started.
    subprocess.run([sys.executable, '-m', 'beam_jobs.embed_blocks', *map(str, paths)], check=True)
    return output


@pytest.fixture(scope='session')
def tiny_index(tmp_path_factory, tiny_embeddings, tiny_config) -> pathlib.Path:
    """An index over the tiny embeddings."""
    from realm_tf.search.index import build_index

    output = tmp_path_factory.mktemp('tiny-index') / 'index'
    build_index(tiny_embeddings, output, tiny_config.index)
    return output


@pytest.fixture(scope='session')
def tiny_questions(tmp_path_factory) -> pathlib.Path:
    """Questions about the towns of the tiny corpus."""
    path = tmp_path_factory.mktemp('tiny-questions') / 'questions.jsonl'
    questions = [
        {
            'question': f'When was {document["title"]} founded?',
            'answer': [document['text'].split(' on ')[1].split(' by ')[0]],
        }
        for document in DOCUMENTS
    ]
    path.write_text(''.join(json.dumps(question) + '\n' for question in questions))
    return path


@pytest.fixture(scope='session')
def tiny_model(
    tmp_path_factory, tiny_corpus, tiny_encoder, tiny_embeddings, tiny_index, tiny_questions, tiny_config
) -> pathlib.Path:
    """A QA model of a few steps."""
    from realm_tf.artifacts import open_artifact
    from realm_tf.config import load_config, recipe
    from realm_tf.corpus.questions import read_questions
    from realm_tf.training import finetune
    from realm_tf.training.runs import prepare_run

    run = tmp_path_factory.mktemp('tiny-model')
    config = load_config('tiny', overrides={'encoder.dropout': 0.0, 'finetune.reader_length': 72})
    paths = {'corpus': tiny_corpus, 'encoder': tiny_encoder, 'embeddings': tiny_embeddings}
    inputs = {role: open_artifact(path, role).digest for role, path in paths.items()}
    prepare_run(run, 'model', configuration=recipe(config, 'finetune'), inputs=inputs)
    questions = read_questions(tiny_questions).questions
    finetune.train(tiny_corpus, tiny_encoder, tiny_embeddings, tiny_index, questions, run, config, inputs)
    return run / 'model'
