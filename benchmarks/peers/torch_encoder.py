"""The encoder of Hugging Face on PyTorch, with its scaled-dot-product attention: the peer of `benchmarks.encoder`.

python -m benchmarks.peers.torch_encoder CASE PRECISION TOKEN_IDS.npy REPETITIONS
"""

import sys

import numpy as np
import torch
import transformers

from benchmarks.encoder_cases import CASES
from benchmarks.timing import median_seconds


def main(name: str, precision: str, token_ids: str, repetitions: int) -> None:
    """Prints the median of the seconds of a forward pass."""
    case = CASES[name]
    config = transformers.BertConfig(
        hidden_size=case.hidden_size,
        num_hidden_layers=case.num_layers,
        num_attention_heads=case.num_heads,
        intermediate_size=case.intermediate_size,
        hidden_act={'gelu_tanh': 'gelu_new', 'gelu': 'gelu'}[case.activation],
        attn_implementation='sdpa',
    )
    model = transformers.BertModel(config, add_pooling_layer=False).eval().to(getattr(torch, precision))
    ids = torch.from_numpy(np.load(token_ids)).long()
    mask = (ids != 0).long()
    with torch.inference_mode():
        print(median_seconds(lambda: model(input_ids=ids, attention_mask=mask), repetitions))


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
