"""Whether some journals are the shards of one run: all of them, each once, of the same input."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from biofm_datasets.documents import from_json

from biofm.core.errors import InputError
from biofm.core.journal import Journal
from biofm.inference.shards import Shard

# What may differ between the shards of one run: machines have as many cores as they have.
OF_ONE_SHARD = ("shard", "threads")

VERBS = ("embed", "score")
MOST_NAMED = 20


def check_shards(journals: Sequence[Journal]) -> None:
    """Raises InputError: one is no finished shard, was made otherwise or of another input than the first, is
    given twice, or is missing.
    """
    for journal in journals:
        _check_finished(journal)
    for journal in journals[1:]:
        _check_alike(journal, journals[0])
    _check_complete(journals)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finished:
    """What a verb says of its journal at the end."""

    n_records: int
    digest: str
    notices: dict[str, int]
    has_reasons: bool = False


def _check_finished(journal: Journal) -> None:
    how, made = journal.fingerprint, journal.provenance
    needed: list[tuple[str, type, Any]] = [("shard", str, how), ("dtype", str, made)]
    if how.get("verb") == "embed":
        needed += [("d_model", int, how), ("pooling", str, made)]
    try:
        from_json(_Finished, journal.finished, "its end")
        for name, kind, values in needed:
            from_json(kind, values.get(name), name)
        if how.get("verb") not in VERBS:
            raise ValueError("it says not how it was made")
    except ValueError as error:
        remedy = "Give the files that `biofm embed --shard` or `biofm score --shard` left under their names"
        raise InputError(
            "this is no finished shard of a run", where=str(journal.path), remedy=remedy
        ) from error


def _check_alike(journal: Journal, first: Journal) -> None:
    here, there = _how(journal), _how(first)
    differing = [
        f"{name} {here.get(name)}, not {there.get(name)}"
        for name in {**there, **here}
        if here.get(name) != there.get(name)
    ]
    if differing:
        what = f"this shard was made otherwise than {first.path}: {', '.join(differing)}"
        raise InputError(what, where=str(journal.path), remedy="Run it again with the same options")
    if _input(journal) != _input(first):
        (n_here, _), (n_there, _) = _input(journal), _input(first)
        numbers = f": {n_here:,} records, not {n_there:,}" if n_here != n_there else ""
        what = f"this shard is of another input than {first.path}{numbers}"
        raise InputError(what, where=str(journal.path), remedy="Run all shards on the same file")


def _check_complete(journals: Sequence[Journal]) -> None:
    shards = [Shard.parse(journal.fingerprint["shard"]) for journal in journals]
    n, where = shards[0].n, str(journals[0].path)
    for journal, shard in zip(journals, shards, strict=True):
        if shard.n != n:
            what = f"this is shard {shard}, and {where} is shard {shards[0]}"
            raise InputError(what, where=str(journal.path), remedy="Give the shards of one division")
    indices = Counter(shard.index for shard in shards)
    twice = [str(Shard(index, n)) for index, count in indices.items() if count > 1]
    if twice:
        raise InputError(f"given twice: shard {', '.join(twice)}", remedy="Give each shard once")
    if n_missing := n - len(indices):
        in_order = (str(Shard(index, n)) for index in count(1) if index not in indices)
        missing = list(islice(in_order, min(n_missing, MOST_NAMED)))
        others = f" and {n_missing - len(missing):,} others" if n_missing > len(missing) else ""
        verb = journals[0].fingerprint["verb"]
        remedy = f"Run `biofm {verb}` with --shard {missing[0]}, then merge again"
        raise InputError(f"missing of the {n:,} shards: {', '.join(missing)}{others}", remedy=remedy)


def _how(journal: Journal) -> dict[str, Any]:
    return {name: value for name, value in journal.fingerprint.items() if name not in OF_ONE_SHARD}


def _input(journal: Journal) -> tuple[int, str]:
    finished = journal.finished
    assert finished, "checked before"
    return finished["n_records"], finished["digest"]
