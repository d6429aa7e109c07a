"""Files of an object store are files of Python's; a directory stands in for it."""

import json
import pathlib
import subprocess
import sys

from realm_tf.files import read_json_lines

REPOSITORY = pathlib.Path(__file__).parents[1]
PROGRAM = """
import io, zipfile
import numpy as np, pytest
from realm_tf.files import open_binary

with open_binary('gs://bucket/arrays.npz', 'wb') as file:
    np.savez(file, first=np.arange(5), second=np.ones((2, 3)))
with open_binary('gs://bucket/arrays.npz') as file:
    arrays = np.load(file)
    assert arrays['first'].tolist() == [0, 1, 2, 3, 4] and arrays['second'].shape == (2, 3)
with open_binary('gs://bucket/text', 'wb') as file:
    assert file.write(b'one\\ntwo\\nthree') == 13 and file.tell() == 13
    with pytest.raises(io.UnsupportedOperation):
        file.seek(0)
with open_binary('gs://bucket/text') as file:
    assert file.seek(4) == 4 and list(file) == [b'two\\n', b'three']
    assert file.seek(-5, io.SEEK_END) == 8 and file.read() == b'three' and file.read() == b''
assert file.closed
with pytest.raises(FileNotFoundError), open_binary('gs://bucket/none') as file:
    file.read()
with pytest.raises(OSError), open_binary('gs://bucket/no/such/directory/text', 'wb') as file:
    file.write(b'a text')
"""


def test_what_is_on_an_object_store_is_a_file_of_pythons(tmp_path):
    (tmp_path / 'bucket').mkdir()
    (tmp_path / 'program.py').write_text(PROGRAM)
    command = [sys.executable, str(REPOSITORY / 'tests/object_store.py'), str(tmp_path), 'program']
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_a_line_end_in_a_text_ends_no_line_of_json(tmp_path):
    records = [{'question': 'one\u2028two\x85three\x0c'}, {'question': 'four'}]
    (tmp_path / 'lines.jsonl').write_text(''.join(json.dumps(r, ensure_ascii=False) + '\n' for r in records))
    assert read_json_lines(tmp_path / 'lines.jsonl') == records
