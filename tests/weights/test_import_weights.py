"""What becomes of weights from elsewhere."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from beam_jobs import build_corpus
from beam_jobs.options import parse
from realm_tf.artifacts import open_artifact
from realm_tf.config import load_config
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.questions import read_questions
from realm_tf.errors import RealmError
from realm_tf.evaluation.evaluate import evaluate_model, evaluate_retriever, read_metrics
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.index import build_index
from realm_tf.weights.encoder_artifact import Encoder
from realm_tf.weights.hugging_face import read
from realm_tf.weights.import_weights import import_pretrained, import_weights
from realm_tf.weights.model_artifact import Model
from realm_tf.weights.parameters import named_parameters
from tests.weights import layouts
from tests.weights.layouts import CONFIG, SETTINGS, random_arrays, write_directory


def config_of(**changed):
    return load_config(overrides=SETTINGS | {name.replace('__', '.'): value for name, value in changed.items()})


@pytest.fixture(scope='module')
def sources(tmp_path_factory):
    """A directory of each class."""
    root = tmp_path_factory.mktemp('sources')
    kinds = {name: (getattr(layouts, name), CONFIG) for name in ('embedder', 'scorer', 'encoder', 'reader')}
    kinds['openqa'] = (layouts.openqa, CONFIG | {'num_block_records': 11})
    kinds['bert'] = (layouts.bert_for_pre_training, layouts.BERT)
    for name, (layout, config) in kinds.items():
        write_directory(root / name, config, random_arrays(layout(config)))
    return root


def require_network(network, part):
    found = named_parameters(network)
    assert found.keys() == part.keys()
    for name, variable in found.items():
        np.testing.assert_array_equal(np.asarray(variable), part[name], err_msg=name)


def test_an_embedder_and_an_encoder_make_an_encoder(tmp_path, sources, capsys):
    import_weights([sources / 'embedder', sources / 'encoder'], tmp_path / 'x', config_of())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['tower', 'from', str(sources / 'embedder')]
    assert lines[1].split() == ['knowledge-augmented', 'encoder', 'from', str(sources / 'encoder')]
    encoder = Encoder.open(tmp_path / 'x')
    require_network(
        encoder.retriever().query_tower, read(sources / 'embedder', allow_pickle=False).parts['query_tower']
    )
    part = read(sources / 'encoder', allow_pickle=False).parts['knowledge_augmented_encoder']
    require_network(encoder.knowledge_augmented_encoder(), part)
    import_weights([sources / 'embedder', sources / 'encoder'], tmp_path / 'x', config_of())
    assert 'up to date' in capsys.readouterr().out


def test_a_bert_gives_all_it_has(tmp_path, sources, capsys):
    import_weights([sources / 'bert'], tmp_path / 'x', config_of())
    bert = read(sources / 'bert', allow_pickle=False).parts['bert']
    encoder = Encoder.open(tmp_path / 'x')
    tower = {name: np.asarray(value) for name, value in named_parameters(encoder.retriever().query_tower).items()}
    network = encoder.knowledge_augmented_encoder()
    require_network(network, {name: array for name, array in bert.items() if not name.startswith('pooler/')})
    for name in tower.keys() & bert.keys():
        np.testing.assert_array_equal(tower[name], bert[name])
    assert sorted({name.partition('/')[0] for name in tower.keys() - bert.keys()}) == [
        'projection',
        'projection_layer_norm',
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(f'encoder, pooler from {sources / "bert"}; projection, projection_layer_norm fresh')
    assert lines[1].endswith(f'encoder, head from {sources / "bert"}')


def test_a_bert_with_mean_pooling_leaves_its_pooler(tmp_path, sources, capsys):
    import_weights([sources / 'bert'], tmp_path / 'x', config_of(retriever__pooling='mean'))
    assert f'encoder from {sources / "bert"}; projection' in capsys.readouterr().out


def test_a_bert_starts_what_another_source_lacks(tmp_path, sources, capsys):
    import_weights([sources / 'embedder', sources / 'bert'], tmp_path / 'x', config_of())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(f'from {sources / "embedder"}') and lines[1].endswith(f'from {sources / "bert"}')


def test_separate_towers(tmp_path, sources):
    import_weights([sources / 'scorer'], tmp_path / 'x', config_of(retriever__shared_towers=False))
    retriever = Encoder.open(tmp_path / 'x').retriever()
    parts = read(sources / 'scorer', allow_pickle=False).parts
    require_network(retriever.query_tower, parts['query_tower'])
    require_network(retriever.document_tower, parts['document_tower'])


def test_one_tower_starts_two(tmp_path, sources):
    import_weights([sources / 'embedder'], tmp_path / 'x', config_of(retriever__shared_towers=False))
    part = read(sources / 'embedder', allow_pickle=False).parts['query_tower']
    require_network(Encoder.open(tmp_path / 'x').retriever().document_tower, part)


def test_our_own_artefacts_are_read(tmp_path, sources):
    config = config_of()
    import_weights([sources / 'embedder', sources / 'encoder'], tmp_path / 'encoder', config)
    import_weights([tmp_path / 'encoder'], tmp_path / 'again', config)
    import_weights([tmp_path / 'encoder', sources / 'reader'], tmp_path / 'model', config)
    import_weights([tmp_path / 'model'], tmp_path / 'model_again', config)
    for name in ('retriever.safetensors', 'knowledge_augmented_encoder.safetensors'):
        assert (tmp_path / 'again' / name).read_bytes() == (tmp_path / 'encoder' / name).read_bytes()
    for name in ('retriever.safetensors', 'reader.safetensors'):
        assert (tmp_path / 'model_again' / name).read_bytes() == (tmp_path / 'model' / name).read_bytes()
    part = read(sources / 'reader', allow_pickle=False).parts['reader']
    require_network(Model.open(tmp_path / 'model').reader(), part)


@pytest.mark.parametrize(
    ('names', 'changed', 'message'),
    [
        (['bert'], {'encoder__hidden_size': 32}, r'hidden_size is 16 there and 32 here.* --set encoder.hidden_size=16'),
        (['bert'], {'encoder__activation': 'gelu'}, '--set encoder.activation=gelu_tanh'),
        (['embedder'], {'retriever__pooling': 'mean'}, '--set retriever.pooling=cls'),
        (['embedder'], {'retriever__projection_size': 32}, '--set retriever.projection_size=8'),
        (['embedder'], {'retriever__projection_layer_norm_epsilon': 1e-3}, 'projection_layer_norm_epsilon=1e-12'),
        (['scorer'], {}, '--set retriever.shared_towers=False'),
        (['reader'], {'finetune__reader_hidden_size': 256}, '--set finetune.reader_hidden_size=6'),
        (['embedder', 'scorer'], {}, 'Both .*scorer and .*embedder have document_tower, query_tower'),
        (['bert', 'bert'], {}, 'Both .* have bert'),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, sources, names, changed, message):
    with pytest.raises(RealmError, match=message):
        import_weights([sources / name for name in names], tmp_path / 'x', config_of(**changed))
    assert not (tmp_path / 'x').exists()


def test_too_small_a_corpus_for_principal_components_is_said(tmp_path, tiny_corpus, vocabulary_path):
    size = len(BlockStore.open(tiny_corpus)) + 1
    config = config_of(
        encoder__vocabulary_size=30522, retriever__projection_start='pca', retriever__projection_size=size
    )
    with pytest.raises(RealmError, match=rf'too few for {size} principal .* retriever\.projection_start=random'):
        import_weights([vocabulary_path.parent], tmp_path / 'x', config, random=True, corpus_path=tiny_corpus)


def test_different_networks_are_not_put_together(tmp_path, sources):
    other = layouts.BERT | {'layer_norm_eps': 1e-5}
    write_directory(tmp_path / 'other', other, random_arrays(layouts.body(other)))
    with pytest.raises(RealmError, match=r'do not fit each other: encoder\.layer_norm_epsilon is 1e-05 in one'):
        import_weights([sources / 'embedder', tmp_path / 'other'], tmp_path / 'x', config_of())


def test_a_wrong_vocabulary_is_refused(tmp_path, sources, tiny_corpus):
    swapped = [*layouts.PIECES[:-2], *layouts.PIECES[:-3:-1]]
    arrays = random_arrays(layouts.encoder(CONFIG))
    write_directory(tmp_path / 'swapped', CONFIG, arrays, swapped)
    write_directory(tmp_path / 'long', CONFIG, arrays, [*layouts.PIECES, 'one', 'more'])
    write_directory(tmp_path / 'none', CONFIG, arrays, None)
    for paths, message in (
        ([sources / 'embedder', tmp_path / 'swapped'], 'different vocabularies'),
        ([tmp_path / 'long'], 'has 52 pieces; encoder.vocabulary_size is 50: name the vocab.txt that belongs'),
        ([tmp_path / 'none'], 'has no vocab.txt: name one with --vocabulary'),
    ):
        with pytest.raises(RealmError, match=message):
            import_weights(paths, tmp_path / 'x', config_of())
    with pytest.raises(RealmError, match='has another vocabulary'):
        import_weights([sources / 'encoder'], tmp_path / 'x', config_of(), corpus_path=tiny_corpus)
    with pytest.raises(RealmError, match='has other pieces than the vocabulary of'):
        import_weights(
            [sources / 'encoder'], tmp_path / 'x', config_of(), vocabulary_path=tmp_path / 'swapped' / 'vocab.txt'
        )
    import_weights([tmp_path / 'none'], tmp_path / 'x', config_of(), vocabulary_path=sources / 'encoder' / 'vocab.txt')
    assert Encoder.open(tmp_path / 'x').vocabulary.pieces == tuple(layouts.PIECES)
    with pytest.raises(RealmError, match=r'another artefact \(input vocabulary'):
        other = tmp_path / 'swapped' / 'vocab.txt'
        import_weights([tmp_path / 'none'], tmp_path / 'x', config_of(), vocabulary_path=other)


def test_weights_are_computed_with_as_they_were_made(tmp_path, sources):
    import_weights([sources / 'encoder'], tmp_path / 'x', config_of())
    encoder = Encoder.open(tmp_path / 'x')
    encoder.retriever(config_of(encoder__dropout=0.3, precision='float32'))
    for changed in ({'encoder__activation': 'gelu'}, {'encoder__num_heads': 1}, {'encoder__layer_norm_epsilon': 1e-5}):
        for network in (encoder.retriever, encoder.knowledge_augmented_encoder):
            with pytest.raises(RealmError, match=r'x does not fit the configuration: encoder\..* Give --set encoder\.'):
                network(config_of(**changed))
    with pytest.raises(RealmError, match='projection_layer_norm_epsilon'):
        encoder.retriever(config_of(retriever__projection_layer_norm_epsilon=1e-5))


def test_word_embeddings_may_be_padded(tmp_path, sources, capsys):
    write_directory(tmp_path / 'padded', CONFIG, random_arrays(layouts.encoder(CONFIG)), layouts.PIECES[:-3])
    import_weights([tmp_path / 'padded'], tmp_path / 'x', config_of())
    assert '3 of 50 word embeddings are of no piece' in capsys.readouterr().out
    assert len(Encoder.open(tmp_path / 'x').vocabulary.pieces) == 47
    # Of fresh ones each is to be used.
    with pytest.raises(RealmError, match=r'give --set encoder\.vocabulary_size=47'):
        import_weights([tmp_path / 'padded'], tmp_path / 'y', config_of(), random=True)


def test_a_directory_with_something_in_it_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / 'x').mkdir()
    (tmp_path / 'x' / 'mine').write_text('')
    with pytest.raises(RealmError, match='not empty and holds no artefact'):
        import_weights([tmp_path / 'nothing'], tmp_path / 'x', config_of())


def test_what_is_not_recognised_is_said_with_what_is(tmp_path):
    with pytest.raises(RealmError, match=r'(?s)nothing at .*nothing\. These can be read:'):
        import_weights([tmp_path / 'nothing'], tmp_path / 'x', config_of())
    (tmp_path / 'weights').mkdir()
    (tmp_path / 'weights' / 'model.safetensors').write_bytes(b'')
    with pytest.raises(RealmError, match=r'has model.safetensors and no config.json'):
        import_weights([tmp_path / 'weights'], tmp_path / 'x', config_of())
    with pytest.raises(RealmError, match=r'(?s)is nothing that weights can be imported from.*Hugging Face directory'):
        import_weights([tmp_path], tmp_path / 'x', config_of())


def test_a_cased_bert_is_refused(tmp_path):
    path = write_directory(tmp_path / 'cased', layouts.BERT, random_arrays(layouts.body(layouts.BERT)))
    (path / 'tokenizer_config.json').write_text('{"do_lower_case": false}')
    with pytest.raises(RealmError, match='is a cased BERT'):
        import_weights([path], tmp_path / 'x', config_of())


def test_block_records_become_a_corpus(tmp_path, vocabulary_path, tiny_config):
    """As docs/weights.md says."""
    texts = ['Alba is a town in France. It lies on the Tern.', 'Émile Short was born in 1750.', 'A third block.']
    np.save(tmp_path / 'block_records.npy', np.array([text.encode() for text in texts], dtype=object))
    guide = (pathlib.Path(__file__).parents[2] / 'docs' / 'weights.md').read_text()
    program = guide.split('```python\n')[1].split('```')[0]
    subprocess.run([sys.executable, '-c', program], cwd=tmp_path, check=True)
    arguments = ['--input', str(tmp_path / 'blocks.tfr'), '--vocabulary', str(vocabulary_path)]
    arguments += ['--output', str(tmp_path / 'corpus')]
    build_corpus.run(parse(arguments, build_corpus.__name__, build_corpus.BuildCorpusOptions), tiny_config)
    assert BlockStore.open(tmp_path / 'corpus').texts(np.arange(3)) == texts


def test_a_corpus_has_no_weights(tmp_path, tiny_corpus):
    with pytest.raises(RealmError, match='is a corpus, which has no weights'):
        import_weights([tiny_corpus], tmp_path / 'x', config_of())


@pytest.fixture(scope='module')
def open_question_answering(tmp_path_factory, tiny_corpus):
    """A `RealmForOpenQA` with an embedding of every block of the tiny corpus."""
    corpus = BlockStore.open(tiny_corpus)
    pieces = corpus.vocabulary.pieces
    config = CONFIG | {'vocab_size': len(pieces), 'num_block_records': len(corpus)}
    return write_directory(
        tmp_path_factory.mktemp('openqa') / 'openqa', config, random_arrays(layouts.openqa(config)), pieces
    )


def answering_config(**changed):
    return config_of(
        encoder__vocabulary_size=30522,
        finetune__question_length=24,
        finetune__reader_length=64,
        finetune__reader_blocks=3,
        finetune__num_candidates=100,
        index__searcher='exact',
        **changed,
    )


def test_an_imported_model_answers(tmp_path, open_question_answering, tiny_corpus, tiny_questions, capsys):
    config = answering_config()
    for _ in range(2):
        import_weights(
            [open_question_answering],
            tmp_path / 'model',
            config,
            corpus_path=tiny_corpus,
            embeddings_path=tmp_path / 'embeddings',
        )
    assert 'up to date' in capsys.readouterr().out
    embeddings = Embeddings.open(tmp_path / 'embeddings')
    expected = read(open_question_answering, allow_pickle=False).block_embeddings
    np.testing.assert_array_equal(embeddings.as_array(), expected)
    assert [len(shard) for shard in embeddings.shards] == list(map(len, BlockStore.open(tiny_corpus).shard_ranges))
    build_index(tmp_path / 'embeddings', tmp_path / 'index', config.index)
    paths = (tiny_corpus, tmp_path / 'model', tmp_path / 'embeddings', tmp_path / 'index')
    evaluate_model(*paths, read_questions(tiny_questions).questions, tmp_path / 'evaluation', config, inputs={})
    assert read_metrics(tmp_path / 'evaluation')['questions'] == 40
    predictions = (tmp_path / 'evaluation' / 'predictions.jsonl').read_text().splitlines()
    assert all(len(json.loads(prediction)['read']) == 3 for prediction in predictions)


@pytest.mark.slow
def test_an_imported_model_is_exported_and_asked(tmp_path, open_question_answering, tiny_corpus):
    def realm(*arguments):
        command = [sys.executable, '-m', 'realm_tf.cli', *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    belongs = ('--corpus', tiny_corpus, '--embeddings', tmp_path / 'embeddings')
    settings = answering_config()
    sets = [f'--set={name}={value}' for name, value in SETTINGS.items() if name != 'encoder.vocabulary_size']
    sets += [f'--set=finetune.reader_length={settings.finetune.reader_length}', '--set=finetune.question_length=24']
    imported = realm('import', '--from', open_question_answering, '--to', tmp_path / 'model', *belongs, *sets)
    assert f'Wrote {tmp_path / "model"}' in imported
    realm(
        'index', '--embeddings', tmp_path / 'embeddings', '--output', tmp_path / 'index', '--set=index.searcher=exact'
    )
    realm('export', '--model', tmp_path / 'model', *belongs, '--output', tmp_path / 'export')
    assert realm('ask', '--model', tmp_path / 'export', 'When was Alba founded?')


def test_embeddings_that_are_there_are_named_by_the_model(tmp_path, open_question_answering, tiny_corpus):
    config = answering_config()
    parts = random_arrays(layouts.reader(CONFIG | {'vocab_size': 30522}))
    pieces = BlockStore.open(tiny_corpus).vocabulary.pieces
    write_directory(tmp_path / 'reader', CONFIG | {'vocab_size': 30522}, parts, pieces)
    belongs = {'corpus_path': tiny_corpus, 'embeddings_path': tmp_path / 'embeddings'}
    import_weights([open_question_answering], tmp_path / 'first', config, **belongs)
    import_weights([tmp_path / 'reader'], tmp_path / 'second', config, **belongs)
    model = open_artifact(tmp_path / 'second', 'model')
    model.require_input('embeddings', open_artifact(tmp_path / 'embeddings'))
    model.require_input('corpus', open_artifact(tiny_corpus))


def test_embeddings_of_another_corpus_are_refused(tmp_path, open_question_answering, tiny_corpus):
    config = CONFIG | {'vocab_size': 30522, 'num_block_records': 7}
    pieces = BlockStore.open(tiny_corpus).vocabulary.pieces
    write_directory(tmp_path / 'openqa', config, random_arrays(layouts.openqa(config)), pieces)
    count = len(BlockStore.open(tiny_corpus))
    with pytest.raises(RealmError, match=f'embeddings of 7 blocks, and the corpus .* has {count} blocks'):
        import_weights(
            [tmp_path / 'openqa'],
            tmp_path / 'model',
            answering_config(),
            corpus_path=tiny_corpus,
            embeddings_path=tmp_path / 'embeddings',
        )
    assert not (tmp_path / 'embeddings').exists()


def test_embeddings_need_a_corpus(tmp_path, sources):
    with pytest.raises(RealmError, match='name it with --corpus'):
        import_weights([sources / 'openqa'], tmp_path / 'x', config_of(), embeddings_path=tmp_path / 'embeddings')


def test_the_retriever_of_an_imported_encoder_is_a_saved_model(tmp_path, sources):
    import_weights([sources / 'embedder'], tmp_path / 'x', config_of())
    saved = tf.saved_model.load(str(tmp_path / 'x' / 'saved_model'))
    ids = tf.constant([[2, 7, 8, 3]])
    found = saved.embed_query(ids)['embedding']
    np.testing.assert_allclose(found, Encoder.open(tmp_path / 'x').retriever().embed_queries(ids), atol=1e-6)


def test_fresh_weights_need_a_vocabulary_alone(tmp_path, sources):
    (tmp_path / 'only').mkdir()
    (tmp_path / 'only' / 'vocab.txt').write_text('\n'.join(layouts.PIECES) + '\n')
    import_weights([tmp_path / 'only'], tmp_path / 'x', config_of(), random=True)
    assert Encoder.open(tmp_path / 'x').vocabulary.pieces == tuple(layouts.PIECES)


def test_blocks_of_an_encoder_keep_its_lineage(tmp_path, tiny_corpus, tiny_questions):
    """As the authors' pre-trained embedder comes, with the embeddings it made."""
    corpus = BlockStore.open(tiny_corpus)
    config = CONFIG | {'vocab_size': 30522}
    arrays = random_arrays(layouts.embedder(config))
    source = read(write_directory(tmp_path / 'x', config, arrays, corpus.vocabulary.pieces), allow_pickle=False)
    blocks = np.random.default_rng(0).normal(size=(len(corpus), 8)).astype(np.float32)
    with_blocks = dataclasses.replace(source, block_embeddings=blocks)
    import_pretrained(
        [with_blocks],
        tmp_path / 'encoder',
        answering_config(),
        digests={},
        corpus_path=tiny_corpus,
        embeddings_path=tmp_path / 'embeddings',
    )
    paths = (tiny_corpus, tmp_path / 'encoder', tmp_path / 'embeddings')
    questions = read_questions(tiny_questions).questions
    evaluate_retriever(*paths, questions, tmp_path / 'evaluation', answering_config(), inputs={})
    np.testing.assert_array_equal(Embeddings.open(tmp_path / 'embeddings').as_array(), blocks)
