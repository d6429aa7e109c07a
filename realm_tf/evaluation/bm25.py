"""BM25 over the blocks of a corpus, to compare with."""

from collections.abc import Sequence

import numpy as np

from realm_tf.corpus.block_store import BlockStore
from realm_tf.errors import RealmError
from realm_tf.evaluation.retrieval import Retrieved

# Of Anserini, which passages of Wikipedia are mostly searched with.
_K1, _B = 0.9, 0.4


def bm25(corpus: BlockStore, questions: Sequence[str], k: int) -> Retrieved:
    """The best blocks by BM25 over title and text, stemmed, without stop words.

    Args:
      corpus: the corpus, in English.
      questions: the questions.
      k: how many blocks; one that shares no word with the question is not found.

    Raises:
      RealmError: if bm25s or PyStemmer is not installed.
    """
    try:
        import bm25s
        import Stemmer
    except ImportError as error:
        raise RealmError(f"BM25 needs bm25s and PyStemmer: pip install '.[bm25]' in a checkout ({error}).") from error
    rows = np.arange(len(corpus))
    texts = [f'{title} {text}' for title, text in zip(corpus.titles(rows), corpus.texts(rows), strict=True)]
    how = {'stopwords': 'en', 'stemmer': Stemmer.Stemmer('english'), 'show_progress': False}
    index = bm25s.BM25(k1=_K1, b=_B)
    index.index(bm25s.tokenize(texts, **how), show_progress=False)
    block_ids, scores = index.retrieve(
        bm25s.tokenize(list(questions), return_ids=False, **how), k=min(k, len(corpus)), show_progress=False
    )
    # [questions, k]
    block_ids = np.where(scores > 0, block_ids, -1).astype(np.int64)
    return Retrieved(block_ids, np.where(scores > 0, scores, -np.inf).astype(np.float32))
