"""How fast pages of a MediaWiki dump are read and cleaned to prose, by one processor.

python -m benchmarks.wikitext --input enwiki-latest-pages-articles1.xml.bz2
"""

import time

import click

from benchmarks.machine import machine
from realm_tf.config import CorpusConfig
from realm_tf.corpus.documents import Document
from realm_tf.corpus.readers.columns import Columns
from realm_tf.corpus.readers.formats import make_reader
from realm_tf.corpus.readers.reader import readable_records


@click.command()
@click.option('--input', 'file', required=True, type=click.Path(exists=True), help='A dump, or a part of one.')
def main(file):
    """Reads a dump, and counts the words of what is an article."""
    reader = make_reader('mediawiki', Columns(), CorpusConfig().mediawiki)
    pages = documents = words = 0
    started = time.process_time()
    for position, record in enumerate(readable_records(reader, file), start=1):
        pages += 1
        found = reader.document(record, file, position)
        if isinstance(found, Document):
            documents += 1
            words += len(found.text.split())
    seconds = time.process_time() - started
    print(f'{machine()}\n\n| pages | documents | words | processor seconds | words/s |\n|---|---|---|---|---|')
    print(f'| {pages:,} | {documents:,} | {words:,} | {seconds:.1f} | {words / seconds:,.0f} |')


if __name__ == '__main__':
    main()
