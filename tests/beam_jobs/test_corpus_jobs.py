"""The jobs that make a corpus and its spans: the same whoever makes them, and never half."""

import dataclasses
import gzip
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from beam_jobs import build_corpus, tag_spans
from beam_jobs.options import parse
from realm_tf.artifacts import MANIFEST, open_artifact
from realm_tf.config import SpansConfig
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.documents import Document, Rejected, read_json_lines
from realm_tf.corpus.span_store import SpanStore
from realm_tf.errors import RealmError

REPOSITORY = pathlib.Path(__file__).parents[2]


def run_build(config, vocabulary_path, output, *inputs, **options):
    arguments = ['--vocabulary', str(vocabulary_path), '--output', str(output)]
    arguments += [part for path in inputs for part in ('--input', str(path))]
    arguments += [f'--{name}={value}' for name, value in options.items()]
    build_corpus.run(parse(arguments, build_corpus.__name__, build_corpus.BuildCorpusOptions), config)


def write_lines(path, documents):
    path.write_text(''.join(json.dumps(document, ensure_ascii=False) + '\n' for document in documents))
    return path


def document(number, **changes):
    text = f'Town {number} lies in Élysée. It was founded in {1800 + number}. ' * (1 + number % 3)
    return {'id': str(number), 'title': f'Town {number}', 'text': text} | changes


def shards_of(path):
    return {file.name: file.read_bytes() for file in path.glob('*.arrow')}


def program(module, *arguments):
    return [sys.executable, '-m', f'beam_jobs.{module}', *map(str, arguments), '--preset', 'tiny']


def test_blocks_are_the_documents_cut_in_order(tmp_path, tiny_config, vocabulary_path):
    documents = [document(number) for number in range(7)]
    first = write_lines(tmp_path / 'a.jsonl', documents[:4])
    with gzip.open(tmp_path / 'b.jsonl.gz', 'wt') as file:
        file.writelines(json.dumps(document) + '\n' for document in documents[4:])
    run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', first, tmp_path / 'b.jsonl.gz')
    store = BlockStore.open(tmp_path / 'corpus')
    everything = np.arange(len(store))
    together = {}
    for id, text in zip(store.document_ids(everything), store.texts(everything), strict=True):
        together[id] = together.get(id, '') + text
    assert together == {document['id']: document['text'] for document in documents}
    assert list(together) == [document['id'] for document in documents]
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
        assert ended.stderr.strip().splitlines()[-1].startswith('Corpus: 2/2')
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
    rejected = [
        json.loads(line) for file in sorted(output.glob('rejected-*')) for line in file.read_text().splitlines()
    ]
    assert [record['position'] for record in rejected] == list(range(21, 28))
    assert [record['reason'].split(':')[0] for record in rejected] == [
        'not JSON at column 26',
        'not UTF-8 at byte 0',
        'not a JSON object',
        "no 'text'",
        'empty text',
        "'title' and 'text' must be strings",
        'half of a surrogate pair',
    ]


def test_an_unreadable_file_is_named(tmp_path, tiny_config, vocabulary_path):
    whole = gzip.compress(json.dumps(document(1)).encode() * 50)
    (tmp_path / 'cut.jsonl.gz').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RealmError, match=r'cut\.jsonl\.gz cannot be read'):
        run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', tmp_path / 'cut.jsonl.gz')
    with pytest.raises(RealmError, match='No file matches --input'):
        run_build(tiny_config, vocabulary_path, tmp_path / 'corpus', tmp_path / '*.json')


def test_lines_are_read_from_a_slice(tmp_path):
    path = write_lines(tmp_path / 'documents.jsonl', [document(number) for number in range(5)] + [{'id': 5}])
    read = list(read_json_lines(path, 3))
    assert [record.id for record in read if isinstance(record, Document)] == ['3', '4']
    assert isinstance(read[-1], Rejected) and read[-1].position == 6
    assert [record.id for record in read_json_lines(path, 1, 3)] == ['1', '2']


def test_an_interrupted_job_goes_on_from_its_shards(tmp_path, vocabulary_path):
    documents = write_lines(tmp_path / 'documents.jsonl', [document(number) for number in range(4000)])
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'

    def command(output):
        paths = ('--input', documents, '--vocabulary', vocabulary_path, '--output', output)
        return program('build_corpus', *paths, '--set', 'corpus.num_shards=8')

    subprocess.run(command(whole), cwd=REPOSITORY, check=True)
    job = subprocess.Popen(command(cut), cwd=REPOSITORY, env=os.environ, stderr=subprocess.PIPE, text=True)
    while not list(cut.glob('blocks-*.arrow')) and job.poll() is None:
        time.sleep(0.01)
    job.send_signal(signal.SIGINT)
    _, said = job.communicate()
    assert job.returncode == 130 and 'Interrupted. The same command goes on from here.' in said
    done = {file.name: file.stat().st_mtime_ns for file in cut.glob('blocks-*.arrow')}
    assert 0 < len(done) < 8 and not (cut / MANIFEST).exists()
    subprocess.run(command(cut), cwd=REPOSITORY, check=True)
    assert all((cut / name).stat().st_mtime_ns == written for name, written in done.items())
    assert shards_of(cut) == shards_of(whole)
    assert open_artifact(cut).digest == open_artifact(whole).digest


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
