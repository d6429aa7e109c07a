"""How a source is refused whose arrays, or settings, are not those that are needed."""

from collections.abc import Collection

from realm_tf.errors import RealmError

_NAMED_AT_MOST = 5


def refuse_names(source: str, what: str, names: Collection[str]) -> None:
    """Raises a `RealmError` that says what of a source these names are, if there are any.

    Args:
      source: where they are from, or missing.
      what: `lacks` or `has unexpected`.
      names: the names; the first few are given, and how many more there are.
    """
    if names:
        first = ', '.join(sorted(names)[:_NAMED_AT_MOST])
        more = f' and {len(names) - _NAMED_AT_MOST} more' if len(names) > _NAMED_AT_MOST else ''
        raise RealmError(f'{source} {what} {first}{more}.')
