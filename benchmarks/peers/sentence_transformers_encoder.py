"""sentence-transformers on the same blocks: the peer of `benchmarks.embedding`.

python -m benchmarks.peers.sentence_transformers_encoder MODEL TEXTS.json BATCH THREADS REPETITIONS
"""

import json
import pathlib
import sys

import torch
from sentence_transformers import SentenceTransformer

from benchmarks.timing import seconds_of

LENGTH = 288


def main(model: str, texts: str, batch: str, threads: str, repetitions: str) -> None:
    """Prints, as JSON, what each repetition took: seconds, and seconds of the processor."""
    torch.set_num_threads(int(threads))
    encoder = SentenceTransformer(model, device='cpu', model_kwargs={'torch_dtype': torch.bfloat16})
    encoder.max_seq_length = LENGTH
    blocks = json.loads(pathlib.Path(texts).read_text())
    # It sorts by length itself.
    taken = seconds_of(lambda: encoder.encode(blocks, batch_size=int(batch), show_progress_bar=False), int(repetitions))
    print(json.dumps(taken))


if __name__ == '__main__':
    main(*sys.argv[1:])
