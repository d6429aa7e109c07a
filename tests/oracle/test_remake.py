"""The golden files are what their script makes."""

import os
import pathlib
import subprocess
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load_file

HERE = pathlib.Path(__file__).parent
PYTHON = os.environ.get('REALM_ORACLE_PYTHON')


def arrays_of(path):
    """The numbers in a file of weights, by name."""
    if path.suffix == '.safetensors':
        return load_file(path)
    # PyTorch's format is a zip file with the raw numbers of each tensor in a member, and a pickle of what they are.
    with zipfile.ZipFile(path) as file:
        return {
            member.partition('/')[2]: np.frombuffer(file.read(member), np.float32)
            for member in file.namelist()
            if member.partition('/')[2].startswith('data/') and not member.endswith('/')
        }


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason='needs REALM_ORACLE_PYTHON, a Python with torch and transformers 4.40.2')
def test_the_script_makes_the_golden_files(tmp_path, pretrained_directory):
    made, kept = tmp_path / 'golden', HERE / 'golden'
    command = [PYTHON, str(HERE / 'make_golden.py'), '--output', str(made)]
    subprocess.run([*command, '--sentence-encoder', str(pretrained_directory)], check=True)
    names = sorted(str(path.relative_to(kept)) for path in kept.rglob('*') if path.is_file())
    assert sorted(str(path.relative_to(made)) for path in made.rglob('*') if path.is_file()) == names
    for name in names:
        if name.endswith(('.safetensors', '.bin')):
            found, expected = arrays_of(made / name), arrays_of(kept / name)
            assert found.keys() == expected.keys()
            for key, array in expected.items():
                np.testing.assert_allclose(found[key], array, rtol=1e-6, atol=1e-6, err_msg=f'{name}: {key}')
        else:
            assert (made / name).read_bytes() == (kept / name).read_bytes(), name
