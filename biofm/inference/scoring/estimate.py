"""What scoring will take, before it begins: counted in one pass, timed on a sample."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

from biofm.inference.masked import Query
from biofm.inference.scoring.readings import RESIDUES, Reader
from biofm.inference.scoring.rows import Rows, of_shard
from biofm.inference.scoring.scorer import Need, Scorer
from biofm.inference.shards import Shard
from biofm.nn import by_budget

SAMPLE_SECONDS = 5.0
N_SAMPLED = 2000  # runs through each model
SEED = 20

ANSWER_BYTES = 4 * len(RESIDUES) + 60  # an answer in the journal, its key twice (in an index too)
ENTRY_BYTES = 50  # a variant in the journal, besides its cells


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreEstimate:
    """``n_answers`` different things have to be known, by all models together, and ``n_tokens`` run for them.

    ``seconds``: reading, as it was timed, and each model's tokens at the speed of a sample of them.
    ``scratch_bytes`` lie beside the output until it is whole, and besides a copy of the table.
    """

    n_variants: int
    n_answers: int
    n_tokens: int
    seconds: float
    sample_tokens: int
    sample_seconds: float
    scratch_bytes: int
    dtype_reason: str
    notices: Mapping[str, int]


def estimate_scores(
    rows: Rows, scorer: Scorer, shard: Shard, notices: Counter[str], dtype_reason: str
) -> ScoreEstimate:
    """Read all rows and time a sample of what they need. Takes some 100 bytes of memory an answer."""
    began = perf_counter()
    seen: set[bytes] = set()
    samples = [_Sample() for _ in scorer.readers]
    n_tokens = [0] * len(scorer.readers)
    n_variants = 0
    for row in of_shard(rows, shard):
        n_variants += 1
        for key, need in scorer.needs(row.variant).items():
            if key not in seen:
                seen.add(key)
                n_tokens[need.model] += scorer.n_tokens(need)
                samples[need.model].add(need)
    seconds = perf_counter() - began
    sample_tokens, sample_seconds = 0, 0.0
    for reader, sample, n_of_model in zip(scorer.readers, samples, n_tokens, strict=True):
        n_timed, took = _time(reader, sample.kept)
        sample_tokens, sample_seconds = sample_tokens + n_timed, sample_seconds + took
        seconds += n_of_model * took / max(1, n_timed)
    return ScoreEstimate(
        n_variants=n_variants,
        n_answers=len(seen),
        n_tokens=sum(n_tokens),
        seconds=seconds,
        sample_tokens=sample_tokens,
        sample_seconds=sample_seconds,
        scratch_bytes=ANSWER_BYTES * len(seen) + ENTRY_BYTES * n_variants,
        dtype_reason=dtype_reason,
        notices=dict(+notices),
    )


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


def _time(reader: Reader, needs: Sequence[Need]) -> tuple[int, float]:
    """Run one query of each need, as many as some seconds allow; returns the tokens and the seconds."""
    queries = [query for need in needs for query in reader.first_query(need.reading)]
    random.Random(SEED).shuffle(queries)
    budget = reader.predictor.tokens_per_batch
    batches = [*by_budget(((query, len(query.tokens)) for query in queries), budget)]
    if batches:
        _run(reader, batches[0])  # the first batch of a process is slow
    n_tokens, began = 0, perf_counter()
    for batch in batches:
        n_tokens += _run(reader, batch)
        if perf_counter() - began > SAMPLE_SECONDS:
            break
    return n_tokens, perf_counter() - began


def _run(reader: Reader, batch: list[Query]) -> int:
    for _ in reader.predictor.predict(batch):
        pass
    return sum(len(query.tokens) for query in batch)
