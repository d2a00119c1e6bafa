"""What scoring will take, before it begins: counted in one pass, timed on a sample."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

from biofm.inference.compute import Compute
from biofm.inference.queries import Query
from biofm.inference.scoring.readings import ScoringModel
from biofm.inference.scoring.rows import Row, Rows, chunks, of_shard
from biofm.inference.scoring.scorer import Need, Scorer
from biofm.inference.scoring.sizes import TableSizes
from biofm.inference.shards import Shard
from biofm.inference.working_memory import MemoryWatch, activation_bytes
from biofm.nn import by_budget

SAMPLE_SECONDS = 5.0
N_SAMPLED = 2000  # runs through each model
SEED = 20

FLOAT_BYTES = 4
KEY_BYTES = 60  # of an answer in the journal; it stands in an index too
ENTRY_BYTES = 50  # a variant in the journal, besides its cells

BUFFER_BYTES = 60 << 20  # a part of the table, its rows and what they need, the journal's cache


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreEstimate:
    """``n_answers`` different things have to be known, by all models together, and ``n_tokens`` run for them.

    ``seconds``: reading, as it was timed, and each model's tokens at the speed of a sample of them.
    ``memory_bytes``: its highest, the sum of ``memory_parts`` or what loading the models took;
    ``device_bytes`` on a device that is not the CPU. ``output_bytes`` is by format; ``scratch_bytes`` and the
    table once more lie beside the output until it is whole.
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
    """Read all rows and time a sample of what they need. Takes some 100 bytes of memory an answer.

    The models, whose columns have these ``names``, have just been loaded.
    """
    memory = MemoryWatch()
    began = perf_counter()
    found = _survey(of_shard(rows, shard), scorer, names, notices)
    seconds = perf_counter() - began
    with memory.sampling():
        timed = [_time(reader, one.kept) for reader, one in zip(scorer.readers, found.samples, strict=True)]
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
    """What an answer takes in the journal."""
    return FLOAT_BYTES * max(len(reader.letters) for reader in scorer.readers) + KEY_BYTES


class _Survey:
    """What the rows need. Of each model: how many tokens, and a sample of its needs."""

    def __init__(self, scorer: Scorer, names: Sequence[str]) -> None:
        self.n_variants = 0
        self.answers: set[bytes] = set()
        self.n_tokens = [0] * len(names)
        self.samples = [_Sample() for _ in names]
        self.sizes = TableSizes(scorer, names)


def _survey(rows: Iterable[Row], scorer: Scorer, names: Sequence[str], notices: Counter[str]) -> _Survey:
    found = _Survey(scorer, names)
    for chunk in chunks(rows, scorer):
        found.n_variants += len(chunk.rows)
        found.sizes.add(chunk, notices)
        for key, need in chunk.needs.items():
            if key not in found.answers:
                found.answers.add(key)
                found.n_tokens[need.model] += scorer.n_tokens(need)
                found.samples[need.model].add(need)
    return found


class _Sample:
    """Some of the needs that it was shown, all equally likely to be among them."""

    def __init__(self) -> None:
        self.kept: list[Need] = []
        self._draw = random.Random(SEED)
        self._n_shown = 0

    def add(self, need: Need) -> None:
        self._n_shown += 1
        if len(self.kept) < N_SAMPLED:
            self.kept.append(need)
        elif (slot := self._draw.randrange(self._n_shown)) < N_SAMPLED:
            self.kept[slot] = need


class _Timed(NamedTuple):
    n_tokens: int
    seconds: float
    longest: int  # of the runs, in tokens


def _time(reader: ScoringModel, needs: Sequence[Need]) -> _Timed:
    """Run one query of each need, as many as some seconds allow."""
    queries = [query for need in needs for query in reader.first_query(need.reading)]
    random.Random(SEED).shuffle(queries)
    budget = reader.runner.tokens_per_batch
    batches = [*by_budget(((query, len(query.tokens)) for query in queries), budget)]
    if batches:
        _run(reader, batches[0])  # the first batch of a process is slow
    n_tokens, began = 0, perf_counter()
    for batch in batches:
        n_tokens += _run(reader, batch)
        if perf_counter() - began > SAMPLE_SECONDS:
            break
    longest = max((len(query.tokens) for query in queries), default=0)
    return _Timed(n_tokens, perf_counter() - began, longest)


def _run(reader: ScoringModel, batch: list[Query]) -> int:
    for _ in reader.runner.predict(batch):
        pass
    return sum(len(query.tokens) for query in batch)


def _memory(
    memory: MemoryWatch, scorer: Scorer, compute: Compute, found: _Survey, timed: Sequence[_Timed]
) -> tuple[dict[str, int], int]:
    """What a run takes on the host, part by part, and what it takes on another device. The models, all of
    which are loaded, run one after another.
    """
    activations = 0
    for reader, n_tokens, one in zip(scorer.readers, found.n_tokens, timed, strict=True):
        n_batch_tokens = min(n_tokens, max(reader.runner.tokens_per_batch, one.longest))
        config = reader.runner.model.encoder.config
        activations = max(activations, activation_bytes(config, compute.dtype, n_batch_tokens))
    others = {"buffers": BUFFER_BYTES}
    if compute.device.type == "cpu":
        return memory.parts(activations, others), 0
    models = [reader.runner.model for reader in scorer.readers]
    weights = sum(weight.nbytes for model in models for weight in model.parameters())
    return memory.parts(0, others), weights + activations
