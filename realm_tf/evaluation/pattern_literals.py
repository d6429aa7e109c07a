"""Texts that every match of a regular expression holds, so that most blocks need not be searched with it."""

import re

try:
    from re import _parser as parser
except ImportError:  # Python 3.10
    import sre_parse as parser

# The letters that are no ASCII and that a search in any case takes for one: dotless and dotted i, long s, Kelvin.
_FOLDED = str.maketrans({'ı': 'i', 'İ': 'i', 'ſ': 's', 'K': 'k'})
_REFERENCE = re.compile(r'\\[1-9]|\(\?P=|\(\?\(|\(\?[aiLmsux]')
# A backslash with what it escapes, a set, in which a first `]` is a character, or one character.
_TOKEN = re.compile(r'\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.', re.DOTALL)
# A letter alone is nearly everywhere, a digit is not.
_LEAST_WEIGHT = 2


def folded(text: str) -> str:
    """The text in lower case, such that `required_literals` are found in it as they stand."""
    return text.translate(_FOLDED).lower()


def alternatives(pattern: str) -> list[str]:
    """The parts of a regular expression between the `|` that stand in no group: it matches where one of them does.

    An expression with references to groups is left whole, as a part would count its groups anew.
    """
    if _REFERENCE.search(pattern):
        return [pattern]
    parts, depth = [''], 0
    for token in _TOKEN.findall(pattern):
        if token in '()':
            depth += 1 if token == '(' else -1
        elif token == '|' and depth == 0:
            parts.append('')
            continue
        parts[-1] += token
    return parts if all(map(_is_pattern, parts)) else [pattern]


def literal(pattern: str) -> str | None:
    """The text, in lower case, that the expression is nothing but; it matches where that is in the `folded` text."""
    items = _parsed(pattern)
    if items and all(str(operation) == 'LITERAL' and argument < 128 for operation, argument in items):
        return ''.join(chr(argument).lower() for _, argument in items)
    return None


def required_literals(pattern: str) -> frozenset[str] | None:
    """Texts one of which stands, in lower case, in the `folded` text of every match in any case.

    Args:
      pattern: a regular expression.

    Returns:
      Texts of ASCII, of at least two characters or one digit; None if there are none that every match must hold.
    """
    return _of_sequence(_parsed(pattern))


def _parsed(pattern: str):
    return parser.parse(pattern, re.IGNORECASE | re.UNICODE | re.MULTILINE)


def _is_pattern(text: str) -> bool:
    try:
        _parsed(text)
    except re.error:
        return False
    return True


def _of_sequence(items) -> frozenset[str] | None:
    """Of parts one after the other, those of the part that is the most telling."""
    choices: list[frozenset[str]] = []
    run = ''
    for operation, argument in items:
        name = str(operation)
        if name == 'LITERAL' and argument < 128:
            run += chr(argument).lower()
            continue
        choices.append(frozenset({run}))
        run = ''
        inner = _of_part(name, argument)
        if inner is not None:
            choices.append(inner)
    choices.append(frozenset({run}))
    best = max(choices, key=_least_weight)
    return best if _least_weight(best) >= _LEAST_WEIGHT else None


def _of_part(name: str, argument) -> frozenset[str] | None:
    if name == 'SUBPATTERN':
        return _of_sequence(argument[-1])
    if name in ('MAX_REPEAT', 'MIN_REPEAT', 'POSSESSIVE_REPEAT'):
        return _of_sequence(argument[2]) if argument[0] else None
    if name == 'ATOMIC_GROUP':
        return _of_sequence(argument)
    if name == 'BRANCH':
        branches = [_of_sequence(branch) for branch in argument[1]]
        return None if None in branches else frozenset().union(*branches)
    return None


def _least_weight(literals: frozenset[str]) -> int:
    """How rarely the commonest of them stands in a text, roughly."""
    return min(len(literal) + any(map(str.isdigit, literal)) for literal in literals)
