"""How fast the taggers of spans are, by the number of workers.

    python -m benchmarks.taggers --corpus corpus --tagger spacy --words 1000000

The blocks are a sample from all over a corpus, made into one of their own. Every run starts from nothing, with the
command that users run, and its seconds hold the start of the processes. `hf` is a BERT-base with random weights, whose
speed is that of a trained one. Prints a table in Markdown.
"""

import json
import pathlib
import tempfile

import click
import numpy as np
from safetensors.numpy import save_file

from benchmarks.corpus import count_words, timed
from benchmarks.machine import machine
from realm_tf.artifacts import open_artifact
from realm_tf.corpus.block_store import VOCABULARY, BlockStore

LABELS = ('O', *(f'{position}-{kind}' for kind in ('PER', 'ORG', 'LOC', 'MISC') for position in 'BI'))
BERT_BASE = {
    'model_type': 'bert',
    'num_hidden_layers': 12,
    'hidden_size': 768,
    'num_attention_heads': 12,
    'intermediate_size': 3072,
    'max_position_embeddings': 512,
    'type_vocab_size': 2,
    'hidden_act': 'gelu',
    'layer_norm_eps': 1e-12,
    'id2label': dict(enumerate(LABELS)),
}


@click.command()
@click.option('--corpus', required=True, type=click.Path(exists=True, path_type=pathlib.Path), help='A real corpus.')
@click.option('--tagger', 'taggers', multiple=True, type=click.Choice(['spacy', 'dates', 'hf']), default=['spacy'])
@click.option('--words', default=500_000, show_default=True, help='How large the sample is, at most.')
@click.option('--workers', multiple=True, type=int, default=(1, 2), show_default=True)
def main(corpus, taggers, words, workers):
    """Tags a sample of a corpus with each number of workers."""
    print(f'{machine()}\n\n| tagger | workers | words | seconds | words/s | spans |\n|---|---|---|---|---|---|')
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        sample = write_sample(corpus, directory, words)
        num_words = count_words(sample)
        settings = {'hf': ['--set', f'spans.hf_directory={directory / "bert"}']}
        if 'hf' in taggers:
            write_random_bert(directory / 'bert', corpus / VOCABULARY)
        for tagger in taggers:
            for number in workers:
                output = directory / f'{tagger}-{number}'
                arguments = ['--corpus', str(sample), '--output', str(output), '--set', f'spans.tagger={tagger}']
                seconds = timed('tag_spans', number, arguments + settings.get(tagger, []))
                cells = (tagger, number, f'{num_words:,}', f'{seconds:.0f}', f'{num_words / seconds:,.0f}')
                print('|', ' | '.join(map(str, cells)), f'| {open_artifact(output).counts["spans"]:,} |', flush=True)


def write_sample(corpus: pathlib.Path, directory: pathlib.Path, words: int) -> pathlib.Path:
    """Makes a corpus of evenly spaced blocks of another, and returns where it is."""
    store = BlockStore.open(corpus)
    of_one = np.mean([len(text.split()) for text in store.texts(np.arange(0, len(store), max(1, len(store) // 1000)))])
    rows = np.linspace(0, len(store) - 1, min(len(store), int(words / of_one)), dtype=np.int64)
    documents = directory / 'sample.jsonl'
    with documents.open('w') as file:
        for row, title, text in zip(rows.tolist(), store.titles(rows), store.texts(rows), strict=True):
            file.write(json.dumps({'id': str(row), 'title': title, 'text': text}) + '\n')
    sample = directory / 'sample'
    timed(
        'build_corpus',
        1,
        ['--input', str(documents), '--vocabulary', str(corpus / VOCABULARY), '--output', str(sample)],
    )
    return sample


def write_random_bert(directory: pathlib.Path, vocabulary: pathlib.Path) -> None:
    """Writes a BERT-base that labels wordpieces as those of CoNLL-2003 do, with random weights."""
    hidden, inner = BERT_BASE['hidden_size'], BERT_BASE['intermediate_size']
    pieces = vocabulary.read_text()
    config = BERT_BASE | {'vocab_size': len(pieces.splitlines())}
    shapes = {
        'bert.embeddings.word_embeddings.weight': (config['vocab_size'], hidden),
        'bert.embeddings.position_embeddings.weight': (config['max_position_embeddings'], hidden),
        'bert.embeddings.token_type_embeddings.weight': (2, hidden),
    }
    dense = {'classifier': (len(LABELS), hidden)}
    norms = ['bert.embeddings.LayerNorm']
    for layer in range(config['num_hidden_layers']):
        prefix = f'bert.encoder.layer.{layer}'
        dense |= {f'{prefix}.attention.self.{part}': (hidden, hidden) for part in ('query', 'key', 'value')}
        dense |= {f'{prefix}.attention.output.dense': (hidden, hidden)}
        dense |= {f'{prefix}.intermediate.dense': (inner, hidden), f'{prefix}.output.dense': (hidden, inner)}
        norms += [f'{prefix}.attention.output.LayerNorm', f'{prefix}.output.LayerNorm']
    for name, shape in dense.items():
        shapes |= {f'{name}.weight': shape, f'{name}.bias': shape[:1]}
    for name in norms:
        shapes |= {f'{name}.weight': (hidden,), f'{name}.bias': (hidden,)}
    random = np.random.default_rng(0)
    directory.mkdir()
    (directory / 'config.json').write_text(json.dumps(config))
    (directory / 'vocab.txt').write_text(pieces)
    tensors = {name: random.normal(0, 0.02, shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(tensors, directory / 'model.safetensors')


if __name__ == '__main__':
    main()
