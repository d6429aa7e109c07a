"""BERT written out in numpy, by the names of its release: what imported weights are compared with."""

import numpy as np


def layer_norm(x, gamma, beta, epsilon=1e-12):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * gamma + beta


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def sequence_outputs(weights, heads, token_ids, mask, segment_ids):
    """The output of every layer, `[batch, length, hidden]` each.

    Args:
      weights: arrays by the names of `google-research/bert`, below `bert/`.
      heads: attention heads.
      token_ids, mask, segment_ids: integers `[batch, length]`; no position attends to one whose mask is 0.
    """
    weights = {name: np.asarray(value, np.float64) for name, value in weights.items()}

    def dense(x, name):
        return x @ weights[f'{name}/kernel'] + weights[f'{name}/bias']

    def norm(x, name):
        return layer_norm(x, weights[f'{name}/LayerNorm/gamma'], weights[f'{name}/LayerNorm/beta'])

    batch, length = token_ids.shape
    x = (
        weights['embeddings/word_embeddings'][token_ids]
        + weights['embeddings/position_embeddings'][:length]
        + weights['embeddings/token_type_embeddings'][segment_ids]
    )
    x = norm(x, 'embeddings')
    outputs = []
    for layer in range(1 + max(int(name.split('_')[1].split('/')[0]) for name in weights if '/layer_' in name)):
        name = f'encoder/layer_{layer}'

        def split(x):
            # [batch, heads, length, size]
            return x.reshape(batch, length, heads, -1).transpose(0, 2, 1, 3)

        query, key, value = (split(dense(x, f'{name}/attention/self/{part}')) for part in ('query', 'key', 'value'))
        logits = query @ key.transpose(0, 1, 3, 2) / np.sqrt(query.shape[-1]) - 10000.0 * (1 - mask[:, None, None, :])
        exponentials = np.exp(logits - logits.max(-1, keepdims=True))
        attended = exponentials / exponentials.sum(-1, keepdims=True) @ value
        attended = attended.transpose(0, 2, 1, 3).reshape(batch, length, -1)
        x = norm(x + dense(attended, f'{name}/attention/output/dense'), f'{name}/attention/output')
        inner = gelu(dense(x, f'{name}/intermediate/dense'))
        x = norm(x + dense(inner, f'{name}/output/dense'), f'{name}/output')
        outputs.append(x)
    return outputs


def pooled_output(weights, sequence_output):
    """The tanh-pooled [CLS], `[batch, hidden]`."""
    return np.tanh(sequence_output[:, 0] @ weights['pooler/dense/kernel'] + weights['pooler/dense/bias'])
