"""Shards: a run is divided among several processes, and their journals are checked before they are merged."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, Self

from biofm_datasets.documents import from_json
from biofm_datasets.text import format_count

from biofm.core.errors import InputError, OptionError
from biofm.core.journal import Journal

MAY_DIFFER = ("shard", "threads")
"""What may differ between the shards of one run; machines have different numbers of cores."""
VERBS = ("embed", "score")
MOST_NAMED = 20
"""The most missing shards that a message names."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Describes one of the ``n`` shards of an input, which separate runs work on. Equal sequences share one.

    Attributes:
        index: The number of this shard, from 1 to ``n``.
        n: How many shards there are.
    """

    index: int
    n: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read text such as ``2/8``, the second of eight shards.

        Args:
            text: The number of the shard and how many there are, with a slash between.

        Raises:
            OptionError: The text is anything else.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        index, n = map(int, found.groups()) if found else (0, 0)
        if not 1 <= index <= n:
            what = f"{text} is not a shard" if text else "no shard is named"
            remedy = "Give its number and how many there are, such as 2/8 for the second of eight"
            raise OptionError(what, where="--shard", remedy=remedy)
        return cls(index, n)

    def holds(self, key: bytes) -> bool:
        """Return whether a sequence is in this shard.

        Args:
            key: The key of the sequence.
        """
        return int.from_bytes(key[:8], "big") % self.n == self.index - 1

    def path(self, output: Path) -> Path:
        """Return the path where the journal of this shard is left for ``biofm merge``.

        Args:
            output: The path of the whole output.
        """
        return output.with_name(f"{output.name}.shard-{self.index}-of-{self.n}")

    def __str__(self) -> str:
        return f"{self.index}/{self.n}"


WHOLE = Shard(1, 1)


def check_shards(journals: Sequence[Journal]) -> None:
    """Check that journals are the shards of one run: all of them, each once, finished, and of one input.

    Args:
        journals: The journals to check.

    Raises:
        InputError: One of them is at fault, or a shard is missing. The message names it.
    """
    for journal in journals:
        _check_finished(journal)
    for journal in journals[1:]:
        _check_alike(journal, journals[0])
    _check_complete(journals)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finished:
    """Describes what a verb writes at the end of its journal."""

    n_records: int
    digest: str
    notices: dict[str, int]
    has_reasons: bool = False


def _check_finished(journal: Journal) -> None:
    """Raise InputError if the journal is not the finished shard of a verb."""
    how, made = journal.fingerprint, journal.provenance
    needed: list[tuple[str, type, Any]] = [("shard", str, how), ("dtype", str, made)]
    if how.get("verb") == "embed":
        needed += [("d_model", int, how), ("pooling", str, made)]
    try:
        from_json(_Finished, journal.finished, "its end")
        for name, kind, values in needed:
            from_json(kind, values.get(name), name)
        if how.get("verb") not in VERBS:
            raise ValueError("it does not say which verb made it")
    except ValueError as error:
        what = "this is not the finished shard of a run"
        remedy = "Give the files that `biofm embed --shard` or `biofm score --shard` wrote, with their names"
        raise InputError(what, where=str(journal.path), remedy=remedy) from error


def _check_alike(journal: Journal, first: Journal) -> None:
    """Raise InputError if two shards were made in different ways, or of different inputs."""
    here, there = _how(journal), _how(first)
    differing = [
        f"{name} {here.get(name)}, not {there.get(name)}"
        for name in {**there, **here}
        if here.get(name) != there.get(name)
    ]
    if differing:
        what = f"this shard was made with other options than {first.path}: {', '.join(differing)}"
        raise InputError(what, where=str(journal.path), remedy="Run it again with the same options")
    if _input(journal) != _input(first):
        (n_here, _), (n_there, _) = _input(journal), _input(first)
        numbers = f": {format_count(n_here, 'record')}, not {n_there:,}" if n_here != n_there else ""
        what = f"this shard was made from another input than {first.path}{numbers}"
        raise InputError(what, where=str(journal.path), remedy="Run all shards on the same file")


def _check_complete(journals: Sequence[Journal]) -> None:
    """Raise InputError if a shard is missing, is given twice, or belongs to another division."""
    shards = [Shard.parse(journal.fingerprint["shard"]) for journal in journals]
    n, where = shards[0].n, str(journals[0].path)
    for journal, shard in zip(journals, shards, strict=True):
        if shard.n != n:
            what = f"this is shard {shard}, but {where} is shard {shards[0]}"
            remedy = "Give the shards of one run, all with the same number behind the slash"
            raise InputError(what, where=str(journal.path), remedy=remedy)
    indices = Counter(shard.index for shard in shards)
    twice = [str(Shard(index, n)) for index, count in indices.items() if count > 1]
    if twice:
        raise InputError(f"shard {', '.join(twice)} is given twice", remedy="Give each shard once")
    if n_missing := n - len(indices):
        in_order = (str(Shard(index, n)) for index in count(1) if index not in indices)
        missing = list(islice(in_order, min(n_missing, MOST_NAMED)))
        n_others = n_missing - len(missing)
        others = f" and {format_count(n_others, 'other')}" if n_others else ""
        verb = journals[0].fingerprint["verb"]
        remedy = f"Run `biofm {verb}` with --shard {missing[0]}, then merge again"
        shard_or_shards = "shard" if n_missing == 1 else "shards"
        raise InputError(f"missing {shard_or_shards}: {', '.join(missing)}{others}", remedy=remedy)


def _how(journal: Journal) -> dict[str, Any]:
    """Return how a shard was made, without what may differ between shards of one run."""
    return {name: value for name, value in journal.fingerprint.items() if name not in MAY_DIFFER}


def _input(journal: Journal) -> tuple[int, str]:
    """Return the number of records of the whole input, and the digest of them."""
    finished = journal.finished
    assert finished, "_check_finished has refused it"
    return finished["n_records"], finished["digest"]
