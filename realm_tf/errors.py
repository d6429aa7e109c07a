"""The one exception that is a message to the user."""


class RealmError(Exception):
    """What was wrong, where, and what to do, in a sentence.

    Commands print it without a stack trace and exit with status 2.
    """
