import pytest

from realm_tf.commands import run_realm, setting_arguments
from realm_tf.errors import RealmError


def test_settings_are_arguments_of_a_section_or_of_none():
    assert setting_arguments({'steps': 3}, 'pretrain') == ['--set', 'pretrain.steps=3']
    assert setting_arguments({'seed': 1, 'precision': 'float32'}) == ['--set', 'seed=1', '--set', 'precision=float32']


def test_a_command_is_printed_and_a_status_that_is_not_accepted_names_it(capsys):
    run_realm('--help')
    assert capsys.readouterr().out == '$ realm --help\n'
    with pytest.raises(RealmError, match=r"Status 2 from realm corpus build --input 'no such file'"):
        run_realm('corpus', 'build', '--input', 'no such file')
    run_realm('corpus', 'build', '--input', 'no such file', accepted=(0, 2))
