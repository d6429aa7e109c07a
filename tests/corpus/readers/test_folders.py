"""Which folder holds all files, and so says what their paths are."""

import pytest
from etils import epath

from realm_tf.corpus.readers.folders import folder_of_all


@pytest.mark.parametrize(
    ('paths', 'folder'),
    [
        (['texts/a.txt'], 'texts'),
        (['texts/a/x.txt', 'texts/b/c/x.txt'], 'texts'),
        (['texts/a.txt', 'more/a.txt'], '.'),
        (['texts', 'texts/a.txt'], '.'),
        (['gs://b/texts/a/x.txt', 'gs://b/texts/b/x.txt'], 'gs://b/texts'),
        (['/data/a.txt', 'texts/a.txt'], None),
        (['gs://b/texts/a.txt', 'texts/a.txt'], None),
    ],
)
def test_it_is_the_innermost(paths, folder):
    assert folder_of_all([epath.Path(path) for path in paths]) == (folder and epath.Path(folder))


def test_of_a_folder_alone_it_is_this(tmp_path):
    texts = tmp_path / 'texts'
    texts.mkdir()
    assert folder_of_all([epath.Path(texts)]) == texts
    assert folder_of_all([epath.Path(texts), epath.Path(tmp_path / 'more')]) == tmp_path
