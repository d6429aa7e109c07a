"""What became of the input of a corpus: `report.json`, and `report.html` for people."""

import collections
import dataclasses
import json
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jinja2
from etils import epath

from realm_tf.artifacts import write_text_whole
from realm_tf.corpus.block_store import Block
from realm_tf.corpus.documents import Document, Rejected

# Of every kind.
_SAMPLES = 5
_BLOCK_STEP = 16  # wordpieces
_NUMBER = re.compile(r'\d[\d,]*')


@dataclasses.dataclass
class ShardTally:
    """What the report is told of a shard, or of all.

    Attributes:
      document_lengths: how many documents have a length in wordpieces up to each power of two.
      block_lengths: how many blocks have a length in wordpieces up to each multiple of 16, title not counted.
      dropped: how many records were not wanted, by reason.
      dropped_samples: titles of some of them, by reason.
      rejected: how many records were no documents, by reason, numbers in it left out.
      rejected_samples: some of them, by the same.
      block_samples: titles and texts of some blocks.
    """

    document_lengths: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    block_lengths: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    dropped: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    dropped_samples: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    rejected: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    rejected_samples: dict[str, list[dict]] = dataclasses.field(default_factory=dict)
    block_samples: list[dict] = dataclasses.field(default_factory=list)

    def add_document(self, document: Document, blocks: Sequence[Block]) -> None:
        """Counts a document and its blocks."""
        lengths = [len(block.body_ids) for block in blocks]
        self.document_lengths[1 << max(0, sum(lengths) - 1).bit_length()] += 1
        self.block_lengths.update(-(-length // _BLOCK_STEP) * _BLOCK_STEP for length in lengths)
        if len(self.block_samples) < _SAMPLES:
            self.block_samples.extend({'title': block.title, 'text': block.text} for block in blocks[:1])

    def add_dropped(self, reason: str, title: str) -> None:
        """Counts a record that is not wanted."""
        self.dropped[reason] += 1
        _keep_sample(self.dropped_samples, reason, title)

    def add_rejected(self, record: Rejected) -> None:
        """Counts a record that is no document."""
        # Where it is broken, every record may say differently.
        reason = _NUMBER.sub('…', record.reason)
        self.rejected[reason] += 1
        _keep_sample(self.rejected_samples, reason, record._asdict())

    def write(self, path: epath.PathLike) -> None:
        """Writes it as JSON."""
        write_text_whole(path, json.dumps(vars(self), ensure_ascii=False))

    @classmethod
    def read(cls, path: epath.PathLike) -> 'ShardTally':
        """Reads what `write` wrote."""
        values = json.loads(epath.Path(path).read_text())
        for name in ('document_lengths', 'block_lengths'):
            values[name] = collections.Counter({int(length): count for length, count in values[name].items()})
        for name in ('dropped', 'rejected'):
            values[name] = collections.Counter(values[name])
        return cls(**values)

    @classmethod
    def sum_of(cls, tallies: Iterable['ShardTally']) -> 'ShardTally':
        """All of them together; of samples the first few."""
        total = cls()
        for tally in tallies:
            for name in ('document_lengths', 'block_lengths', 'dropped', 'rejected'):
                getattr(total, name).update(getattr(tally, name))
            for name in ('dropped_samples', 'rejected_samples'):
                for reason, samples in getattr(tally, name).items():
                    for sample in samples:
                        _keep_sample(getattr(total, name), reason, sample)
            # One from each shard, so that they come from all over the corpus.
            total.block_samples.extend(tally.block_samples[:1])
        return total


def _keep_sample(samples: dict[str, list], reason: str, sample: Any) -> None:
    of_reason = samples.setdefault(reason, [])
    if len(of_reason) < _SAMPLES:
        of_reason.append(sample)


def write_report(path: epath.Path, counts: Mapping[str, int], tally: ShardTally) -> None:
    """Writes `report.json` and `report.html` into a directory; they are the same whoever built the corpus."""
    report = {'counts': dict(sorted(counts.items())), **vars(tally)}
    for name in ('document_lengths', 'block_lengths'):
        report[name] = dict(sorted(report[name].items()))
    for name in ('dropped', 'rejected'):
        report[name] = dict(sorted(report[name].items(), key=lambda item: (-item[1], item[0])))
    write_text_whole(path / 'report.json', json.dumps(report, indent=2, ensure_ascii=False) + '\n')
    template = pathlib.Path(__file__).with_name('corpus_report.html').read_text()
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    write_text_whole(path / 'report.html', environment.from_string(template).render(report))
