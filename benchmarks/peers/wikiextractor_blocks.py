"""WikiExtractor and a greedy chunker in plain Python: the peer of `benchmarks.dump`.

python -m benchmarks.peers.wikiextractor_blocks DUMP VOCABULARY WORKERS BLOCKS

Writes a directory of JSON Lines, a file for each of WikiExtractor's. Templates are not expanded, which is its fastest
setting. Wordpieces are counted by Hugging Face's tokenizers, the fastest that Python has.
"""

import json
import multiprocessing
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from tokenizers import BertWordPieceTokenizer

BLOCK_LENGTH = 288
_BETWEEN_SENTENCES = re.compile(r'(?<=[.!?])\s+')


def main(dump: str, vocabulary: str, workers: str, blocks: str) -> None:
    """Extracts the articles, and cuts them into blocks, in so many processes."""
    with tempfile.TemporaryDirectory() as directory:
        of_extractor = ('--json', '--no-templates', '--quiet', '--processes', workers, '--output', directory, dump)
        subprocess.run([sys.executable, '-m', 'wikiextractor.WikiExtractor', *of_extractor], check=True)
        files = sorted(path for path in pathlib.Path(directory).rglob('wiki_*'))
        outputs = [pathlib.Path(blocks) / f'{number}.jsonl' for number in range(len(files))]
        with multiprocessing.Pool(int(workers), _load_tokenizer, [vocabulary]) as pool:
            pool.starmap(_write_blocks, zip(files, outputs, strict=True), chunksize=1)


def _load_tokenizer(vocabulary: str) -> None:
    global tokenizer
    tokenizer = BertWordPieceTokenizer(vocabulary, lowercase=True)


def _write_blocks(articles: pathlib.Path, output: pathlib.Path) -> None:
    with articles.open() as lines, output.open('w') as blocks:
        for article in map(json.loads, lines):
            for text in _blocks(article['title'], article['text']):
                blocks.write(json.dumps({'title': article['title'], 'text': text}) + '\n')


def _blocks(title: str, text: str) -> Iterator[str]:
    """Whole sentences, as many as fit beside the title."""
    sentences = _BETWEEN_SENTENCES.split(text)
    encoded = tokenizer.encode_batch([title, *sentences], add_special_tokens=False)
    of_title, *lengths = (len(encoding.ids) for encoding in encoded)
    room = BLOCK_LENGTH - 3 - of_title
    block, used = [], 0
    for sentence, length in zip(sentences, lengths, strict=True):
        if block and used + length > room:
            yield ' '.join(block)
            block, used = [], 0
        block.append(sentence)
        used += length
    if block:
        yield ' '.join(block)


if __name__ == '__main__':
    main(*sys.argv[1:])
