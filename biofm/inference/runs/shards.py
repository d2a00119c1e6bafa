"""Shards: a run divided among several processes, and the check that the parts it left belong together."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, Self

from biofm_datasets.documents import from_json

from biofm.core.errors import InputError, OptionError
from biofm.core.journal import Journal

MAY_DIFFER = ("shard", "threads")
"""The shards of one run may differ in these, since machines differ in their number of cores."""
VERBS = ("embed", "score")
MOST_NAMED = 20
"""Of many missing shards, so many are named."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The ``index``-th, from 1, of the ``n`` shares of an input. Equal sequences are in the same share."""

    index: int
    n: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read text such as ``2/8``. Raises OptionError for anything else."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        index, n = map(int, found.groups()) if found else (0, 0)
        if not 1 <= index <= n:
            remedy = "Give a number and how many there are, such as 2/8: the second of eight"
            raise OptionError(f"{text or 'nothing'} is no shard", where="--shard", remedy=remedy)
        return cls(index, n)

    def holds(self, key: bytes) -> bool:
        """Whether the sequence of this key is in this share."""
        return int.from_bytes(key[:8], "big") % self.n == self.index - 1

    def path(self, output: Path) -> Path:
        """Where this share of ``output`` is left for ``biofm merge``."""
        return output.with_name(f"{output.name}.shard-{self.index}-of-{self.n}")

    def __str__(self) -> str:
        return f"{self.index}/{self.n}"


WHOLE = Shard(1, 1)


def check_shards(journals: Sequence[Journal]) -> None:
    """Check that these journals are the shards of one run: all of them, each once, finished, of one input.

    Raises InputError, which names the first journal at fault or the shards that are missing.
    """
    for journal in journals:
        _check_finished(journal)
    for journal in journals[1:]:
        _check_alike(journal, journals[0])
    _check_complete(journals)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finished:
    """What a verb says at the end of its journal."""

    n_records: int
    digest: str
    notices: dict[str, int]
    has_reasons: bool = False


def _check_finished(journal: Journal) -> None:
    """Raise InputError where the journal is not the finished shard of a verb."""
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
    """Raise InputError where two shards were made in different ways, or of different inputs."""
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
    """Raise InputError where a shard of the division is missing, given twice, or of another division."""
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
    """How a shard was made, as far as all shards of a run are made alike."""
    return {name: value for name, value in journal.fingerprint.items() if name not in MAY_DIFFER}


def _input(journal: Journal) -> tuple[int, str]:
    """The number of records of the whole input, and the digest of them."""
    finished = journal.finished
    assert finished, "checked before"
    return finished["n_records"], finished["digest"]
