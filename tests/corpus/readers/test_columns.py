"""The columns of tables: a wrong name is told at once, a table without one is not."""

import re

import pytest

from realm_tf.corpus.readers.columns import Columns
from realm_tf.errors import RealmError

GOOD, BAD = ('good.csv', ['text', 'id', 'title', 'url']), ('bad.csv', ['id', 'title', 'body'])


@pytest.mark.parametrize('tables', [[], [GOOD], [BAD, GOOD], [GOOD, BAD]])
def test_one_of_the_tables_has_them(tables):
    Columns().require(tables)


def test_what_none_has_is_told_with_what_the_first_has():
    said = (
        "bad.csv has no column 'text' for the text of documents. Its columns are 'id', 'title', 'body': "
        'say which of them holds the text.'
    )
    with pytest.raises(RealmError, match=re.escape(said)):
        Columns().require([BAD, ('worse.csv', [])])
    Columns(None, None, 'body').require([BAD])


def test_no_more_tables_are_opened_than_are_needed():
    tables = iter([BAD, GOOD, BAD])
    Columns().require(tables)
    assert list(tables) == [BAD]
