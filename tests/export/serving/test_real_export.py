"""A server of a trained model answers as the model does alone."""

import concurrent.futures

import pytest

from export.ask import Answerer
from tests.export.serving.servers import started

TOWNS = ('Alba', 'Brevo', 'Cardo', 'Dorn', 'Elsö')
QUESTIONS = [
    question.format(town=town)
    for question in ('When was {town} founded?', 'Who founded {town}?', 'Which river runs through {town}?', '{town}')
    for town in TOWNS
]


@pytest.fixture(scope='module')
def server(tiny_export):
    with started(tiny_export) as server:
        yield server


def test_many_clients_at_once_each_get_the_answer_to_their_question(server, tiny_export):
    expected = dict(zip(QUESTIONS, Answerer(tiny_export).ask(QUESTIONS), strict=True))
    asked = QUESTIONS * 10

    def ask(question):
        return server.predict({'instances': [question]})

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, asked))
    for question, response in zip(asked, found, strict=True):
        (row,) = response.json()['predictions']
        best = expected[question][0]
        assert (row['answer'], row['title'], row['start']) == (best.answer, best.title, best.start)
        assert row['score'] == pytest.approx(best.score, rel=1e-4)
        assert row['text'].encode()[row['start'] : row['limit']].decode() == row['answer']


def test_the_page_shows_it(server):
    html = server.get('/', question='When was Alba founded?').data.decode()
    assert '<mark>' in html and 'by version 1' in html


def test_the_other_signature(server):
    rows = server.predict({'instances': ['Alba'], 'signature_name': 'retrieve'}).json()['predictions']
    assert set(rows[0]) == {'block_id', 'score', 'title', 'text'}
