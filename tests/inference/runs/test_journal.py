"""An embedding run: what is counted, progress, going on after a fault, and memory that does not grow."""

import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from biofm_datasets import Record

from biofm.core import InputError, Progress
from biofm.core.journal import Journal
from biofm.inference import Embedder
from biofm.inference.runs import WHOLE, Intake, Shard, embed_to_journal, fingerprint, intake

MakeEmbedder = Callable[..., Embedder]


class Heard(Progress):
    """Progress that writes down what it is told."""

    def __init__(self, stop_after: int = 10_000) -> None:
        super().__init__("embedding", quiet=True)
        self.updates: list[tuple[int | None, float | None]] = []
        self._stop_after = stop_after

    def update(self, *, tokens: int | None = None, fraction: float | None = None, detail: str = "") -> None:
        self.updates.append((tokens, fraction))
        if len(self.updates) == self._stop_after:
            raise KeyboardInterrupt


Work = Callable[..., int]


@pytest.fixture
def work(pipe: BinaryIO) -> Work:
    """Embeds records into the journal at a path, or does what is left to do there."""

    def embed(
        embedder: Embedder, records: Iterable[Record], path: Path, progress: Progress, shard: Shard = WHOLE
    ) -> int:
        with closing(Journal(path)) as journal:
            journal.begin(fingerprint(embedder, {"pooling": embedder.options.pool}, shard), {})
            return embed_to_journal(
                embedder, Intake(records, pipe), journal, shard, "in.fasta", Counter(), progress
            )

    return embed


def contents(path: Path) -> tuple[Any, ...]:
    """All that a journal says, the values as bytes."""
    with closing(Journal(path, read_only=True)) as journal:
        entries = list(journal.entries())
        values = [journal.row(key).tobytes() for entry in entries for key in entry.keys]
        return entries, values, journal.counts, journal.finished


@pytest.mark.parametrize("pool", ["mean", "none"])
def test_what_went_through_is_counted(
    pool: str, make_embedder: MakeEmbedder, proteins: list[Record], work: Work, tmp_path: Path
) -> None:
    n_tokens = work(make_embedder(pool=pool, tokens_per_batch=50), proteins, tmp_path / "journal", Heard())

    sequences = {record.sequence for record in proteins}
    entries, values, counts, finished = contents(tmp_path / "journal")
    expected = [[record.id, record.number, len(record.sequence)] for record in proteins]
    assert [entry.payload for entry in entries] == expected
    assert counts["residues"] == sum(len(record.sequence) for record in proteins)
    assert counts["tokens"] == n_tokens == sum(len(sequence) + 2 for sequence in sequences)
    assert finished["n_records"] == len(proteins)
    n_values = [16 * len(record.sequence) if pool == "none" else 16 for record in proteins]
    assert [len(value) // 4 for value in values] == n_values


@pytest.mark.parametrize("window", [None, 9])
def test_the_progress_grows_to_the_whole_and_no_further(
    window: int | None, make_embedder: MakeEmbedder, proteins: list[Record], work: Work, tmp_path: Path
) -> None:
    heard = Heard()

    n_tokens = work(make_embedder(window=window, tokens_per_batch=20), proteins, tmp_path / "journal", heard)

    tokens = [tokens for tokens, _ in heard.updates if tokens is not None]
    fractions = [fraction for _, fraction in heard.updates if fraction is not None]
    assert len(tokens) == len(fractions) == len(heard.updates) > 10
    assert fractions == sorted(fractions)
    assert fractions[0] < 0.1
    assert fractions[-1] == 1.0
    assert tokens[-1] == n_tokens


@pytest.mark.parametrize(
    ("options", "n_updates"),
    [({"pool": "mean"}, 8), ({"pool": "none", "window": 30}, 13), ({"pool": "max"}, 11)],
)
def test_work_interrupted_again_and_again_gives_the_same_bytes(
    options: dict[str, Any],
    n_updates: int,
    make_embedder: MakeEmbedder,
    proteins: list[Record],
    work: Work,
    tmp_path: Path,
) -> None:
    """Chunks hold some 80 tokens here, so that most of them know some of their sequences from before."""
    embedder = make_embedder(tokens_per_batch=5, **options)
    work(embedder, proteins * 2, tmp_path / "whole", Heard())

    n_stops = 0
    while n_stops < 99:
        try:
            work(embedder, proteins * 2, tmp_path / "parts", Heard(stop_after=n_updates))
            break
        except KeyboardInterrupt:
            n_stops += 1

    assert n_stops > 2
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_a_changed_input_is_an_error_though_its_tail_may_change(
    make_embedder: MakeEmbedder, proteins: list[Record], work: Work, tmp_path: Path
) -> None:
    embedder = make_embedder(tokens_per_batch=5)
    with pytest.raises(KeyboardInterrupt):
        work(embedder, proteins, tmp_path / "journal", Heard(stop_after=9))
    with closing(Journal(tmp_path / "journal")) as journal:
        n_done = journal.n_done
    assert 0 < n_done < len(proteins) - 1

    for changed in (replace(proteins[0], sequence="MKV"), replace(proteins[0], id="another")):
        with pytest.raises(InputError, match=f"no longer begins with the {n_done} records"):
            work(embedder, [changed, *proteins[1:]], tmp_path / "journal", Heard())
    with pytest.raises(InputError, match=f"no longer begins with the {n_done} records"):
        work(embedder, proteins[: n_done - 1], tmp_path / "journal", Heard())
    work(embedder, [*proteins[:-1], Record(id="new", sequence="MKV")], tmp_path / "journal", Heard())

    assert contents(tmp_path / "journal")[0][-1].payload == ["new", 0, 3]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_shards_share_the_records_out_and_duplicates_meet(
    n: int, make_embedder: MakeEmbedder, proteins: list[Record], work: Work, tmp_path: Path
) -> None:
    for index in range(1, n + 1):
        work(make_embedder(), proteins, tmp_path / str(index), Heard(), Shard(index, n))

    shards = [contents(tmp_path / str(index)) for index in range(1, n + 1)]

    assert sorted(entry.number for entries, *_ in shards for entry in entries) == list(
        range(1, len(proteins) + 1)
    )
    keys = [{key for entry in entries for key in entry.keys} for entries, *_ in shards]
    assert sum(map(len, keys)) == len(set.union(*keys)) == len({record.sequence for record in proteins})
    assert len({(finished["n_records"], finished["digest"]) for *_, finished in shards}) == 1


def test_memory_does_not_grow_with_the_number_of_records(
    make_embedder: MakeEmbedder, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "AHEAD_BYTES", 5_000)

    def peak_bytes(n_records: int) -> int:
        letters = np.array(list("ACDEFGHIKL"))
        sequences = ("".join(letters[list(map(int, f"{n:08}"))]) for n in range(n_records))
        records = (Record(id=str(n), sequence=sequence) for n, sequence in enumerate(sequences))
        embedder = make_embedder(layer=0, tokens_per_batch=40)
        tracemalloc.start()
        work(embedder, records, tmp_path / str(n_records), Progress("embedding", quiet=True))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    # Beyond some 600 records nothing is imported or cached for the first time. The largest chunk of many is
    # larger than that of few, by chance, by some 20,000 bytes.
    grown_bytes = peak_bytes(3000) - peak_bytes(600)
    assert grown_bytes < 2400 * 32, "a row alone takes 64 bytes, a record some 200"
