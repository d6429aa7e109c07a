"""Texts that every match of a regular expression holds, so that most blocks need not be searched with it."""

import re

try:
    from re import _parser as parser
except ImportError:  # Python 3.10
    import sre_parse as parser

# The letters that are no ASCII and that a search in any case takes for one: dotless and dotted i, long s, Kelvin.
_FOLDED = str.maketrans({'ı': 'i', 'İ': 'i', 'ſ': 's', 'K': 'k'})
# A letter alone is nearly everywhere, a digit is not.
_LEAST_WEIGHT = 2


def folded(text: str) -> str:
    """The text in lower case, such that `required_literals` are found in it as they stand."""
    return text.translate(_FOLDED).lower()


def required_literals(pattern: str) -> frozenset[str] | None:
    """Texts one of which stands, in lower case, in the `folded` text of every match in any case.

    Args:
      pattern: a regular expression.

    Returns:
      Texts of ASCII, of at least two characters or one digit; None if there are none that every match must hold.
    """
    return _of_sequence(parser.parse(pattern, re.IGNORECASE | re.UNICODE | re.MULTILINE))


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
