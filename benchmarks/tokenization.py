"""How fast texts are tokenised, beside tensorflow-text's own tokenizer and Hugging Face's.

    python -m benchmarks.tokenization --input simplewiki/articles.jsonl.gz --vocabulary vocab.txt

Every tokenizer reads the same texts, in batches of the same size, in a process of its own: on one processor, and on
all. tensorflow-text's own is `FastBertTokenizer`, which lower-cases otherwise than BERT does. Prints a table in
Markdown.
"""

import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import click

from benchmarks.machine import machine
from realm_tf.corpus.compression import open_decompressed

TOKENIZERS = ('realm_tf', 'tensorflow-text', 'tokenizers')
BATCH = 1000
ROUNDS = 5


@click.command()
@click.option('--input', 'articles', required=True, help='JSON Lines with a text, compressed or not.')
@click.option('--vocabulary', required=True, help='A BERT vocab.txt.')
@click.option('--every', default=20, show_default=True, help='Read each of so many articles.')
@click.option('--measure', type=click.Choice(TOKENIZERS), hidden=True, help='Measure this one, in this process.')
def main(articles, vocabulary, every, measure):
    """Tokenises articles, with each tokenizer."""
    if measure:
        return measured(measure, articles, vocabulary, every)
    print(f'{machine(("tensorflow", "tensorflow-text", "tokenizers"))}\n')
    print(
        '| tokenizer | processors | ids: MB/s | words/s | with offsets: MB/s | words/s |\n|---|---|---|---|---|---|',
        flush=True,
    )
    processors = sorted(os.sched_getaffinity(0))
    for of_run in (processors[:1], processors):
        for name in TOKENIZERS:
            # Inherited, so that every library counts these processors alone.
            os.sched_setaffinity(0, of_run)
            arguments = ['--input', articles, '--vocabulary', vocabulary, '--every', str(every), '--measure', name]
            subprocess.run([sys.executable, '-m', 'benchmarks.tokenization', *arguments], check=True)


def measured(name: str, articles: str, vocabulary: str, every: int) -> None:
    """Prints a row of the table."""
    with open_decompressed(articles) as lines:
        texts = [json.loads(line)['text'] for line in itertools.islice(lines, 0, None, every)]
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    words = sum(len(text.split()) for text in texts)
    row = [name, len(os.sched_getaffinity(0))]
    for tokenize in functions(name, vocabulary):
        seconds = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            for batch in batches:
                tokenize(batch)
            seconds.append(time.perf_counter() - started)
        # The first one warms up.
        median = statistics.median(seconds[1:])
        row += [f'{megabytes / median:.1f}', f'{words / median:,.0f}']
    print(f'| {" | ".join(map(str, row))} |', flush=True)


def functions(name: str, vocabulary: str) -> tuple[Callable, Callable]:
    """Two functions of a batch of texts: one that makes ids, one that makes ids and offsets."""
    if name == 'tokenizers':
        from tokenizers import BertWordPieceTokenizer

        peer = BertWordPieceTokenizer(vocabulary, lowercase=True)._tokenizer
        return peer.encode_batch_fast, peer.encode_batch
    if name == 'tensorflow-text':
        import tensorflow_text

        pieces = pathlib.Path(vocabulary).read_text().splitlines()
        peer = tensorflow_text.FastBertTokenizer(pieces, lower_case_nfd_strip_accents=True)
        return peer.tokenize, peer.tokenize_with_offsets
    from realm_tf.text.vocabulary import Vocabulary
    from realm_tf.text.wordpiece import WordPieceTokenizer

    ours = WordPieceTokenizer(Vocabulary.read(vocabulary))
    return ours.tokenize, ours.tokenize_with_offsets


if __name__ == '__main__':
    main()
