"""Errors that are messages to the user."""


class RealmError(Exception):
    """What was wrong, where, and what to do, in a sentence.

    Commands print it without a stack trace and exit with status 2.
    """


# Of a command that the system stopped: by a full disk, or a file that may not be read.
STOPPED_BY_SYSTEM = 1


def sentence_of(error: OSError) -> str:
    """What an error of the system is to a user: which file, and why. Commands exit with `STOPPED_BY_SYSTEM`."""
    reason = error.strerror or ' '.join(map(str, error.args)) or type(error).__name__
    return f'{error.filename}: {reason}.' if error.filename else f'{reason}.'
