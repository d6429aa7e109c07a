"""What becomes of a version that is opened."""

import psutil
import pytest
import tensorflow as tf

from export.serving.hot_swap import open_newest
from export.serving_files import WARM_UP, write_warm_up
from realm_tf.errors import RealmError
from tests.export.serving.parrot import POISON, write_parrot

# 64 MiB of them.
WEIGHTS = 1 << 24


def break_warm_up(path):
    write_warm_up(path, ['fine'])
    (path / WARM_UP).write_bytes((path / WARM_UP).read_bytes()[1:])


@pytest.mark.parametrize(
    ('make_warm_up', 'error'),
    [(lambda path: write_warm_up(path, [POISON]), RealmError), (break_warm_up, tf.errors.DataLossError)],
)
def test_a_version_that_cannot_be_warmed_up_leaves_no_memory_behind(tmp_path, make_warm_up, error):
    write_parrot(tmp_path, 1, WEIGHTS)
    # What the first one takes is there for the next.
    open_newest(tmp_path).close()
    make_warm_up(tmp_path / '1')
    before = psutil.Process().memory_info().rss
    for _ in range(4):
        with pytest.raises(error):
            open_newest(tmp_path)
    assert psutil.Process().memory_info().rss - before < 4 * WEIGHTS


def test_a_version_without_a_number_is_refused(tmp_path):
    write_parrot(tmp_path, 1)
    (tmp_path / '1').rename(tmp_path / 'copied')
    with pytest.raises(RealmError, match=r'copied cannot be served: .* a number'):
        open_newest(tmp_path / 'copied')
