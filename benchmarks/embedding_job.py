"""The job that embeds blocks, as it is run by a user, and what its workers do in a second."""

import pathlib
import re
import subprocess
import sys
import tempfile

from realm_tf.commands import realm_command, setting_arguments
from realm_tf.quickstart.minilm import minilm_directory

TOKENS_PER_BATCH = 4096
# So that many workers have some each.
BLOCKS_PER_SHARD = 32
_SUMMARY = re.compile(r'Embedded ([\d,]+) blocks.* in ([\d.]+) s of all workers')


def import_minilm(directory: pathlib.Path) -> None:
    """Makes an encoder of MiniLM in bfloat16."""
    settings = {'precision': 'mixed_bfloat16', 'retriever.projection_start': 'random'}
    command = ('import', '--from', minilm_directory(), '--to', directory, '--preset', 'small')
    subprocess.run(realm_command(*command, *setting_arguments(settings)), check=True, stdout=subprocess.DEVNULL)


def blocks_per_second(corpus: pathlib.Path, encoder: pathlib.Path, workers: int) -> float:
    """Embeds a corpus with so many workers of one thread: what they do while they embed, the start and end left out."""
    settings = {'tokens_per_batch': TOKENS_PER_BATCH, 'blocks_per_shard': BLOCKS_PER_SHARD}
    with tempfile.TemporaryDirectory() as directory:
        command = (
            *(sys.executable, '-m', 'beam_jobs.embed_blocks', '--corpus', corpus, '--encoder', encoder),
            *('--output', f'{directory}/embeddings', '--num_workers', workers, '--threads_per_worker', 1),
            *setting_arguments(settings, 'embed'),
        )
        said = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True).stdout
    blocks, seconds = (float(figure.replace(',', '')) for figure in _SUMMARY.search(said).groups())
    return workers * blocks / seconds
