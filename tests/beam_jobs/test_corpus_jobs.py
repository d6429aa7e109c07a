"""The jobs that make a corpus and its spans: the same whoever makes them, and never half."""

import bz2
import dataclasses
import gzip
import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from etils import epath
from hypothesis import given
from hypothesis import strategies as st

from beam_jobs import build_corpus, tag_spans
from beam_jobs.build_corpus import Scan
from beam_jobs.options import parse
from realm_tf.artifacts import MANIFEST, RECIPE, open_artifact
from realm_tf.config import SpansConfig
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.span_store import SpanStore
from realm_tf.errors import RealmError
from tests.beam_jobs.ended import assert_ended
from tests.interruption import blocked

REPOSITORY = pathlib.Path(__file__).parents[2]


def run_build(config, vocabulary_path, output, *inputs, **options):
    arguments = ['--vocabulary', str(vocabulary_path), '--output', str(output)]
    arguments += [part for path in inputs for part in ('--input', str(path))]
    arguments += [f'--{name}={value}' for name, value in options.items() if value is not True]
    arguments += [f'--{name}' for name, value in options.items() if value is True]
    build_corpus.run(parse(arguments, build_corpus.__name__, build_corpus.BuildCorpusOptions), config)


def write_lines(path, documents):
    path.write_text(''.join(json.dumps(document, ensure_ascii=False) + '\n' for document in documents))
    return path


def document(number, **changes):
    text = f'Town {number} lies in Élysée. It was founded in {1800 + number}. ' * (1 + number % 3)
    return {'id': str(number), 'title': f'Town {number}', 'text': text} | changes


def rejected_in(path):
    files = sorted(path.glob('rejected-*.jsonl'))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def shards_of(path):
    return {file.name: file.read_bytes() for file in path.glob('*.arrow')}


def together(store):
    """The id and text of each document, put together of its blocks."""
    blocks = np.arange(len(store))
    blocks = zip(store.document_ids(blocks), store.texts(blocks), strict=True)
    return [
        (id, ''.join(text for _, text in of_document))
        for id, of_document in itertools.groupby(blocks, lambda block: block[0])
    ]


def program(module, *arguments):
    return [sys.executable, '-m', f'beam_jobs.{module}', *map(str, arguments), '--preset', 'tiny']


def test_blocks_are_the_documents_cut_in_order(tmp_path, tiny_config, vocabulary_path):
    documents = [document(number) for number in range(7)]
    first = write_lines(tmp_path / 'a.jsonl', documents[:4])
    with gzip.open(tmp_path / 'b.jsonl.gz', 'wt') as file:
        file.writelines(json.dumps(document) + '\n' for document in documents[4:])
    run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', first, tmp_path / 'b.jsonl.gz')
    store = BlockStore.open(tmp_path / 'corpus')
    assert together(store) == [(document['id'], document['text']) for document in documents]
    assert (store.lengths() <= tiny_config.corpus.block_length).all()


def test_two_workers_make_what_one_makes(tmp_path, vocabulary_path):
    documents = write_lines(tmp_path / 'documents.jsonl', [document(number) for number in range(30)])
    outputs = {}
    for workers in (1, 2):
        corpus, spans = tmp_path / f'corpus{workers}', tmp_path / f'spans{workers}'
        paths = ('--input', documents, '--vocabulary', vocabulary_path, '--output', corpus)
        ended = subprocess.run(
            program('build_corpus', *paths, '--num_workers', workers),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        paths = ('--corpus', corpus, '--output', spans)
        subprocess.run(program('tag_spans', *paths, '--num_workers', workers), cwd=REPOSITORY, check=True)
        outputs[workers] = shards_of(corpus), shards_of(spans), open_artifact(spans).digest
        assert ended.stderr.strip().splitlines()[-1].startswith('Corpus: 3/3')
    assert outputs[1] == outputs[2]


def test_a_broken_line_costs_nothing_but_itself(tmp_path, tiny_config, vocabulary_path):
    good = [json.dumps(document(number)).encode() for number in range(40)]
    bad = [
        b'{"id": "1", "title": "cut',
        b'\xff\xfe',
        b'[1, 2]',
        b'{"id": "2", "title": "no text"}',
        b'{"id": "3", "title": "empty", "text": "  "}',
        b'{"id": "4", "title": 7, "text": "a number for a title"}',
        b'{"id": "5", "title": "half", "text": "\\ud800"}',
    ]
    (tmp_path / 'documents.jsonl').write_bytes(b'\n'.join(good[:20] + bad + good[20:]) + b'\n')
    output = tmp_path / 'corpus'
    with pytest.raises(RealmError, match=r'7 of 47 records are no documents, more than --maximum_rejected 0.05'):
        run_build(tiny_config, vocabulary_path, output, tmp_path / 'documents.jsonl')
    assert not (output / MANIFEST).exists()
    run_build(tiny_config, vocabulary_path, output, tmp_path / 'documents.jsonl', maximum_rejected=0.2)
    counts = open_artifact(output).counts
    assert (counts['documents'], counts['rejected']) == (40, 7)
    rejected = rejected_in(output)
    assert [record['position'] for record in rejected] == list(range(21, 28))
    assert [record['reason'].split(':')[0] for record in rejected] == [
        'not JSON at column 22',
        'not UTF-8 at byte 0',
        'not a JSON object',
        "no 'text'",
        'empty text',
        "'title' and 'text' must be strings",
        'half of a surrogate pair',
    ]


def test_an_unreadable_file_is_named(tmp_path, tiny_config, vocabulary_path):
    whole = gzip.compress(json.dumps(document(1)).encode() * 50)
    (tmp_path / 'cut.jsonl.gz').write_bytes(whole[:12])
    with pytest.raises(RealmError, match=r'cut\.jsonl\.gz cannot be read'):
        run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', tmp_path / 'cut.jsonl.gz')
    with pytest.raises(RealmError, match='No file matches --input'):
        run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', tmp_path / '*.json')
    with pytest.raises(RealmError, match=r'--input \S*/\*\*/\*\.json has \*\*, .* Give the folder, '):
        run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', tmp_path / '**' / '*.json')


@pytest.mark.parametrize('workers', [1, 2])
def test_what_a_worker_cannot_do_is_a_sentence(tmp_path, vocabulary_path, workers):
    (tmp_path / 'cut.jsonl.gz').write_bytes(gzip.compress(b'text' * 50)[:12])
    paths = ('--input', tmp_path / 'cut.jsonl.gz', '--vocabulary', vocabulary_path, '--output', tmp_path / 'corpus')
    ended = subprocess.run(
        program('build_corpus', *paths, '--num_workers', workers),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    *before, said = ended.stderr.splitlines()
    assert all(line.startswith(('Checksums of the input: ', 'Corpus: 0/3')) for line in before)
    assert re.fullmatch(r'realm: .*cut\.jsonl\.gz cannot be read: .* Get the file again\.', said)


def test_duplicates_are_left_out_whatever_their_ids(tmp_path, tiny_config, vocabulary_path):
    documents = [document(number) for number in range(6)]
    copies = [documents[4] | {'id': 'a'}, documents[0] | {'id': 'b'}]
    files = [write_lines(tmp_path / 'a.jsonl', documents), write_lines(tmp_path / 'b.jsonl', copies)]
    run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', *files)
    store = BlockStore.open(tmp_path / 'corpus')
    assert set(store.document_ids(np.arange(len(store)))) == {str(number) for number in range(6)}
    assert open_artifact(tmp_path / 'corpus').counts['duplicates'] == 2


def test_a_damaged_copy_hides_no_whole_one(tmp_path, tiny_config, vocabulary_path):
    page = '<page><title>Town</title><id>{}</id><revision><text>A town.</text></revision></page>\n'
    pages = [page.format(id) for id in ('@', '<b>', '7', '8')]
    (tmp_path / 'dump.xml').write_bytes(
        '<mediawiki>{}</mediawiki>'.format(''.join(pages)).encode().replace(b'@', b'\xff')
    )
    run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', tmp_path / 'dump.xml', maximum_rejected=0.5)
    store = BlockStore.open(tmp_path / 'corpus')
    assert store.document_ids(np.arange(len(store))) == ['7']
    counts = open_artifact(tmp_path / 'corpus').counts
    assert (counts['rejected'], counts['duplicates']) == (2, 1)


def test_columns_can_be_named_and_formats_mixed_up_are_refused(tmp_path, tiny_config, vocabulary_path):
    (tmp_path / 'pages.tsv').write_text('name\tbody\nTown\tIt lies there.\n')
    columns = {'id_column': '', 'title_column': 'name', 'text_column': 'body'}
    run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', tmp_path / 'pages.tsv', **columns)
    store = BlockStore.open(tmp_path / 'corpus')
    assert (store.titles(np.array([0])), store.texts(np.array([0]))) == (['Town'], ['It lies there.'])
    with pytest.raises(RealmError, match=r"pages.tsv has no column 'id' .* 'name', 'body'"):
        run_build(tiny_config, vocabulary_path, tmp_path / 'other', tmp_path / 'pages.tsv')
    write_lines(tmp_path / 'more.jsonl', [document(1)])
    with pytest.raises(RealmError, match='more than one format'):
        run_build(tiny_config, vocabulary_path, tmp_path / 'other', tmp_path / 'pages.tsv', tmp_path / 'more.jsonl')


def test_a_table_of_many_that_lacks_a_column_is_set_aside(tmp_path, tiny_config, vocabulary_path):
    tables = tmp_path / 'tables'
    tables.mkdir()
    (tables / 'a.csv').write_text('id,title,body\n1,Town,It lies there.\n')
    (tables / 'b.csv').write_text('id,title,text\n' + ''.join(f'{n},Town {n},It lies there.\n' for n in range(30)))
    run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', tables)
    counts = open_artifact(tmp_path / 'corpus').counts
    assert (counts['documents'], counts['rejected']) == (30, 1)
    (rejected,) = rejected_in(tmp_path / 'corpus')
    assert rejected == {
        'file': f'{tables}/a.csv',
        'position': 1,
        'reason': "no 'text'",
        'excerpt': '1,Town,It lies there.',
    }
    with pytest.raises(RealmError, match=r"a\.csv has no column 'headline' .* 'id', 'title', 'body': say which"):
        run_build(tiny_config, vocabulary_path, tmp_path / 'other', tables, title_column='headline')
    assert not (tmp_path / 'other').exists()


@pytest.mark.parametrize('share', ['5', '-0.1', 'nan', 'few'])
def test_what_is_no_share_is_refused(share, capsys):
    arguments = ['--input=a.jsonl', '--vocabulary=vocab.txt', '--output=corpus', f'--maximum_rejected={share}']
    with pytest.raises(SystemExit):
        parse(arguments, build_corpus.__name__, build_corpus.BuildCorpusOptions)
    assert f'--maximum_rejected: {share} is no share from 0 to 1; 5 % are 0.05' in capsys.readouterr().err


def test_of_a_file_that_breaks_off_what_can_be_read_is_kept(tmp_path, tiny_config, vocabulary_path):
    # Noise that does not compress, so that there is more than one block of bzip2.
    noise = np.random.default_rng(0)
    lines = ''.join(json.dumps(document(number) | {'noise': noise.bytes(500).hex()}) + '\n' for number in range(3000))
    whole = bz2.compress(lines.encode())
    (tmp_path / 'cut.jsonl.bz2').write_bytes(whole[: -len(whole) // 4])
    run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', tmp_path / 'cut.jsonl.bz2')
    counts = open_artifact(tmp_path / 'corpus').counts
    rejected = rejected_in(tmp_path / 'corpus')
    assert 'cut off at byte' in rejected[-1]['reason'] and len(rejected) <= 2
    assert 100 < counts['documents'] < 3000


def test_a_broken_stream_of_a_dump_costs_what_is_in_it(tmp_path, tiny_config, vocabulary_path):
    page = '  <page><title>Town {0}</title><ns>0</ns><id>{0}</id><revision><text>A town. {1}</text></revision></page>\n'
    noise = np.random.default_rng(0)
    pages = [page.format(number, noise.bytes(200).hex()) for number in range(400)]
    header, footer = '<mediawiki>\n', '</mediawiki>\n'
    # The first page of the last stream begins in the one before.
    last = ''.join(pages[300:]) + footer
    parts = [header, ''.join(pages[:100]), ''.join(pages[100:200]), ''.join(pages[200:300]) + last[:60], last[60:]]
    streams = [bytearray(bz2.compress(part.encode())) for part in parts]
    streams[3][len(streams[3]) // 2] ^= 0x40
    (tmp_path / 'dump.xml.bz2').write_bytes(b''.join(streams))
    run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', tmp_path / 'dump.xml.bz2')
    store = BlockStore.open(tmp_path / 'corpus')
    ids = list(dict.fromkeys(store.document_ids(np.arange(len(store)))))
    assert ids == [str(number) for number in (*range(200), *range(301, 400))]
    (rejected,) = rejected_in(tmp_path / 'corpus')
    # What stands before the gap are 200 pages, the last of them with the end of its line.
    start = sum(map(len, streams[:3]))
    assert rejected['position'] == 201
    assert f'bytes {start:,} to {start + len(streams[3]):,} are lost' in rejected['reason']


def test_pages_of_a_dump_that_are_no_articles_are_reported(tmp_path, tiny_config, vocabulary_path):
    page = '<page><title>{}</title><ns>{}</ns><id>1</id><revision><text>{}</text></revision></page>\n'
    pages = [('Town', 0, 'A [[town]] is a place.'), ('Talk', 1, 'No.'), ('Old', 0, '#REDIRECT [[Town]]')]
    (tmp_path / 'dump.xml').write_text('<mediawiki>\n' + ''.join(page.format(*one) for one in pages) + '</mediawiki>')
    run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', tmp_path / 'dump.xml')
    store = BlockStore.open(tmp_path / 'corpus')
    assert store.texts(np.arange(len(store))) == ['A town is a place.']
    report = json.loads((tmp_path / 'corpus' / 'report.json').read_text())
    assert report['dropped'] == {'namespace 1': 1, 'redirect': 1}
    assert report['dropped_samples'] == {'namespace 1': ['Talk'], 'redirect': ['Old']}
    assert report['counts']['documents'] == 1 and sum(report['block_lengths'].values()) == 1
    shown = (tmp_path / 'corpus' / 'report.html').read_text()
    assert 'redirect' in shown and 'A town is a place.' in shown


def test_the_blocks_of_the_authors_stay_as_they_are(tmp_path, tiny_config, vocabulary_path):
    import tensorflow as tf

    # Far longer than a block of this configuration, and one of them twice.
    texts = ['A block. ' * 40, 'Another one.', 'A block. ' * 40]
    for name, records in (('blocks', texts), ('titles', ['One', 'Two', 'One'])):
        with tf.io.TFRecordWriter(str(tmp_path / f'{name}.tfr')) as writer:
            for record in records:
                writer.write(record.encode())
    run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', tmp_path / 'blocks.tfr')
    store = BlockStore.open(tmp_path / 'corpus')
    rows = np.arange(len(store))
    assert store.texts(rows) == texts and store.titles(rows) == ['One', 'Two', 'One']
    assert store.document_ids(rows) == ['0', '1', '2']
    assert store.lengths().max() == tiny_config.corpus.block_length


def test_what_titles_are_made_of_makes_another_corpus(tmp_path, tiny_config, vocabulary_path, capsys):
    import tensorflow as tf

    def titles_of(path):
        run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', path, overwrite=True)
        store = BlockStore.open(tmp_path / 'corpus')
        return store.titles(np.arange(len(store)))

    (tmp_path / 'texts').mkdir()
    (tmp_path / 'texts' / 'Montevidio.txt').write_text('It is a town.')
    assert titles_of(tmp_path / 'texts') == ['Montevidio']
    (tmp_path / 'texts' / 'Montevidio.txt').rename(tmp_path / 'texts' / 'Montevideo.txt')
    assert titles_of(tmp_path / 'texts') == ['Montevideo']

    for title in ('One', 'Two'):
        for name, record in (('blocks', 'A block.'), ('titles', title)):
            with tf.io.TFRecordWriter(str(tmp_path / f'{name}.tfr')) as writer:
                writer.write(record.encode())
        assert titles_of(tmp_path / 'blocks.tfr') == [title]
    assert 'is up to date' not in capsys.readouterr().out
    titles_of(tmp_path / 'blocks.tfr')
    assert 'is up to date' in capsys.readouterr().out


def document_ids(config, vocabulary_path, output, *inputs, **options):
    """Builds a corpus, and gives the id of the document of each of its blocks."""
    run_build(config, vocabulary_path, output, *inputs, overwrite=True, **options)
    store = BlockStore.open(output)
    return store.document_ids(np.arange(len(store)))


def test_text_files_of_one_name_have_ids_of_their_own(tmp_path, tiny_config, vocabulary_path):
    def ids_of(*inputs):
        return document_ids(tiny_config, vocabulary_path, tmp_path / 'corpus', *inputs, format='text')

    texts = tmp_path / 'texts'
    for name in ('AA', 'AB'):
        (texts / name).mkdir(parents=True)
        (texts / name / 'wiki_00').write_text(f'{name} is a town.')
    assert ids_of(texts) == ids_of(texts / 'A*') == ids_of(texts / 'AA', texts / 'AB') == ['AA/wiki_00', 'AB/wiki_00']
    (texts / 'AB').rename(texts / 'AC')
    assert ids_of(texts) == ['AA/wiki_00', 'AC/wiki_00']


@pytest.mark.parametrize('text', ['international ' * 750_000, 'x' * 10_000_000], ids=['words', 'letters'])
def test_a_sentence_of_ten_megabytes_loses_nothing(tmp_path, tiny_config, vocabulary_path, text):
    documents = [document(1), document(2, text=text), document(3)]
    run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', write_lines(tmp_path / 'documents.jsonl', documents))
    store = BlockStore.open(tmp_path / 'corpus')
    assert together(store) == [(document['id'], document['text']) for document in documents]
    assert store.lengths().max() <= tiny_config.corpus.block_length


def test_what_has_no_id_is_named_by_its_path(tmp_path, tiny_config, vocabulary_path, capsys):
    def ids_of(*inputs):
        return document_ids(tiny_config, vocabulary_path, tmp_path / 'corpus', *inputs, id_column='')

    news = tmp_path / 'news'
    for year in ('2020', '2021'):
        (news / year).mkdir(parents=True)
        write_lines(news / year / 'part-0.jsonl', [{'title': title, 'text': f'{year}.'} for title in 'AB'])
    assert ids_of(news) == [f'{year}/part-0.jsonl:{position}' for year in ('2020', '2021') for position in (1, 2)]
    assert ids_of(news / '*') == ids_of(news / '2020', news / '2021') == ids_of(news)
    assert capsys.readouterr().out.count('is up to date') == 3
    (news / '2020').rename(news / '2019')
    assert ids_of(news)[0] == '2019/part-0.jsonl:1'


def test_blocks_can_overlap_by_sentences(tmp_path, tiny_config, vocabulary_path):
    text = ''.join(f'Sentence number {number} has some words in it. ' for number in range(30))
    path = write_lines(tmp_path / 'documents.jsonl', [document(0, text=text)])
    config = dataclasses.replace(tiny_config, corpus=dataclasses.replace(tiny_config.corpus, overlap=1))
    run_build(config, vocabulary_path, tmp_path / 'corpus', path)
    store = BlockStore.open(tmp_path / 'corpus')
    texts = store.texts(np.arange(len(store)))
    assert len(texts) > 3
    for before, after in itertools.pairwise(texts):
        assert after.startswith(before[before.rindex('Sentence') :])
    assert (store.lengths() <= config.corpus.block_length).all()


@pytest.fixture(scope='module')
def long_build(tmp_path_factory, vocabulary_path):
    """The command that builds a corpus in so many steps that it can be interrupted, given its output."""
    directory = tmp_path_factory.mktemp('long')
    documents = write_lines(directory / 'documents.jsonl', [document(number) for number in range(8000)])

    def command(output):
        paths = ('--input', documents, '--vocabulary', vocabulary_path, '--output', output)
        return program('build_corpus', *paths, '--set', 'corpus.num_shards=64')

    return command


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory, long_build):
    """What that makes if nothing happens."""
    output = tmp_path_factory.mktemp('undisturbed') / 'corpus'
    subprocess.run(long_build(output), cwd=REPOSITORY, check=True)
    return output


def assert_alike(corpus, other):
    assert shards_of(corpus) == shards_of(other)
    assert open_artifact(corpus).digest == open_artifact(other).digest


def test_an_interrupted_job_goes_on_from_its_shards(tmp_path, long_build, undisturbed):
    cut = tmp_path / 'cut'
    job = subprocess.Popen(long_build(cut), cwd=REPOSITORY, env=os.environ, stderr=subprocess.PIPE, text=True)
    while not list(cut.glob('blocks-*.arrow')) and job.poll() is None:
        time.sleep(0.01)
    job.send_signal(signal.SIGINT)
    _, said = job.communicate()
    assert job.returncode == 130 and 'Interrupted. The same command goes on from here.' in said
    done = {file.name: file.stat().st_mtime_ns for file in cut.glob('blocks-*.arrow')}
    assert 0 < len(done) < 64 and not (cut / MANIFEST).exists()
    subprocess.run(long_build(cut), cwd=REPOSITORY, check=True)
    assert all((cut / name).stat().st_mtime_ns == written for name, written in done.items())
    assert_alike(cut, undisturbed)


def test_a_worker_that_is_killed_ends_the_job_which_then_goes_on(tmp_path, long_build, undisturbed):
    output = tmp_path / 'corpus'
    command = [*long_build(output), '--num_workers', '2']
    job = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    while not (output / RECIPE).exists() and job.poll() is None:
        time.sleep(0.01)
    # It cannot end before it is interrupted.
    with blocked(output / 'blocks-00040-of-00064.arrow'):
        while not list(output.glob('blocks-*.arrow')) and job.poll() is None:
            time.sleep(0.01)
        workers = psutil.Process(job.pid).children(recursive=True)
        # One of them builds.
        next(worker for worker in reversed(workers) if not worker.children()).kill()
        _, said = job.communicate(timeout=60)
    assert job.returncode == 2
    # Behind what Beam's own threads say.
    assert said.splitlines()[-1].startswith(
        'realm: A worker process ended (signal 9, as when memory runs out). The same'
    )
    assert_ended(workers)
    assert not (output / MANIFEST).exists()
    subprocess.run(command, cwd=REPOSITORY, check=True)
    assert_alike(output, undisturbed)


def test_workers_end_with_a_driver_that_is_killed(tmp_path, long_build):
    output = tmp_path / 'corpus'
    job = subprocess.Popen([*long_build(output), '--num_workers', '2'], cwd=REPOSITORY)
    while not list(output.glob('.scan-*')) and job.poll() is None:
        time.sleep(0.01)
    workers = psutil.Process(job.pid).children(recursive=True)
    job.kill()
    job.wait()
    assert len(workers) >= 4
    assert_ended(workers)


def test_spans_cover_their_wordpieces_and_their_bytes(tiny_corpus, tiny_spans):
    corpus = BlockStore.open(tiny_corpus)
    spans = SpanStore.open(tiny_spans, corpus)
    rows = np.flatnonzero(spans.counts())
    assert len(rows)
    found = set()
    columns = (spans.starts(rows), spans.limits(rows), spans.token_starts(rows), spans.token_limits(rows))
    for row, text, *of_block in zip(rows, corpus.texts(rows), *(column.rows() for column in columns), strict=True):
        body = corpus.body_ids(np.array([row])).values
        for start, limit, token_start, token_limit in zip(*of_block, strict=True):
            words = text.encode()[start:limit].decode()
            pieces = [corpus.vocabulary.pieces[id] for id in body[token_start:token_limit]]
            assert ''.join(piece.removeprefix('##') for piece in pieces) == words.replace(' ', '').lower()
            found.add(words)
    assert {'1 May 1800', '1750'} <= found


def test_a_tagger_that_is_not_installed_is_named_at_once(tmp_path, tiny_corpus, tiny_config):
    arguments = ['--corpus', str(tiny_corpus), '--output', str(tmp_path / 'spans')]
    config = dataclasses.replace(tiny_config, spans=SpansConfig(tagger='spacy', spacy_pipeline='xx_not_there'))
    with pytest.raises(RealmError, match='xx_not_there is not installed'):
        tag_spans.run(parse(arguments, tag_spans.__name__, tag_spans.TagSpansOptions), config)


def test_another_tagger_makes_other_spans(tmp_path, tiny_corpus, tiny_config, monkeypatch, capsys):
    spacy = pytest.importorskip('spacy')
    package = tmp_path / 'xx_towns'
    package.mkdir()
    loads = 'import pathlib, spacy\ndef load():\n    return spacy.load(pathlib.Path(__file__).parent / "data")\n'
    monkeypatch.syspath_prepend(tmp_path)

    def install(town):
        pipeline = spacy.blank('en')
        pipeline.add_pipe('entity_ruler').add_patterns([{'label': 'GPE', 'pattern': town}])
        pipeline.to_disk(package / 'data')
        (package / '__init__.py').write_text(loads)

    def tag():
        arguments = ['--corpus', str(tiny_corpus), '--output', str(tmp_path / 'spans')]
        config = dataclasses.replace(tiny_config, spans=SpansConfig(tagger='spacy', spacy_pipeline='xx_towns'))
        tag_spans.run(parse(arguments, tag_spans.__name__, tag_spans.TagSpansOptions), config)
        return open_artifact(tmp_path / 'spans').inputs

    install('Alba')
    inputs = tag()
    assert inputs['spacy'] == spacy.__version__
    # Compiled by whatever ran it, it is the same.
    (package / '__pycache__').mkdir(exist_ok=True)
    (package / '__pycache__' / '__init__.cpython-399.pyc').write_bytes(b'compiled')
    assert tag() == inputs and 'is up to date' in capsys.readouterr().out
    install('Brevo')
    with pytest.raises(RealmError, match='input tagger changed'):
        tag()


@given(st.lists(st.lists(st.integers(0, 50), max_size=12), max_size=4), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_shards_share_the_text_out_evenly_and_in_order(sizes, num_shards, seed):
    sizes = [np.array(of_file, np.int64) for of_file in sizes]
    total = sum(map(len, sizes))
    is_duplicate = np.random.default_rng(seed).random(total) < 0.3
    scans = [Scan(f'file{number}', f'scan{number}') for number in range(len(sizes))]
    files = build_corpus.files_of_shards(epath.Path('corpus'), num_shards)
    shards = build_corpus.plan_shards(scans, sizes, is_duplicate, files)
    assert [shard.files for shard in shards] == files
    records = [
        (of_file.scan, number, number in of_file.duplicates)
        for shard in shards
        for of_file in shard.slices
        for number in range(of_file.first, of_file.limit)
    ]
    everything = [(scan, number) for scan, of_file in zip(scans, sizes, strict=True) for number in range(len(of_file))]
    assert records == [(*one, repeated) for one, repeated in zip(everything, is_duplicate.tolist(), strict=True)]
    size_of = dict(zip(scans, sizes, strict=True))
    texts = [sum(int(size_of[part.scan][part.first : part.limit].sum()) for part in shard.slices) for shard in shards]
    largest = max((int(of_file.max()) for of_file in sizes if len(of_file)), default=0)
    assert all(abs(text - sum(texts) / num_shards) <= largest + 1 for text in texts)
