"""The vocabulary file."""

import pytest

from realm_tf.errors import RealmError
from realm_tf.text.vocabulary import Vocabulary

SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')


def test_a_line_ends_where_files_end_lines_and_nowhere_else(tmp_path):
    vocabulary = Vocabulary((*SPECIAL, 'a\u2028b', '\x85', 'c'))
    vocabulary.write(tmp_path / 'vocab.txt')
    assert Vocabulary.read(tmp_path / 'vocab.txt') == vocabulary
    (tmp_path / 'of_windows.txt').write_bytes('\r\n'.join([*vocabulary.pieces, '']).encode())
    assert Vocabulary.read(tmp_path / 'of_windows.txt') == vocabulary


def test_what_is_no_vocabulary_is_said(tmp_path):
    (tmp_path / 'cut.txt').write_bytes('\n'.join([*SPECIAL, 'ü']).encode()[:-1])
    for path, message in (
        (tmp_path / 'none.txt', 'no vocabulary at'),
        (tmp_path, 'is a directory: name the vocab.txt in it'),
        (tmp_path / 'cut.txt', r'not UTF-8 in line 6 .* Is it whole\?'),
    ):
        with pytest.raises(RealmError, match=message):
            Vocabulary.read(path)
