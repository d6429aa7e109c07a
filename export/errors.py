"""How the programs of this package end."""

import os

import click

from realm_tf.errors import STOPPED_BY_SYSTEM, RealmError, sentence_of


def for_people(command: click.Command) -> int:
    """Runs a command; an error for people goes to standard error as a sentence. Returns the exit status."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    os.environ.setdefault('KERAS_BACKEND', 'tensorflow')
    try:
        command(standalone_mode=False)
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except RealmError as error:
        click.echo(f'realm: {error}', err=True)
        return 2
    except OSError as error:
        click.echo(f'realm: {sentence_of(error)}', err=True)
        return STOPPED_BY_SYSTEM
    except (KeyboardInterrupt, click.Abort):
        return 130
    return 0
