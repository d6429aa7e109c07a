"""Dates by their form, and the numbers that are none."""

import datetime
import gzip
import itertools
import json
import os
import pathlib
import re
import time

import hypothesis
import pytest
from hypothesis import strategies

from realm_tf.corpus.taggers.dates import DateTagger, find_dates

DATA = pathlib.Path(os.environ.get('REALM_DATA', pathlib.Path(__file__).parents[3] / '../shared/data'))


def dates(text):
    return [text.encode()[span.start : span.limit].decode() for span in find_dates(text)]


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        # Days.
        ('Independent on 25 August 1825.', ['25 August 1825']),
        ('On August 25, 1825, in Florida', ['August 25, 1825']),
        (
            'August 25 1825; August 25th, 1825; AUGUST 25,1825',
            ['August 25 1825', 'August 25th, 1825', 'AUGUST 25,1825'],
        ),
        ('the 4th of July 1776 and July the 4th', ['4th of July 1776', 'July the 4th']),
        ('the fourth day: 4th day of July, 1776', ['4th day of July, 1776']),
        ('In Sept. 1999, on 3rd May and on 5 Jan. He', ['Sept. 1999', '3rd May', '5 Jan']),
        ('Sep 11, 2001; Sept. 11, 2001; 11 Sept 2001', ['Sep 11, 2001', 'Sept. 11, 2001', '11 Sept 2001']),
        ('died 8 June 632, or on the Ides, 15 March 44 BC', ['8 June 632', '15 March 44 BC']),
        ('1999-12-31, not 1999-13-31, and 12/31/1999', ['1999-12-31', '12/31/1999']),
        ('on 4\u00a0July\u00a01776', ['4\u00a0July\u00a01776']),
        # Months, seasons, years.
        ('May 1999, May, 1999, May of 1999', ['May 1999', 'May, 1999', 'May of 1999']),
        ('the summer of 1969, Winter 1941–42', ['summer of 1969', 'Winter 1941–42']),
        ('Élysée, 1848; (1066), “1999”, 2012’s', ['1848', '1066', '1999', '2012']),
        ('44 BC, AD 79, 79 A.D., 10,000 BCE, 622 CE', ['44 BC', 'AD 79', '79 A.D.', '10,000 BCE', '622 CE']),
        ('c. 500 BC, ca. 1500, circa 1200, pre-1914', ['c. 500 BC', 'ca. 1500', 'circa 1200', 'pre-1914']),
        ('early 1999, late May 1999, mid-1944', ['early 1999', 'late May 1999', 'mid-1944']),
        # Decades and centuries.
        ("The 1960s, the '60s, ’70s, 1970's", ['1960s', "'60s", '’70s', "1970's"]),
        ('in the 90s, the early 90s, the late 1990s, the 630s', ['90s', 'early 90s', 'late 1990s', '630s']),
        ('19th century, 19th-century art, 5th century BC', ['19th century', '19th-century', '5th century BC']),
        ('the late nineteenth century, Twenty-first Century', ['late nineteenth century', 'Twenty-first Century']),
        ('this 20th-century work of the 3rd millennium BC', ['20th-century', '3rd millennium BC']),
        # Ranges, and two that are one.
        ('1939–1945, 1939-45, 1939 – 1945, 1999/2000', ['1939–1945', '1939-45', '1939 – 1945', '1999/2000']),
        ('from 1939 to 1945, between 1990 and 1995', ['1939 to 1945', '1990 and 1995']),
        ('2008–present, 1958 – early 1962', ['2008–present', '1958 – early 1962']),
        ('5–7 May 1999, 5 and 7 May, May 5–7, 1999', ['5–7 May 1999', '5 and 7 May', 'May 5–7, 1999']),
        ('5 May – 7 June 1999, May 5 to June 7, 1999', ['5 May – 7 June 1999', 'May 5 to June 7, 1999']),
        ('May to June 1999, May–June 1999', ['May to June 1999', 'May–June 1999']),
        ('500–400 BC, 500 BC to AD 14, AD 100–200', ['500–400 BC', '500 BC to AD 14', 'AD 100–200']),
        ('1960s and 70s, the 1960s to the 1980s', ['1960s and 70s', '1960s to the 1980s']),
        ('17th to 19th centuries, 10–15th century', ['17th to 19th centuries', '10–15th century']),
        # Two that are two.
        ('1960s and 1970s, 1990 and 1995', ['1960s', '1970s', '1990', '1995']),
        ('(12 May 1920 – 3 June 1999)', ['12 May 1920', '3 June 1999']),
        ('(May 12, 1920–June 3, 1999)', ['May 12, 1920', 'June 3, 1999']),
    ],
)
def test_dates(text, expected):
    assert dates(text) == expected


@pytest.mark.parametrize(
    'text',
    [
        '1,825 people, 1825.5 metres, 12,1999 and 1:1999',
        '1825 km, 1825 m, 1825\u00a0ft, 1825 square miles, 1825 people, 1825°, 1825%',
        '1500 to 2000 people, 1500–2000 km, between 1500 and 2000 metres',
        '1500-metre race, 2000-year-old city, 1920×1080, 1920 × 1080, 1920x1080, 1920 x 1080',
        '$1999, US$ 1999, £1999, €1999–2005, 1999 dollars, USD 1999',
        'No. 1999, Nos. 1998 and 1999, number 1999, #1999, № 1999',
        'p. 1999, pp. 1998–1999, page 1999, vol. 1999, Chapter 1999, line 1999',
        'Flight 1999, Route 1999, NGC 1999, ISO 1999',
        'a population of 1999, more than 1999, 900 women for every 1000 men',
        'F-1999, 555-1999, 978-0-1999-1234-5, x1999, 1999x, https://a.example/1999/c',
        'Maybe 12 marching men; may 5; march 12; in his 60s; 5 Mayors; 12 Marches',
        'May 1,825 soldiers, March 12,000, May 5.5, May 1–0',
        'his first century in Test cricket; her 3rd century',
        '1000s of people; 3000; 999; 25\nAugust',
        '45 Aug; 0 May; 32 May; 1999-00-12',
    ],
)
def test_no_dates(text):
    assert dates(text) == []


@hypothesis.given(strategies.text(alphabet="aé日🙂 1825Mayto.,–-'s\n", max_size=40))
def test_dates_are_whole_characters_in_order(text):
    spans = find_dates(text)
    assert all(one.limit <= other.start for one, other in itertools.pairwise(spans))
    for words in dates(text):
        assert words and words.strip() == words and words in text and '\n' not in words


@hypothesis.given(
    strategies.dates(datetime.date(1000, 1, 1), datetime.date(2099, 12, 31)),
    strategies.sampled_from(['%d %B %Y', '%B %d, %Y', '%b. %d, %Y', '%Y-%m-%d', '%B %Y']),
)
def test_any_day_is_found_whatever_stands_around_it(day, form):
    written = day.strftime(form).replace('May.', 'May')
    assert dates(f'Ünïcödé, on {written}, 東京 (1,234).') == [written]


@pytest.mark.parametrize(
    'part', ['1', '1 ', '1-', '1939–', '1939 to ', 'May 1, ', 'c. ', '1st and ', "'", '1,', 'AD ', '\n']
)
def test_time_is_linear_in_the_text(part):
    def seconds(length):
        text = (part * length)[:length]
        start = time.process_time()
        find_dates(text)
        return time.process_time() - start

    short, long = (min(seconds(length) for _ in range(3)) for length in (10_000, 200_000))
    # Twenty times the text; were the time quadratic, it would take four hundred times as long.
    assert long < 200 * short + 0.1


def test_ten_megabytes_in_one_text():
    text = 'On 4 July 1776, between 1500 and 2000 people (1,825) met in the late 18th century. ' * 120_000
    assert len(text) > 9_900_000
    start = time.process_time()
    assert len(find_dates(text)) == 240_000
    assert time.process_time() - start < 60


def test_every_birth_of_a_real_corpus_is_found():
    path = DATA / 'simplewiki' / 'articles.jsonl.gz'
    if not path.exists():
        pytest.skip(f'needs {path}; REALM_DATA names the folder of the data')
    with gzip.open(path, 'rt', encoding='utf-8') as lines:
        texts = [json.loads(line)['text'] for line in itertools.islice(lines, 10_000) if '(born' in line]
    born = re.compile(r'\(born ([A-Z]\w+ \d+, \d{4}|\d+ [A-Z]\w+ \d{4}|\d{4})(?=[;)])')
    births = [(birth[1], set(dates(text))) for text in texts for birth in born.finditer(text)]
    assert len(births) > 100
    assert [birth for birth, found in births if birth not in found] == []


def test_the_tagger_gives_the_dates_of_each_text():
    assert list(DateTagger().tag(['In 1825.', '', 'On 4 July'])) == [
        find_dates('In 1825.'),
        [],
        find_dates('On 4 July'),
    ]
