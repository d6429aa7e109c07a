"""The training steps that are measured. Needs the standard library alone: the peers use it too."""

import dataclasses

PRECISIONS = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True)
class Case:
    """A step of BERT-base.

    Attributes:
      task: `pretrain` or `ict`.
      batch: sentences.
      query_length: wordpieces of a sentence.
      block_length: wordpieces of a block.
      num_candidates: of a sentence, in pre-training.
      num_masks: masked wordpieces of a sentence, in pre-training.
      rematerialize: whether ours computes activations again in place of keeping them. The peer keeps them.
    """

    task: str
    batch: int
    query_length: int
    block_length: int
    num_candidates: int = 8
    num_masks: int = 10
    rematerialize: bool = False

    @property
    def joint_length(self) -> int:
        """Wordpieces of a sentence and a block."""
        return self.query_length + self.block_length


CASES = {
    'REALM, batch 1': Case('pretrain', 1, 96, 288),
    'REALM, batch 1, rematerialised': Case('pretrain', 1, 96, 288, rematerialize=True),
    'REALM, batch 4': Case('pretrain', 4, 96, 288),
    'REALM, batch 4, rematerialised': Case('pretrain', 4, 96, 288, rematerialize=True),
    'ICT, batch 16': Case('ict', 16, 64, 288),
}
