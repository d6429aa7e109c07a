"""A QA model of BERT-base with fresh weights, in a process of its own; see `benchmarks.question_answering`.

python -m benchmarks.answering_model CORPUS EMBEDDINGS PRECISION MODEL
"""

import os
import sys

os.environ.update(TF_CPP_MIN_LOG_LEVEL='3', KERAS_BACKEND='tensorflow')

from realm_tf.artifacts import open_artifact
from realm_tf.config import load_config, recipe
from realm_tf.corpus.block_store import BlockStore
from realm_tf.weights.model_artifact import write_model
from realm_tf.weights.networks import make_reader, make_retriever

_PRECISIONS = {'float32': 'float32', 'bfloat16': 'mixed_bfloat16'}


def main(corpus: str, embeddings: str, precision: str, output: str) -> None:
    """Writes the model; the seed of the configuration makes its weights, the same in every precision."""
    store = BlockStore.open(corpus)
    config = load_config('paper', overrides={'precision': _PRECISIONS[precision]})
    write_model(
        output,
        configuration=recipe(config, 'finetune'),
        vocabulary=store.vocabulary,
        retriever=make_retriever(config),
        reader=make_reader(config),
        inputs={'corpus': store.artifact.digest, 'embeddings': open_artifact(embeddings).digest},
        step=0,
    )


if __name__ == '__main__':
    main(*sys.argv[1:])
