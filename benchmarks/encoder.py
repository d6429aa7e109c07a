"""How fast the encoder is, beside PyTorch in the same run.

    python -m benchmarks.encoder

Ours and the peer take turns, each time in a process of its own, on the same wordpieces of real text: the World
Factbook, cut into rows without padding. Beside them stands what a plain matrix product of TensorFlow reaches on the
shape of the largest one of the encoder: more than that no encoder can. Prints a table in Markdown.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import click
import numpy as np

from benchmarks.encoder_cases import CASES, PRECISIONS, Case
from benchmarks.machine import machine
from benchmarks.peers import python_of
from benchmarks.timing import with_spread

PEER = ('torch', 'transformers>=4.48', 'numpy')
_VERSIONS = 'import torch, transformers; print(f"torch {torch.__version__}, transformers {transformers.__version__}")'
_HEAD = """
| encoder | precision | ours, sequences/s | PyTorch, sequences/s | times as fast as PyTorch | ours / matrix product |
|---|---|---|---|---|---|"""


@click.command()
@click.option('--rounds', default=5, show_default=True, help='How often each process runs.')
@click.option('--repetitions', default=7, show_default=True, help='Forward passes that a process counts.')
@click.option('--peer-python', help='A Python that has PyTorch and transformers; unset: an environment is made.')
def main(rounds, repetitions, peer_python):
    """Measures every encoder in every precision."""
    peer_python = peer_python or python_of('torch', PEER)
    print(f'{machine()}; beside {_run(peer_python, "-c", _VERSIONS).strip()}. Median (minimum–maximum) of {rounds}.')
    print(_HEAD, flush=True)
    with tempfile.TemporaryDirectory() as directory:
        for name, case in CASES.items():
            file = pathlib.Path(directory) / f'{name}.npy'
            np.save(file, token_ids(case))
            for precision in PRECISIONS:
                row = _measured(case, peer_python, [name, precision, str(file), str(repetitions)], rounds)
                print(f'| {name} {case.batch}×{case.length} | {precision} | {" | ".join(row)} |', flush=True)


def _measured(case: Case, peer_python: str, arguments: list[str], rounds: int) -> list[str]:
    ours, theirs, shares = [], [], []
    for _ in range(rounds):
        seconds, product = json.loads(_run(sys.executable, '-m', 'benchmarks.encoder_forward', *arguments))
        ours.append(case.batch / seconds)
        shares.append(case.gigaflops / seconds / product)
        theirs.append(case.batch / float(_run(peer_python, '-m', 'benchmarks.peers.torch_encoder', *arguments)))
    ratios = np.divide(ours, theirs).tolist()
    return [with_spread(ours), with_spread(theirs), with_spread(ratios, digits=2), with_spread(shares, digits=2)]


def token_ids(case: Case) -> np.ndarray:
    """Rows of wordpieces of the World Factbook, int32 `[batch, length]`."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    from realm_tf.config import QuickstartConfig
    from realm_tf.corpus.factbook import factbook_documents
    from realm_tf.quickstart.minilm import minilm_directory
    from realm_tf.text.vocabulary import Vocabulary
    from realm_tf.text.wordpiece import WordPieceTokenizer

    tokenizer = WordPieceTokenizer(Vocabulary.read(minilm_directory() / 'vocab.txt'))
    texts = [document['text'] for document in factbook_documents(QuickstartConfig(max_countries=8))]
    pieces = tokenizer.tokenize_to_ragged(texts).values
    return np.resize(pieces, (case.batch, case.length)).astype(np.int32)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == '__main__':
    main()
