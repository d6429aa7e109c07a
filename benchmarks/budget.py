"""What pre-training at the size of the paper would take on 64 TPUs, from figures that were measured, by arithmetic.

    python -m benchmarks.budget --tflop 27.76 --batch-seconds 0.17 --blocks-per-second 7.5

What a step computes is what `benchmarks.tpu_compile` counts; what the host needs for a batch, what
`benchmarks.pretraining_batch` measures, and `benchmarks.search` among as many blocks; what a worker embeds, what
`realm plan` or `benchmarks.encoder` measures. The share of its peak that a TPU reaches is supposed, not measured.
Prints tables in Markdown.
"""

import math

import click

# 10¹² operations in bfloat16 a second for each device that TensorFlow sees: a core of v2 and v3, else a chip. From
# "System architecture" of each generation, cloud.google.com/tpu/docs.
PEAK = {'v2': 22.5, 'v3': 61.5, 'v4': 275, 'v5e': 197, 'v5p': 459, 'v6e': 918}
BLOCKS = 13_353_718
SIZES = (BLOCKS, 100_000_000, 1_000_000_000)
BATCH = 512
STEPS = 200_000
# BERT-base without its embeddings and its head; two operations for each parameter and wordpiece.
_OPERATIONS_A_WORDPIECE = 2 * 85e6
_BLOCK_LENGTH = 288


@click.command()
@click.option('--tflop', required=True, type=float, help='10¹² operations of one of 64 replicas and step.')
@click.option('--batch-seconds', required=True, type=float, help='Of the host, for a batch of 512.')
@click.option('--blocks-per-second', required=True, type=float, help='That one worker embeds.')
@click.option('--utilization', default=0.4, show_default=True, help='Share of its peak that a TPU reaches.')
@click.option('--workers', default=16, show_default=True, help='That embed the blocks.')
@click.option('--refresh-every', default=500, show_default=True, help='Steps between two refreshes.')
@click.option('--bytes-per-block', default=165.0, show_default=True, help='Memory of the index: ScaNN with int8.')
def main(tflop, batch_seconds, blocks_per_second, utilization, workers, refresh_every, bytes_per_block):
    """Prints the tables."""
    embedding = BLOCKS / workers / blocks_per_second
    print(
        f'{tflop:g} TFLOP a replica at {utilization:.0%} of the peak; {batch_seconds:g} s of the host for a batch; '
        f'{workers} workers that embed {blocks_per_second:g} blocks a second each: {embedding / 3600:.1f} hours for '
        f'{BLOCKS:,} blocks.\n'
    )
    print(
        '| 64 devices | step, s | examples/s | hours for 200,000 steps | bound by | steps during an embedding | '
        f'blocks/s of each worker for a refresh in {refresh_every} steps |\n|---|---|---|---|---|---|---|'
    )
    for name, peak in PEAK.items():
        device = tflop / (peak * utilization)
        step = max(device, batch_seconds)
        bound = 'the TPU' if device >= batch_seconds else 'the host'
        needed = BLOCKS / workers / (refresh_every * step)
        print(
            f'| {name} | {step:.2f} | {BATCH / step:,.0f} | {STEPS * step / 3600:.0f} | {bound} | '
            f'{embedding / step:,.0f} | {needed:,.0f} |'
        )
    of_block = _OPERATIONS_A_WORDPIECE * _BLOCK_LENGTH
    print(
        f'\nA block of {_BLOCK_LENGTH} wordpieces is {of_block / 1e9:.0f} GFLOP: a worker with one v5e chip at the '
        f'same share of its peak would embed {PEAK["v5e"] * 1e12 * utilization / of_block:,.0f} a second.\n'
    )
    print(
        '| blocks | index, GB | hosts of 128 GB, half of it for the index | embedding by these workers, hours | '
        f'workers for a refresh in {refresh_every} steps of a v3 |\n|---|---|---|---|---|'
    )
    step = max(tflop / (PEAK['v3'] * utilization), batch_seconds)
    for blocks in SIZES:
        size, seconds = blocks * bytes_per_block / 1e9, blocks / blocks_per_second
        print(
            f'| {blocks:,} | {size:,.1f} | {math.ceil(size / 64)} | {seconds / workers / 3600:,.0f} | '
            f'{math.ceil(seconds / (refresh_every * step)):,} |'
        )


if __name__ == '__main__':
    main()
