"""How the programs of the export end."""

import pathlib
import sys

import click

from export.errors import for_people


def test_an_error_of_the_system_is_a_sentence_and_status_1(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, 'argv', ['read'])
    path = tmp_path / 'nowhere'
    assert for_people(click.command()(lambda: pathlib.Path(path).read_text())) == 1
    assert capsys.readouterr().err == f'realm: {path}: No such file or directory.\n'
