"""Named entities by a BERT, random and tiny, in a Hugging Face directory."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from realm_tf.config import SpansConfig
from realm_tf.corpus.spans import tagger_inputs
from realm_tf.corpus.taggers.bert_entities import BertTagger, decode_bio, require_token_classifier, windows_of
from realm_tf.errors import RealmError

LABELS = ('O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC', 'B-MONEY', 'I-MONEY')
PIECES = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'In', 'Old', 'Paris', 'paris', 'Ada', 'Long', 'met', 'É']
PIECES += ['é', 'e', '##mile', '##lace', 'love', '##s', '日', '本', ',', '.', 'x', '##x']
CONFIG = {
    'model_type': 'bert',
    'num_hidden_layers': 2,
    'hidden_size': 8,
    'num_attention_heads': 2,
    'intermediate_size': 12,
    'vocab_size': len(PIECES),
    'max_position_embeddings': 12,
    'type_vocab_size': 2,
    'hidden_act': 'gelu',
    'layer_norm_eps': 1e-12,
    'id2label': {str(id): label for id, label in enumerate(LABELS)},
}


def random_tensors(seed=0):
    """The parameters of a random BERT, by Hugging Face's names."""
    generator = np.random.default_rng(seed)
    hidden, inner = CONFIG['hidden_size'], CONFIG['intermediate_size']
    shapes = {
        'bert.embeddings.word_embeddings.weight': (CONFIG['vocab_size'], hidden),
        'bert.embeddings.position_embeddings.weight': (CONFIG['max_position_embeddings'], hidden),
        'bert.embeddings.token_type_embeddings.weight': (2, hidden),
        'classifier.weight': (len(LABELS), hidden),
        'classifier.bias': (len(LABELS),),
    }
    norms = ['bert.embeddings.LayerNorm']
    for layer in range(CONFIG['num_hidden_layers']):
        prefix = f'bert.encoder.layer.{layer}'
        dense = {f'attention.self.{part}': (hidden, hidden) for part in ('query', 'key', 'value')}
        dense |= {'attention.output.dense': (hidden, hidden)}
        dense |= {'intermediate.dense': (inner, hidden), 'output.dense': (hidden, inner)}
        for name, shape in dense.items():
            shapes[f'{prefix}.{name}.weight'], shapes[f'{prefix}.{name}.bias'] = shape, shape[:1]
        norms += [f'{prefix}.attention.output.LayerNorm', f'{prefix}.output.LayerNorm']
    for norm in norms:
        shapes[f'{norm}.weight'] = shapes[f'{norm}.bias'] = (hidden,)
    return {
        name: generator.normal(float(name.endswith('LayerNorm.weight')), 0.7, shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def write_directory(path, *, config=CONFIG, tensors=None, tokenizer_config=None):
    path.mkdir(exist_ok=True)
    (path / 'config.json').write_text(json.dumps(config))
    (path / 'vocab.txt').write_text('\n'.join(PIECES) + '\n')
    save_file(tensors or random_tensors(), path / 'model.safetensors')
    if tokenizer_config is not None:
        (path / 'tokenizer_config.json').write_text(json.dumps(tokenizer_config))
    return path


def expected_logits(tensors, ids):
    """BERT in numpy, for one input without padding, as its paper has it: `[length, labels]`."""

    def dense(name, values):
        return values @ tensors[f'{name}.weight'].T + tensors[f'{name}.bias']

    def layer_norm(name, values):
        centred = values - values.mean(-1, keepdims=True)
        return (
            centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12) * tensors[f'{name}.weight']
            + (tensors[f'{name}.bias'])
        )

    embeddings = 'bert.embeddings'
    hidden = layer_norm(
        f'{embeddings}.LayerNorm',
        tensors[f'{embeddings}.word_embeddings.weight'][ids]
        + tensors[f'{embeddings}.position_embeddings.weight'][: len(ids)]
        + tensors[f'{embeddings}.token_type_embeddings.weight'][0],
    )
    for layer in range(CONFIG['num_hidden_layers']):
        prefix = f'bert.encoder.layer.{layer}'
        query, key, value = (dense(f'{prefix}.attention.self.{part}', hidden) for part in ('query', 'key', 'value'))
        attended = []
        for head in np.split(np.arange(CONFIG['hidden_size']), CONFIG['num_attention_heads']):
            weights = np.exp(query[:, head] @ key[:, head].T / math.sqrt(len(head)))
            attended.append(weights / weights.sum(-1, keepdims=True) @ value[:, head])
        attended = dense(f'{prefix}.attention.output.dense', np.concatenate(attended, -1))
        hidden = layer_norm(f'{prefix}.attention.output.LayerNorm', hidden + attended)
        inner = dense(f'{prefix}.intermediate.dense', hidden)
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        hidden = layer_norm(f'{prefix}.output.LayerNorm', hidden + dense(f'{prefix}.output.dense', inner))
    return dense('classifier', hidden)


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
    return write_directory(tmp_path_factory.mktemp('bert'), tokenizer_config={'do_lower_case': False})


@pytest.fixture(scope='module')
def tagger(directory):
    return BertTagger(directory)


def labelling(tensors, *, by_piece):
    """Parameters of a BERT that gives a wordpiece the label of its own, whatever stands around it."""
    tensors = {name: np.zeros_like(tensor) for name, tensor in tensors.items()}
    width = CONFIG['hidden_size']
    assert len(LABELS) < width
    for name in tensors:
        if name.endswith('LayerNorm.weight'):
            tensors[name] = np.ones(width, np.float32)
    for piece in PIECES:
        label = LABELS.index(by_piece.get(piece, 'O'))
        tensors['bert.embeddings.word_embeddings.weight'][PIECES.index(piece), label] = 1
    tensors['classifier.weight'] = np.eye(len(LABELS), width, dtype=np.float32)
    return tensors


def tagged(tagger, *texts):
    return [
        [(text.encode()[span.start : span.limit].decode(), span.label) for span in spans]
        for text, spans in zip(texts, tagger.tag(texts), strict=True)
    ]


def test_logits_are_those_of_bert(directory):
    from realm_tf.weights.token_classifier import read_token_classifier

    model = read_token_classifier(directory)
    ids = np.array([2, 9, 10, 11, 7, 22, 3], np.int32)
    padded = np.array([[*ids, 0, 0, 0], [2, 5, 3, *[0] * 7]], np.int32)
    expected = expected_logits(load_file(directory / 'model.safetensors'), ids)
    np.testing.assert_allclose(np.asarray(model.logits(padded))[0, : len(ids)], expected, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 0.1
    assert model.labels == LABELS and not model.lower_case


def test_entities_are_whole_words_of_the_first_wordpieces_label(tmp_path):
    by_piece = {'Ada': 'B-PER', 'Long': 'I-PER', 'É': 'I-PER', '##mile': 'B-LOC', 'Old': 'B-LOC', 'Paris': 'I-LOC'}
    by_piece |= {'##s': 'B-PER', '日': 'B-LOC', '本': 'B-LOC', 'x': 'B-MONEY', '##x': 'I-MONEY'}
    write_directory(
        tmp_path,
        tensors=labelling(random_tensors(), by_piece=by_piece),
        tokenizer_config={'do_lower_case': False},
    )
    texts = [
        'In 1825, Ada Long met Émile, in Old Paris.',
        '🙂 loves paris',
        '日本, xx',
        '',
        'Émile',
    ]
    assert tagged(BertTagger(tmp_path), *texts) == [
        [('1825', 'DATE'), ('Ada Long', 'PER'), ('Émile', 'PER'), ('Old Paris', 'LOC')],
        [],
        [('日', 'LOC'), ('本', 'LOC')],
        [],
        [('Émile', 'PER')],
    ]


@pytest.mark.parametrize('tokenizer_config', [None, {'do_lower_case': True}])
def test_an_uncased_vocabulary_is_met_in_lower_case(tmp_path, tokenizer_config):
    tensors = labelling(random_tensors(), by_piece={'paris': 'B-LOC', 'e': 'I-LOC'})
    write_directory(tmp_path, tensors=tensors, tokenizer_config=tokenizer_config)
    assert tagged(BertTagger(tmp_path), 'PARIS Élace e\u0301lace') == [[('PARIS Élace e\u0301lace', 'LOC')]]


def test_a_long_text_is_labelled_as_its_parts_are(tmp_path):
    tensors = labelling(random_tensors(), by_piece={'Ada': 'B-PER', 'Long': 'I-PER'})
    tagger = BertTagger(write_directory(tmp_path, tensors=tensors, tokenizer_config={'do_lower_case': False}))
    text = 'Ada Long met Émile in Paris. ' * 400
    assert tagged(tagger, text, 'Ada') == [[('Ada Long', 'PER')] * 400, [('Ada', 'PER')]]


WORDS = st.sampled_from(
    ['In', 'Old', 'Paris', 'Ada', 'Émile', 'E\u0301mile', 'loves', '日本', 'xxx', '🙂', '1825', '\u00ad']
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(WORDS, max_size=30).map(' '.join), max_size=5))
def test_spans_are_whole_words_and_no_text_minds_its_neighbours(tagger, texts):
    together = tagged(tagger, *texts)
    assert together == [tagged(tagger, text)[0] for text in texts]
    for text, found in zip(texts, together, strict=True):
        for words, label in found:
            assert words in text and words.strip() == words != '' and label in ('PER', 'LOC', 'DATE')


@given(st.integers(0, 300), st.integers(1, 60))
def test_every_wordpiece_has_one_window_and_stands_deep_in_it(num_pieces, length):
    windows = windows_of(num_pieces, length)
    kept = [piece for window in windows for piece in range(window.first, window.last)]
    assert kept == list(range(num_pieces))
    context = length // 4 // 2
    for window in windows:
        assert window.start <= window.first < window.last <= window.limit <= window.start + length
        assert window.start == 0 or window.first - window.start >= context
        assert window.limit == num_pieces or window.limit - window.last >= context


KINDS = st.sampled_from(['PER', 'LOC', 'geo-political'])


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2), KINDS), max_size=10), st.booleans())
def test_what_is_written_in_bio_is_read_back(entities, plain):
    """With `plain`, an `I-` begins every entity that need not have a `B-`, as in the original CoNLL-2003 files."""
    labels, written = [], []
    for length, gap, kind in entities:
        labels += ['O'] * gap
        needed = bool(labels) and labels[-1].partition('-')[2] == kind
        written.append((len(labels), len(labels) + length, kind))
        labels += [f'{"B" if needed or not plain else "I"}-{kind}'] + [f'I-{kind}'] * (length - 1)
    assert decode_bio(labels) == written


@given(st.lists(st.sampled_from(LABELS)))
def test_any_labels_give_entities_of_their_words(labels):
    entities = decode_bio(labels)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(entities))
    covered = {word: kind for start, limit, kind in entities for word in range(start, limit)}
    assert covered == {word: label[2:] for word, label in enumerate(labels) if label != 'O'}
    assert {start for start, _, _ in entities} >= {word for word, label in enumerate(labels) if label[0] == 'B'}


def without(name):
    return lambda path: (path / name).unlink()


def replaced(name, text):
    return lambda path: (path / name).write_text(text)


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (without('vocab.txt'), 'has no vocab.txt'),
        (without('config.json'), 'has no config.json'),
        (
            lambda path: (path / 'model.safetensors').rename(path / 'pytorch_model.bin'),
            'bin is not read: .*safe_serial',
        ),
    ],
)
def test_a_missing_file_is_named_before_anything_is_loaded(tmp_path, damage, message):
    damage(write_directory(tmp_path))
    with pytest.raises(RealmError, match=message):
        require_token_classifier(tmp_path)


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (
            replaced('config.json', json.dumps(CONFIG | {'model_type': 'roberta'})),
            'model_type = .roberta., where',
        ),
        (replaced('config.json', json.dumps(CONFIG | {'id2label': {'0': 'O', '2': 'B-PER'}})), 'no id2label'),
        (replaced('config.json', json.dumps(CONFIG | {'id2label': {'0': 'O', '1': 'PER'}})), 'shape|label'),
        (replaced('config.json', json.dumps(CONFIG | {'vocab_size': 7})), r'has the shape \(25, 8\)'),
        (replaced('vocab.txt', '\n'.join([*PIECES, 'more'])), 'has 26 pieces'),
        (replaced('tokenizer_config.json', '{'), 'cannot be read as the settings of a tokenizer'),
        (replaced('model.safetensors', 'cut'), 'cannot be read as safetensors'),
        (
            lambda path: save_file(
                {name: tensor for name, tensor in random_tensors().items() if 'classifier' not in name},
                path / 'model.safetensors',
            ),
            'lacks classifier.weight',
        ),
    ],
)
def test_a_damaged_file_is_named(tmp_path, damage, message):
    damage(write_directory(tmp_path))
    with pytest.raises(RealmError, match=message):
        BertTagger(tmp_path)


def test_labels_that_are_not_bio_are_refused(tmp_path):
    labels = {str(id): label.removeprefix('B-') for id, label in enumerate(LABELS)}
    with pytest.raises(RealmError, match="has the label 'PER' in id2label"):
        BertTagger(write_directory(tmp_path, config=CONFIG | {'id2label': labels}))


@pytest.mark.parametrize('name', ['config.json', 'vocab.txt', 'model.safetensors', 'tokenizer_config.json'])
def test_every_file_that_is_read_makes_another_tagger(tmp_path, name):
    directory = write_directory(tmp_path, tokenizer_config={'do_lower_case': True})
    config = SpansConfig(tagger='hf', hf_directory=str(directory))
    before = tagger_inputs(config)
    assert before == tagger_inputs(config) and list(before) == ['tagger']
    (directory / 'README.md').write_text('not read')
    assert tagger_inputs(config) == before
    (directory / name).write_bytes((directory / name).read_bytes() + b' ')
    assert tagger_inputs(config) != before
