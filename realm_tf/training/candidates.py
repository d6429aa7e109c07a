"""Which blocks may be the candidates of a masked sentence."""

import numpy as np

from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.duplicates import hashes_of_blocks
from realm_tf.errors import RealmError
from realm_tf.search.searcher import Keeps

# How many blocks are looked at to begin with, to see that there are enough candidates.
_FIRST_LOOK = 4096


class CandidateRules:
    """Says which blocks may be candidates: none that gives the answer away, and none twice.

    Left out are the block that the sentence comes from ("no trivial retrieval", REALM, section 3.4), blocks of the same
    title and body as that one or as a better candidate, as in the released code, and if asked for all other blocks of
    the sentence's document.

    Args:
      knowledge: the corpus that candidates are retrieved from.
      pretraining: the corpus that sentences come from; may be the same.
      exclude_article: whether the other blocks of a sentence's document are left out. If the corpora are two, there are
        none.
    """

    def __init__(self, knowledge: BlockStore, pretraining: BlockStore, *, exclude_article: bool):
        self._knowledge = knowledge
        self._pretraining = pretraining
        is_same = knowledge.artifact.digest == pretraining.artifact.digest
        # [blocks]
        self._documents = knowledge.document_numbers() if is_same and exclude_article else None

    def filter_of(self, sources: np.ndarray) -> Keeps:
        """Gives the filter of a batch's candidates.

        Args:
          sources: the blocks of the pre-training corpus that the sentences come from, int64 `[batch]`.
        """
        source_contents = _contents(self._pretraining, sources)

        def keeps(queries: np.ndarray, block_ids: np.ndarray) -> np.ndarray:
            # [n, width]
            blocks = np.maximum(block_ids, 0)
            contents = _contents(self._knowledge, blocks)
            # [n, 1]
            own_content = source_contents[queries, None]
            if self._documents is not None:
                # What is left out as of the source's content does not leave out its duplicates elsewhere.
                is_own_document = self._documents[blocks] == self._documents[sources[queries], None]
                contents = np.where(is_own_document, own_content, contents)
            return ~_repeated(np.concatenate([own_content, contents], axis=1))[:, 1:] & (block_ids >= 0)

        return keeps

    def require(self, num_blocks: int) -> None:
        """Checks that every sentence has so many candidates.

        Most corpora are seen to have them after a few thousand blocks.

        Raises:
          RealmError: if one may have fewer.
        """
        looked_at = min(_FIRST_LOOK, len(self._knowledge))
        while (fewest := self._fewest_among(looked_at)) < num_blocks:
            if looked_at == len(self._knowledge):
                among = '' if self._documents is None else ' outside one document (pretrain.exclude_article is on)'
                raise RealmError(
                    f'{self._knowledge.artifact.path} has too few different blocks for pretrain.num_candidates = '
                    f'{num_blocks + 1}: besides the null document, {num_blocks} are needed, and beside a sentence '
                    f'there may be only {fewest}{among}. Take fewer candidates, or a larger corpus.'
                )
            looked_at = min(4 * looked_at, len(self._knowledge))

    def _fewest_among(self, looked_at: int) -> int:
        """The fewest candidates that a sentence has among the first blocks; at least so many, if these are not all."""
        rows = np.arange(looked_at)
        contents = np.unique(_contents(self._knowledge, rows), return_inverse=True)[1]
        # What is left out together: a document, or else the blocks of one content.
        groups = contents if self._documents is None else self._documents[:looked_at]
        pairs = np.unique(np.stack([contents, groups], axis=1), axis=0)
        has_one_group = np.bincount(pairs[:, 0]) == 1
        is_in_one_group = has_one_group[pairs[:, 0]]
        # Leaving out a group leaves out its own contents, and the source's, which another group may have too.
        num_groups = groups.max() + 1
        left_out = np.bincount(pairs[is_in_one_group, 1], minlength=num_groups)
        shares = np.bincount(pairs[~is_in_one_group, 1], minlength=num_groups) > 0
        is_all = looked_at == len(self._knowledge)
        return int(len(has_one_group) - (left_out + (shares | (not is_all))).max())


def _contents(corpus: BlockStore, blocks: np.ndarray) -> np.ndarray:
    """Hashes of titles and bodies, uint64 of the shape of `blocks`."""
    rows, inverse = np.unique(blocks, return_inverse=True)
    return hashes_of_blocks(corpus.title_ids(rows), corpus.body_ids(rows))[inverse].reshape(blocks.shape)


def _repeated(values: np.ndarray) -> np.ndarray:
    """Which values stand earlier in their row too, bool of the shape of `values`, `[rows, width]`."""
    # Stable: of equal values the first comes first.
    order = np.argsort(values, axis=1, kind='stable')
    in_order = np.take_along_axis(values, order, axis=1)
    repeated = np.zeros(values.shape, bool)
    np.put_along_axis(repeated, order[:, 1:], in_order[:, 1:] == in_order[:, :-1], axis=1)
    return repeated
