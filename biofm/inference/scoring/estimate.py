"""Estimate: predict what scoring takes in time, memory and space.

The rows are counted in one pass, and a sample of what they need is timed.
"""

import io
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from zlib import crc32

import numpy as np

from biofm.core.tables import SUFFIXES, Table, open_table
from biofm.inference import MemoryWatch, activation_bytes
from biofm.inference.compute import Compute
from biofm.inference.queries import Query
from biofm.inference.runs import Shard
from biofm.inference.scoring.columns import output_columns
from biofm.inference.scoring.methods import Variant
from biofm.inference.scoring.rows import Chunk, Row, Rows, chunks, of_shard
from biofm.inference.scoring.scorer import Need, Scorer
from biofm.inference.scoring.scoring_model import ScoringModel
from biofm.nn import by_budget

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

SAMPLE_SECONDS = 5.0
N_SAMPLED = 2000  # the most queries that are timed, for each model
SEED = 20

FLOAT_BYTES = 4
KEY_BYTES = 60  # for the key of an answer in the journal, and its place in an index
ENTRY_BYTES = 50  # for a row in the journal, besides its cells

BUFFER_BYTES = 60 << 20  # for a part of the table, its rows and what they need, and the journal's cache

LOWEST = -10.0  # the lowest made-up score, a natural logarithm; it decides how many digits are written


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreEstimate:
    """Tells what scoring will take.

    Attributes:
        n_variants: How many rows the shard has.
        n_answers: How many different answers all models compute together.
        n_tokens: How many tokens the models will process for them.
        seconds: The time to read the input, as measured, and to run all tokens at the speed of the sample.
        sample_tokens: How many tokens the sample had.
        sample_seconds: How long the sample took.
        memory_bytes: The highest memory on the host: the sum of ``memory_parts``, or the peak of loading the
            models if that is more.
        memory_parts: The parts of that memory in bytes, by name.
        device_bytes: The highest memory of a device that is not the CPU; else 0.
        output_bytes: The size of the table in each format, by the suffix of its name.
        scratch_bytes: The size of the journal. It lies beside the output until the table is complete, as
            does a second copy of the table.
        dtype: The dtype in which the models run.
        device: The kind of device on which they run.
        dtype_reason: Why the models run in their dtype, in words.
        notices: What would be changed or left out, as a phrase and how often it happens.
    """

    n_variants: int
    n_answers: int
    n_tokens: int
    seconds: float
    sample_tokens: int
    sample_seconds: float
    memory_bytes: int
    memory_parts: Mapping[str, int]
    device_bytes: int
    output_bytes: Mapping[str, int]
    scratch_bytes: int
    dtype: str
    device: str
    dtype_reason: str
    notices: Mapping[str, int]


def estimate_scores(
    rows: Rows, scorer: Scorer, names: Sequence[str], shard: Shard, notices: Counter[str], compute: Compute
) -> ScoreEstimate:
    """Read all rows, time a sample of what they need, and estimate what scoring takes.

    This takes about 100 bytes of memory for each answer.

    Args:
        rows: The rows of the whole input.
        scorer: The models and the method. The models must just have been loaded: the memory of loading is
            part of the estimate.
        names: The names of the models' columns.
        shard: The part of the input that the run will score.
        notices: Counts what a reader of the scores should know.
        compute: The device and the dtype of the models.

    Raises:
        InputError: A row is at fault.
    """
    memory = MemoryWatch()
    began = perf_counter()
    found = _survey(of_shard(rows, shard), scorer, names, notices)
    seconds = perf_counter() - began
    with memory.sampling():
        timed = [_time(model, one.kept) for model, one in zip(scorer.models, found.samples, strict=True)]
    for n_tokens, one in zip(found.n_tokens, timed, strict=True):
        seconds += n_tokens * one.seconds / max(1, one.n_tokens)
    parts, device_bytes = _memory(memory, scorer, compute, found, timed)
    return ScoreEstimate(
        n_variants=found.n_variants,
        n_answers=len(found.answers),
        n_tokens=sum(found.n_tokens),
        seconds=seconds,
        sample_tokens=sum(one.n_tokens for one in timed),
        sample_seconds=sum(one.seconds for one in timed),
        memory_bytes=memory.highest(parts),
        memory_parts=parts,
        device_bytes=device_bytes,
        output_bytes=found.sizes.in_bytes(),
        scratch_bytes=_answer_bytes(scorer) * len(found.answers) + ENTRY_BYTES * found.n_variants,
        dtype=compute.dtype_name,
        device=compute.device.type,
        dtype_reason=compute.reason,
        notices=dict(+notices),
    )


def _answer_bytes(scorer: Scorer) -> int:
    """Return the bytes that an answer takes in the journal."""
    return FLOAT_BYTES * max(len(model.letters) for model in scorer.models) + KEY_BYTES


class _Survey:
    """Collects what the rows need, how many tokens each model will process, and a sample of its needs."""

    def __init__(self, scorer: Scorer, names: Sequence[str]) -> None:
        self.n_variants = 0
        self.answers: set[bytes] = set()
        self.n_tokens = [0] * len(names)
        self.samples = [_Sample() for _ in names]
        self.sizes = _TableSizes(scorer, names)


def _survey(rows: Iterable[Row], scorer: Scorer, names: Sequence[str], notices: Counter[str]) -> _Survey:
    """Read the rows to their end, and collect what they need."""
    found = _Survey(scorer, names)
    for chunk in chunks(rows, scorer):
        found.n_variants += len(chunk.rows)
        found.sizes.add(chunk, notices)
        for key, need in chunk.needs.items():
            if key not in found.answers:
                found.answers.add(key)
                found.n_tokens[need.model_number] += scorer.n_tokens(need)
                found.samples[need.model_number].add(need)
    return found


class _Sample:
    """Keeps up to ``N_SAMPLED`` of the needs that it is given, each equally likely (reservoir sampling)."""

    def __init__(self) -> None:
        self.kept: list[Need] = []
        self._draw = random.Random(SEED)
        self._n_shown = 0

    def add(self, need: Need) -> None:
        """Add a need, which is kept or dropped at random."""
        self._n_shown += 1
        if len(self.kept) < N_SAMPLED:
            self.kept.append(need)
        elif (slot := self._draw.randrange(self._n_shown)) < N_SAMPLED:
            self.kept[slot] = need


class _Timed(NamedTuple):
    """Holds how many tokens a sample had, and how long they took."""

    n_tokens: int
    seconds: float
    longest: int  # the longest query in tokens


def _time(model: ScoringModel, needs: Sequence[Need]) -> _Timed:
    """Run one query of each need until ``SAMPLE_SECONDS`` are over."""
    queries = [query for need in needs for query in model.first_query(need.reading)]
    random.Random(SEED).shuffle(queries)
    budget = model.runner.tokens_per_batch
    batches = [*by_budget(((query, len(query.tokens)) for query in queries), budget)]
    if batches:
        _run(model, batches[0])  # not timed: the first batch of a process is slow
    n_tokens, began = 0, perf_counter()
    for batch in batches:
        n_tokens += _run(model, batch)
        if perf_counter() - began > SAMPLE_SECONDS:
            break
    longest = max((len(query.tokens) for query in queries), default=0)
    return _Timed(n_tokens, perf_counter() - began, longest)


def _run(model: ScoringModel, batch: list[Query]) -> int:
    """Run one batch, and return its number of tokens."""
    for _ in model.runner.predict(batch):
        pass
    return sum(len(query.tokens) for query in batch)


def _memory(
    memory: MemoryWatch, scorer: Scorer, compute: Compute, found: _Survey, timed: Sequence[_Timed]
) -> tuple[dict[str, int], int]:
    """Estimate the bytes that a run takes on the host, part by part, and those on another device.

    All models are loaded together, and run one after another.
    """
    activations = 0
    for model, n_tokens, one in zip(scorer.models, found.n_tokens, timed, strict=True):
        n_batch_tokens = min(n_tokens, max(model.runner.tokens_per_batch, one.longest))
        config = model.runner.model.encoder.config
        activations = max(activations, activation_bytes(config, compute.dtype, n_batch_tokens))
    others = {"buffers": BUFFER_BYTES}
    if compute.device.type == "cpu":
        return memory.parts(activations, others), 0
    modules = [model.runner.model for model in scorer.models]
    weights = sum(weight.nbytes for module in modules for weight in module.parameters())
    return memory.parts(0, others), weights + activations


class _TableSizes:
    """Measures the size of the table in every format: it writes rows with made-up scores, and only counts."""

    def __init__(self, scorer: Scorer, names: Sequence[str]) -> None:
        self._scorer = scorer
        self._names = names
        self._tables: dict[str, tuple[_NullSink, Table]] = {}
        for suffix in SUFFIXES:
            sink = _NullSink()
            table = open_table(cast(Any, sink), suffix, {}, io.BytesIO())
            self._tables[suffix] = sink, table
        self._is_empty = True

    def add(self, chunk: Chunk, notices: Counter[str]) -> None:
        """Write the rows of a chunk."""
        made_up = np.array([_made_up_score(variant) for _, variant in chunk.scored], np.float32)
        scores = np.repeat(made_up[:, None], len(self._names), axis=1)
        columns = output_columns(chunk, self._scorer, self._names, scores, notices)
        for _, table in self._tables.values():
            table.append(columns)
        self._is_empty = False

    def in_bytes(self) -> dict[str, int]:
        """Return the sizes in bytes, by suffix. Call it once, after the last chunk."""
        if self._is_empty:
            return dict.fromkeys(SUFFIXES, 0)
        for _, table in self._tables.values():
            table.close()
        return {suffix: sink.n_bytes for suffix, (sink, _) in self._tables.items()}


def _made_up_score(variant: Variant) -> float:
    """Return a score that depends on the variant alone, as true scores do.

    Parquet stores a repeated value once, so equal scores would make the table too small.
    """
    return LOWEST * crc32(f"{variant.wild_type} {variant.changes}".encode()) / 2**32


class _NullSink(io.RawIOBase):
    """Counts the bytes that are written to it, and keeps none."""

    n_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        n_bytes = memoryview(data).nbytes
        self.n_bytes += n_bytes
        return n_bytes
