"""The training steps of `benchmarks.training_step` with PyTorch.

python -m benchmarks.peers.torch_training_step CASE PRECISION REPETITIONS SECONDS.json

REALM's step is made of the modules of transformers 4.40.2, which has them still; the inverse cloze task's of
sentence-transformers' loss over a tower of transformers. bfloat16 is autocast, with weights in float32.
"""

import contextlib
import json
import pathlib
import sys
from collections.abc import Callable

import torch
import transformers

from benchmarks.timing import median_seconds
from benchmarks.training_cases import CASES, Case

_LOWEST_ID, _VOCABULARY = 1000, 30522
_IGNORED = -100


def main(name: str, precision: str, repetitions: str, output: str) -> None:
    """Writes the seconds of a step."""
    torch.manual_seed(0)
    case = CASES[name]
    modules, loss = {'pretrain': realm, 'ict': inverse_cloze_task}[case.task](case)
    parameters = [parameter for module in modules for parameter in module.train().parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, weight_decay=0.01)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast('cpu', torch.bfloat16) if precision == 'bfloat16' else contextlib.nullcontext():
            value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    pathlib.Path(output).write_text(json.dumps(median_seconds(step, int(repetitions))))


def realm(case: Case) -> tuple[list[torch.nn.Module], Callable[[], torch.Tensor]]:
    """The modules, and a function that computes the loss of one batch."""
    config = transformers.RealmConfig(num_candidates=case.num_candidates)
    scorer = transformers.RealmScorer(config)
    encoder = transformers.RealmKnowledgeAugEncoder(config)
    queries = _random(case.batch, case.query_length)
    blocks = _random(case.batch, case.num_candidates, case.block_length)
    joint = _random(case.batch, case.num_candidates, case.joint_length)
    positions = torch.rand(case.batch, case.query_length - 1).argsort(dim=1)[:, : case.num_masks] + 1
    mask = torch.zeros(case.batch, case.joint_length).scatter(1, positions, 1.0)
    labels = torch.where(mask > 0, _random(case.batch, case.joint_length), _IGNORED)

    def loss() -> torch.Tensor:
        scores = scorer(
            input_ids=queries,
            candidate_input_ids=blocks,
            candidate_attention_mask=torch.ones_like(blocks),
            candidate_token_type_ids=torch.ones_like(blocks),
        ).relevance_score
        return encoder(
            input_ids=joint,
            attention_mask=torch.ones_like(joint),
            token_type_ids=torch.ones_like(joint),
            relevance_score=scores,
            labels=labels,
            mlm_mask=mask,
        ).loss

    return [scorer, encoder], loss


def inverse_cloze_task(case: Case) -> tuple[list[torch.nn.Module], Callable[[], torch.Tensor]]:
    """The modules, and a function that computes the loss of one batch."""
    from sentence_transformers.losses import MultipleNegativesRankingLoss

    tower = _Tower(transformers.BertConfig(hidden_act='gelu_new', attn_implementation='sdpa'))
    ranking = MultipleNegativesRankingLoss(tower, scale=1.0, similarity_fct=lambda left, right: left @ right.T)
    features = [{'input_ids': _random(case.batch, length)} for length in (case.query_length, case.block_length)]
    return [tower], lambda: ranking(features, None)


class _Tower(torch.nn.Module):
    """BERT, its [CLS], and the projection with a LayerNorm: what our tower is."""

    def __init__(self, config: transformers.BertConfig):
        super().__init__()
        self.bert = transformers.BertModel(config)
        self.projection = torch.nn.Sequential(torch.nn.Linear(config.hidden_size, 128), torch.nn.LayerNorm(128))

    def forward(self, features: dict) -> dict:
        pooled = self.bert(input_ids=features['input_ids'], attention_mask=torch.ones_like(features['input_ids']))
        return {'sentence_embedding': self.projection(pooled.pooler_output)}


def _random(*shape: int) -> torch.Tensor:
    return torch.randint(_LOWEST_ID, _VOCABULARY, shape)


if __name__ == '__main__':
    main(*sys.argv[1:])
