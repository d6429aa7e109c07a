"""Dates by their form, in English.

A span is a date as people write it, with what narrows it down (`late 19th century`, `mid-1990s`, `c. 500 BC`) and
without the articles and prepositions before it:

* days: `25 August 1825`, `August 25, 1825`, `the 4th of July 1776`, `3 Sept.`, `1999-12-31`, `12/31/1999`;
* months and seasons of a year: `Sept. 1999`, `summer of 1969`;
* years: `1825`, of four digits from 1000 to 2099; `44 BC`, `AD 79`, `10,000 BCE`;
* decades: `1960s`, `the '60s`, `the early 90s`; centuries and millennia: `19th century`, `twenty-first century`.

Two points in time are one span where one is incomplete without the other (`5–7 May 1999`, `May to June 1999`,
`1939–45`, `1960s and 70s`, `17th to 19th centuries`), and where they bound a range of years or decades (`1939–1945`,
`1939 to 1945`, `1999–present`, and `1990 and 1995` after `between`). Otherwise they are two: `1960s and 1970s`, or
`12 May 1920 – 3 June 1999`, where each is a fact of its own.

Numbers that are no years: those with a thousands separator or decimals; within other numbers, words and paths
(`555-1999`, `F-1999`, `1920×1080`); after a currency or a label (`$1999`, `No. 1999`, `pp. 1998–1999`, `Flight 1999`,
`population of 1999`, `more than 1999`); before a unit (`1825 km`, `1500 to 2000 people`, `1500-metre`). Labels and
units are those listed below. A number that nothing gives away is a year, as it is in `about 1200 other islands`.
"""

import re

from realm_tf.corpus.spans import Span, Tagger, in_bytes

# In the patterns, a blank stands for one space of any width, and never for the end of a line. All that repeats is
# bounded, or consumed at once: the time is linear in the text.
_SPACE = '[ \u00a0\u2009\u202f]'

_MONTHS = (
    'January|February|March|April|May|June|July|August|September|October|November|December'
    '|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec'
)
_ORDINALS = (
    'first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth'
    '|sixteenth|seventeenth|eighteenth|nineteenth|twentieth'
)
_LABELS = (
    r'(?:[Nn]os?|pp?|[Vv]ols?|[Cc]h|[Ff]igs?|Rs)\. ?|[#№$£€¥₹] ?|[×x] '
    r'|(?:[Nn]umbers?|[Pp]ages?|[Vv]olumes?|[Cc]hapters?|[Ll]ines?|[Vv]erses?|[Rr]outes?|[Hh]ighways?|[Ff]lights?'
    r'|[Rr]ooms?|ISO|RFC|NGC|USD|EUR|GBP|[Ee]very|(?:[Mm]ore|[Ll]ess|[Ff]ewer) than'
    r'|[Pp]opulation (?:of|was|is)(?: about| around)?) '
)
_UNITS = (
    r'k?m|[cmnµ]m|km/h|km²|m²|mi|ft|in²|yd|ha|[km]?g|t|lbs?|oz|[cm]?l|[kMG]?Hz|[kMG]?[WV]|hp|[kMGT]?B|[kMGT]bps|bits?'
    r'|bytes?|k?cal|[kM]?J|K|rpm|mph|mAh|sq|square|cubic|(?:kilo|centi|milli)?met(?:er|re)s?|(?:kilo)?grams?|miles?|foot'
    r'|feet|inch(?:es)?|yards?|acres?|hectares?|tons?|tonnes?|pounds?|lit(?:er|re)s?|gallons?|degrees?|calories|knots'
    r'|(?:kilo|mega|giga)?watts?|volts?|percent|per cent|hours?|hrs?|minutes|seconds|days?|weeks|months|years?|GMT|UTC'
    r'|dollars?|euros?|cents|yen|rupees|francs|USD|EUR|hundred|thousand|million|billion|times|people|persons'
    r'|inhabitants|residents|males|females|men|women|children|boys|girls|students|pupils|soldiers|troops|employees'
    r'|workers|households|families|houses|homes|buildings|villages|seats|spectators|passengers|members|species|copies'
    r'|votes|points|pages|words|islands'
)

# What dates are made of.
_TO = r'(?: ?[-–—/−] ?| (?:to|until|till|through) )'
_JOIN = rf'(?:{_TO}| and | or )'
_QUALIFIER = r'(?:(?:[Ee]arly|[Mm]id|[Mm]iddle|[Ll]ate)(?:-| )|(?:[Pp]re|[Pp]ost)-|[Cc]irca |ca?\. ?)'
_ANOTHER = rf'(?:the )?{_QUALIFIER}?'
_MONTH = rf'(?:{_MONTHS}|{_MONTHS.upper()})'
_DAY = r'(?:[12]\d|3[01]|0?[1-9])(?:st|nd|rd|th)?'
_YEAR = r'(?:1\d|20)\d\d'
_COUNT = r'(?:\d{1,3}(?:,\d{3}){1,2}|\d{1,6})'
_ERA = r'(?:BCE?|AD|CE|B\.C\.E\.|B\.C\.|A\.D\.|C\.E\.)(?!\w)'
_BEFORE_ERA = r'(?:AD|A\.D\.)'
_ORDINAL = rf'(?:\d{{1,2}}(?:st|nd|rd|th)|{_ORDINALS}|{_ORDINALS.title()}|[Tt]wenty(?:-| )[Ff]irst)'
_SHORT_DECADE = r"\d0['’]?s(?!\w)"
_DECADE = rf'(?:1[1-9]|20){_SHORT_DECADE}'  # 1000s are thousands

# How a number must go on, and one that stands alone: no quantity, and not the beginning of something longer.
_END = rf'(?![\w%°′]|[.,]\d| ?(?:{_UNITS})(?![\w.]))'
_END_ALONE = rf'{_END}(?! ?[×x] ?\d|[-–—/]\d|-[a-z])'

_YEAR_OF_ERA = rf'(?:{_COUNT} ?{_ERA}|{_BEFORE_ERA} ?\d{{1,4}}{_END})'
_YEAR_OF_DAY = rf'(?:{_YEAR_OF_ERA}|(?:{_YEAR}|[1-9]\d\d){_END})'  # 8 June 632
_POINT = rf'(?:{_YEAR_OF_ERA}|{_DECADE}|{_YEAR}{_END_ALONE})'

# The first that fits is taken.
_DATES = (
    # 1999-12-31; 12/31/1999
    r'\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?![\w-])',
    rf'\d{{1,2}}/\d{{1,2}}/{_YEAR}(?![\w/-])',
    # 5 May 1999; 4th of July; 5–7 May 1999; 5 May – 7 June 1999
    rf'(?:{_DAY}(?: {_MONTH}\.?)?{_JOIN})?{_DAY}(?: (?:day )?of)? {_MONTH}(?!\w)(?:(?:\.?,? |,){_YEAR_OF_DAY})?',
    # May 5, 1999; July the 4th; May 5–7, 1999; May 5 to June 7, 1999
    rf'{_MONTH}\.? (?:the )?{_DAY}(?:{_JOIN}(?:{_MONTH}\.? )?{_DAY}{_END})?'
    rf'(?:(?:,? |,){_YEAR_OF_DAY}|{_END}(?![–-]\d))',
    # May 1999; May to June 1999
    rf'(?:{_MONTH}\.?{_JOIN})?{_MONTH}\.?,?(?: of)? {_YEAR}{_END}',
    # summer of 1969; winter 1941–42
    rf'(?:[Ss]pring|[Ss]ummer|[Aa]utumn|[Ff]all|[Ww]inter)(?: of)? {_YEAR}(?:[-–/](?:{_YEAR}|\d\d))?{_END}',
    # 19th century; late 18th and early 19th centuries; not the cricketer's
    rf'(?<!\bhis )(?<!\bher )(?:(?:{_ORDINAL}|\d{{1,2}}){_JOIN}{_ANOTHER})?{_ORDINAL}(?:-| )'
    rf'(?:[Cc]entur(?:y|ies)|[Mm]illenni(?:um|a))(?!\w)(?: {_ERA})?',
    # 1960s and 70s
    rf"{_DECADE}{_JOIN}{_ANOTHER}['’‘]?{_SHORT_DECADE}",
    # 1939–45; 1999–present
    rf'{_YEAR}(?:[-–—/]\d\d{_END_ALONE}|(?: ?[-–—] ?| to (?:the )?)(?:present|today|now)(?!\w))',
    # 500–400 BC; AD 100–200
    rf'{_COUNT}{_JOIN}{_YEAR_OF_ERA}',
    rf'{_BEFORE_ERA} ?\d{{1,4}}{_JOIN}\d{{1,4}}{_END_ALONE}',
    # between 1990 and 1995; 1939–1945; 500 BC to AD 14
    rf'(?:(?<=[Bb]etween )|(?<=[Bb]etween the )){_POINT} and {_ANOTHER}{_POINT}',
    rf'(?:{_YEAR_OF_ERA}|{_DECADE}|{_YEAR}){_TO}{_ANOTHER}{_POINT}',
    # 1825; 1960s; '60s
    _POINT,
    rf"['’‘]{_SHORT_DECADE}",
)
# The early 90s; the 630s.
_DECADE_AFTER_THE = rf'(?<=the ){_QUALIFIER}?[1-9]?{_SHORT_DECADE}'

_NUMBER = r'\d[\d.,]{0,15}'
_QUANTITIES = (
    rf'(?:{_LABELS}){_NUMBER}(?:{_JOIN}{_NUMBER})?',
    rf'{_NUMBER}{_TO}{_NUMBER} (?:{_UNITS})(?!\w)',
    rf'(?<=[Bb]etween ){_NUMBER} and {_NUMBER} (?:{_UNITS})(?!\w)',
)
# Numbers that are no date together hold none.
_CHAIN = r'\d+(?:[-–.,:/]\d+)+'

# What is no date is matched as well, so that the search goes on behind it.
_SCAN = re.compile(
    # A quick look for what can begin one; then: not in the middle of a word, a number or a path. US$ is a word.
    r"(?=[\w'’‘#№×$£€¥₹])(?:(?<![\w/×-])|(?=[$£€¥₹]))"
    rf'(?:{"|".join(_QUANTITIES)}|(?P<date>{_QUALIFIER}?(?:{"|".join(_DATES)})|{_DECADE_AFTER_THE})|{_CHAIN})'.replace(
        ' ', _SPACE
    )
)


class DateTagger(Tagger):
    """Finds dates by their form."""

    def tag(self, texts):
        return map(find_dates, texts)


def find_dates(text: str) -> list[Span]:
    """Finds the dates of a text, in order and without overlaps, each with the label `DATE`."""
    return in_bytes(text, ((*match.span(), 'DATE') for match in _SCAN.finditer(text) if match['date']))
