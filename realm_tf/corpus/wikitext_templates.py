"""Templates of the English Wikipedia whose text stands in the middle of sentences.

A template is code of its wiki, which a dump of articles does not hold. Most of them (boxes, references, notes to
editors) are no prose. The ones here are, and their text follows from their arguments.
"""

import calendar
import re
from collections.abc import Callable, Mapping

Arguments = Mapping[str, str]
Renderer = Callable[[Arguments], str]


def renderer(name: str) -> Renderer | None:
    """What makes a template's text of its arguments.

    Args:
      name: the template's name, as written.

    Returns:
      A function of the arguments' texts by name, those without a name being '1', '2', …; None if the template has no
      text that belongs to a sentence.
    """
    name = re.sub(r'[\s_]+', ' ', name).strip().lower().removeprefix('template:')
    if name.startswith(_FORMAT_NUMBER):
        return lambda _: _grouped(name.removeprefix(_FORMAT_NUMBER).strip())
    if re.fullmatch(r'lang-[a-z-]+', name):
        return _argument('1')
    return _RENDERERS.get(name)


_FORMAT_NUMBER = 'formatnum:'


def _positional(arguments: Arguments) -> list[str]:
    texts = []
    while (number := str(len(texts) + 1)) in arguments:
        texts.append(arguments[number])
    return texts


def _argument(*names: str) -> Renderer:
    """The first argument that is there and not empty."""
    return lambda arguments: next((arguments[name] for name in names if arguments.get(name)), '')


def _last(arguments: Arguments) -> str:
    return (_positional(arguments) or [''])[-1]


def _between(before: str, after: str = '') -> Renderer:
    return lambda arguments: f'{before}{arguments["1"]}{after}' if arguments.get('1') else ''


def _constant(text: str) -> Renderer:
    return lambda _: text


def _joined(separator: str) -> Renderer:
    return lambda arguments: separator.join(filter(None, _positional(arguments)))


def _paragraph(arguments: Arguments) -> str:
    return f'\n\n{_argument("1", "text", "quote", "content")(arguments)}\n\n'


def _lines(arguments: Arguments) -> str:
    return ''.join(f'\n\n{text}' for text in _positional(arguments)) + '\n\n'


def _grouped(number: str) -> str:
    """1234.5 as 1,234.5."""
    if not re.fullmatch(r'[-−]?\d{4,}(\.\d+)?', number):
        return number
    whole, point, decimals = number.partition('.')
    return re.sub(r'(?<=\d)(?=(?:\d{3})+$)', ',', whole) + point + decimals


_NUMBER = re.compile(r'[-−+]?[\d.,]+(?:[/+][\d/]+)?')
# What stands between the two ends of a range, as written and as shown.
_RANGE = {
    **{word: f' {word} ' for word in ('to', 'and', 'or', 'by')},
    **dict.fromkeys(['-', '–', 'to(-)', 'to-'], '–'),
    **dict.fromkeys(['x', '×', '*'], ' × '),
    **dict.fromkeys(['+/-', '±', '+/−'], ' ± '),
}
_UNIT = {
    **{'C': '°C', 'F': '°F', 'K': 'K', 'sqmi': 'sq mi', 'sqft': 'sq ft', 'cuft': 'cu ft', 'cumi': 'cu mi'},
    **{'m2': 'm²', 'km2': 'km²', 'm3': 'm³', 'km3': 'km³', 'cm2': 'cm²', 'cm3': 'cm³', 'acre': 'acres'},
    **{'kph': 'km/h', 'kn': 'knots', 'NM': 'nautical miles', 'nmi': 'nautical miles', 'lbf': 'lbf', 'LT': 'long tons'},
    **{'in': 'inches', 'impgal': 'imp gal', 'USgal': 'US gal', 'hp': 'hp', 'ST': 'short tons', 'MT': 'tonnes'},
}
_SMALLER_UNITS = frozenset(['in', 'oz', 'lb', 'yd', 'ft'])


def _converted(arguments: Arguments) -> str:
    """`{{convert|5|to|10|km|mi}}` without what it is converted to: 5 to 10 km."""
    rest = iter(_positional(arguments))
    shown = _grouped(next(rest, ''))
    unit = next(rest, '')
    while unit in _RANGE:
        shown += _RANGE[unit] + _grouped(next(rest, ''))
        unit = next(rest, '')
    unit = _UNIT.get(unit, unit)
    if arguments.get('adj'):
        # A 67 inch probe.
        unit = re.sub(r'(?<=inch)es$|s$', '', unit)
    shown = f'{shown} {unit}'
    more, smaller = next(rest, ''), next(rest, '')
    if smaller in _SMALLER_UNITS and _NUMBER.fullmatch(more):
        shown += f' {more} {smaller}'
    return shown


def _date(arguments: Arguments) -> str:
    """Year, month and day, in the American order unless `df` is set; a date that is written out as it is."""
    year, month, day, *_ = [*_positional(arguments), '', '', '']
    if not (month.isascii() and month.isdigit() and 1 <= int(month) <= 12):
        return year
    name = calendar.month_name[int(month)]
    if not day:
        return f'{name} {year}'
    day = day.removeprefix('0')
    return f'{day} {name} {year}' if arguments.get('df') else f'{name} {day}, {year}'


def _as_of(arguments: Arguments) -> str:
    if arguments.get('alt'):
        return arguments['alt']
    words = 'since' if arguments.get('since') else 'as of'
    date = _date({'df': 'yes', **arguments})
    return f'{words if arguments.get("lc") else words.capitalize()} {date}'


def _old_style_date(arguments: Arguments) -> str:
    day, year, *_ = [*_positional(arguments), '', '']
    return f'{day} {year}'


def _fraction(arguments: Arguments) -> str:
    match _positional(arguments):
        case [below]:
            return f'1/{below}'
        case [above, below]:
            return f'{above}/{below}'
        case [whole, above, below, *_]:
            return f'{whole} {above}/{below}'
    return ''


def _value(arguments: Arguments) -> str:
    """`{{val|1.2|0.3|e=6|u=kg}}`: 1.2 ± 0.3 × 10^6 kg."""
    number, uncertainty, *_ = [*_positional(arguments), '', '']
    shown = f'{arguments.get("p", "")}{_grouped(number)}'
    if uncertainty:
        shown += f' ± {uncertainty}'
    if arguments.get('e'):
        shown += f' × 10^{arguments["e"]}'
    unit = _argument('u', 'ul')(arguments)
    return f'{shown} {unit}' if unit else shown


def _nihongo(arguments: Arguments) -> str:
    """English text, then Japanese and its transliteration in parentheses."""
    english, *others = [*_positional(arguments), '']
    japanese = ', '.join(filter(None, others[:2]))
    return f'{english} ({japanese})' if english and japanese else english or japanese


def _ship(prefix: str) -> Renderer:
    def text(arguments: Arguments) -> str:
        name, number, form, *_ = [*_positional(arguments), '', '', '']
        return f'{prefix} {name} ({number})' if number and not form else f'{prefix} {name}'

    return text


def _every(names: str, text: Renderer) -> dict[str, Renderer]:
    return dict.fromkeys((name.replace('_', ' ') for name in names.split()), text)


_RENDERERS: dict[str, Renderer] = {
    # Text in another font, size, or line.
    **_every('nowrap nobr nobreak no_wrap j small smaller smalldiv big bigger larger large em strong', _argument('1')),
    **_every('sc smallcaps small_caps noitalic nobold normal center centre vanchor visible_anchor', _argument('1')),
    **_every('keypress key_press key linktext wikt mono code tt kbd var mvar math sub sup underline', _argument('1')),
    **_every('abbr tooltip abbrlink hover_title sic not_a_typo as_written proper_name ill illm', _argument('1')),
    **_every(
        'interlanguage_link url official_url unicode polytonic nastaliq hebrew script/arabic pslink', _argument('1')
    ),
    **_every('lc uc ucfirst tq xt flag flagcountry flagu marriage railgauge track_gauge', _argument('1')),
    **_every('birth-date start-date end-date death-date dts birth_year', _argument('1')),
    **_every('lang wikt-lang langx script rtl-lang color colour sort native_name', _argument('2')),
    **_every('transl transliteration translit resize font_color font_colour fontcolor', _last),
    **_every('plainlist flatlist columns-list div_col columns column-list', _paragraph),
    **_every('quote cquote bquote blockquote quotation quote_box centered_pull_quote poem_quote poemquote', _paragraph),
    **_every('unbulleted_list ubl vunblist ordered_list bulleted_list', _lines),
    **_every('hlist comma_separated_entries', _joined(', ')),
    **_every('chem chem2', _joined('')),
    **_every('bibleverse bibleref', _joined(' ')),
    'sortname': lambda arguments: ' '.join(_positional(arguments)[:2]),
    'simplenuclide': _joined('-'),
    'simplenuclide2': _joined('-'),
    'zh': lambda arguments: ', '.join(arguments[name] for name in ('c', 's', 't', 'p') if arguments.get(name)),
    **_every('nihongo nihongo2 nihongo_foot', _nihongo),
    # Numbers, measures, money.
    **_every('convert cvt', _converted),
    **_every('frac sfrac fraction', _fraction),
    **_every('val number', _value),
    **_every('nts formatnum', lambda arguments: _grouped(arguments.get('1', ''))),
    **_every('e esp', _between('×10^')),
    **_every('10^ pow', lambda arguments: '^'.join(_positional(arguments)[:2])),
    **_every('us_patent', _between('U.S. Patent ')),
    **_every('us$ usd', _between('US$')),
    **_every('a$ aud', _between('A$')),
    **_every('c$ cad', _between('C$')),
    **_every('inr indian_rupee', _between('₹')),
    **_every('gbp £', _between('£')),
    **_every('eur euro €', _between('€')),
    # Dates.
    **_every('start_date end_date start_date_and_age birth_date birth_date_and_age bda', _date),
    **_every('death_date death_date_and_age dda film_date date', _date),
    **_every('as_of asof', _as_of),
    **_every('oldstyledate old_style_date', _old_style_date),
    **_every('circa c. ca.', lambda arguments: f'c. {_joined("–")(arguments)}'),
    **_every('floruit fl.', lambda arguments: f'fl. {_joined("–")(arguments)}'),
    **_every('reign r.', lambda arguments: f'r. {_joined("–")(arguments)}'),
    # Signs.
    **_every("' apostrophe", _constant("'")),
    **_every("'s", _constant("'s")),
    **_every("s'", _constant("s'")),
    '\' "': _constant('\'"'),
    '" \'': _constant('"\''),
    **_every('ndash endash en_dash nsndns', _constant('–')),
    **_every('mdash emdash em_dash mdashb', _constant('—')),
    **_every('snd snds spaced_ndash spaced_en_dash dash', _constant(' – ')),
    **_every('· • dot bullet middot bold_dot', _constant(' · ')),
    **_every('nbsp spaces space thinsp hair_space thin_space', _constant(' ')),
    **_every('= equals', _constant('=')),
    **_every('pi', _constant('π')),
    **_every('okina hamza', _constant('ʻ')),
    **_every('br break crlf', _constant('\n\n')),
    **_every('angbr grapheme angle_bracket', _between('⟨', '⟩')),
    **_every('gloss single_quote', _between("'", "'")),
    **_every('lit literally literal_translation', _between("lit. '", "'")),
    'music': lambda arguments: {'flat': '♭', 'b': '♭', 'sharp': '♯', '#': '♯', 'natural': '♮'}.get(
        arguments.get('1', ''), ''
    ),
    # Ships.
    **{name.lower(): _ship(name) for name in ('USS', 'HMS', 'HMAS', 'HMCS', 'SS', 'RMS', 'SMS', 'USNS', 'INS', 'MV')},
}
