"""How many questions a second fine-tuning takes, by batch size, and where the time goes.

    python -m benchmarks.finetuning_speed --corpus corpus --encoder encoder --embeddings embeddings --index index \\
        --questions webquestions/train.jsonl --preset small

Every batch size trains on the same first questions, and is measured three times in turn with the others; the best of
each counts. All questions are labelled, once, as a training does before its first step. Prints a table in Markdown, and
what an epoch takes.
"""

import time

import click
import numpy as np

from benchmarks.machine import machine
from realm_tf.config import load_config, parse_overrides

_ROUNDS = 3


@click.command()
@click.option('--corpus', required=True)
@click.option('--encoder', required=True)
@click.option('--embeddings', 'embeddings_path', required=True)
@click.option('--index', required=True)
@click.option('--questions', required=True)
@click.option('--number', default=32, show_default=True, help='Questions of a measurement.')
@click.option('--batch-size', 'batch_sizes', multiple=True, type=int, default=(1, 2, 4, 8, 16), show_default=True)
@click.option('--preset', default='paper', show_default=True)
@click.option('--set', 'assignments', multiple=True, metavar='NAME=VALUE', help='A setting, over the preset.')
def main(corpus, encoder, embeddings_path, index, questions, number, batch_sizes, preset, assignments):
    """Measures steps of each batch size."""
    import tensorflow as tf

    from benchmarks.tpu_step import training_step
    from realm_tf.corpus.block_store import BlockStore
    from realm_tf.corpus.questions import read_questions
    from realm_tf.evaluation.answers import blocks_with_answers
    from realm_tf.search.embeddings import Embeddings
    from realm_tf.search.index import open_index
    from realm_tf.training.finetuning_batch import FinetuningBatches
    from realm_tf.weights.encoder_artifact import Encoder

    config = load_config(preset, overrides=parse_overrides(assignments))
    store, embeddings = BlockStore.open(corpus), Embeddings.open(embeddings_path)
    asked = read_questions(questions).questions
    number = min(number, len(asked))
    searcher = open_index(index, embeddings.artifact)
    started = time.monotonic()
    batches = FinetuningBatches(store, asked, blocks_with_answers(store, asked, config.finetune.answer_match), config)
    labelled = time.monotonic() - started
    embed = tf.function(Encoder.open(encoder).retriever(config).embed_queries, reduce_retracing=True)
    step = training_step('finetune', config, tf.distribute.get_strategy())

    def seconds_of(batch_size: int) -> tuple[float, float]:
        """Seconds of all the questions: of retrieval, labels and packing; and of the step."""
        retrieving = training = 0.0
        for start in range(0, number - batch_size + 1, batch_size):
            before = time.monotonic()
            batch = batches.of_questions(
                np.arange(start, start + batch_size), lambda ids: embed(tf.constant(ids)).numpy(), embeddings, searcher
            )
            between = time.monotonic()
            metrics = step({name: tf.constant(array) for name, array in batch.items()})
            metrics['loss'].numpy()
            retrieving, training = retrieving + between - before, training + time.monotonic() - between
        return retrieving, training

    for batch_size in batch_sizes:
        seconds_of(batch_size)
    best = {batch_size: (float('inf'), float('inf')) for batch_size in batch_sizes}
    for _ in range(_ROUNDS):
        for batch_size in batch_sizes:
            best[batch_size] = min(best[batch_size], seconds_of(batch_size), key=sum)
    print(
        f'{machine()}. {number} questions, {len(store):,} blocks; the labels of all {len(asked):,} questions took '
        f'{labelled:.0f} s.\n'
    )
    print(
        '| batch | questions/s | retrieval, packing, ms a question | step, ms a question | epoch with labels, minutes |'
    )
    print('|---|---|---|---|---|')
    for batch_size, (retrieving, training) in best.items():
        done = number // batch_size * batch_size
        epoch = labelled + len(asked) * (retrieving + training) / done
        print(
            f'| {batch_size} | {done / (retrieving + training):.2f} | {1000 * retrieving / done:.0f} | '
            f'{1000 * training / done:.0f} | {epoch / 60:.1f} |'
        )


if __name__ == '__main__':
    main()
