import tensorflow_text
from hypothesis import given, settings
from hypothesis import strategies as st

from realm_tf.text.character_map import normalizer_model

CHARACTERS = st.one_of(
    st.characters(exclude_categories=['Cs']), st.sampled_from('\x00\x7f\x80\u07ff\u0800\uffff\U00010000\U0010ffff')
)


# A map takes a tenth of a second.
@settings(max_examples=30)
@given(st.dictionaries(CHARACTERS, st.text(CHARACTERS, max_size=15)), st.text(CHARACTERS), st.data())
def test_characters_are_replaced(becomes, text, data):
    text += ''.join(data.draw(st.lists(st.sampled_from(sorted(becomes))))) if becomes else ''
    normalizer = tensorflow_text.FastBertNormalizer(model_buffer=normalizer_model(becomes))
    normalized, origins = normalizer.normalize_with_offsets([text])
    replaced = [becomes.get(character, character) for character in text]
    assert normalized.numpy()[0].decode() == ''.join(replaced)
    expected, place = [], 0
    for character, new in zip(text, replaced, strict=True):
        bytes_of_new = range(len(new.encode()))
        expected += [place + (byte if new == character else 0) for byte in bytes_of_new]
        place += len(character.encode())
    assert origins.to_list() == [[*expected, place]]
