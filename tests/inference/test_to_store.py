"""From records to a store: the tally, the progress, and memory that does not grow."""

import os
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
import pytest
from biofm_datasets import Record

from biofm.core import Progress
from biofm.core.stores import EmbeddingBlock, ProvenanceFields
from biofm.inference import Embedder, intake
from biofm.inference.intake import Intake
from biofm.inference.to_store import embed_to_store

MakeEmbedder = Callable[..., Embedder]


class Kept:
    """A store that keeps what it is given."""

    def __init__(self) -> None:
        self.blocks: list[EmbeddingBlock] = []

    def append(self, block: EmbeddingBlock) -> None:
        self.blocks.append(block)

    def close(self, provenance: ProvenanceFields) -> None:
        raise AssertionError("closing is the caller's")


class Counted(Kept):
    """A store that throws everything away."""

    def append(self, block: EmbeddingBlock) -> None:
        pass


class Heard(Progress):
    """Progress that writes down what it is told."""

    def __init__(self) -> None:
        super().__init__("embedding", quiet=True)
        self.updates: list[tuple[int | None, float | None]] = []

    def update(self, *, tokens: int | None = None, fraction: float | None = None) -> None:
        self.updates.append((tokens, fraction))


@pytest.fixture
def pipe() -> Iterator[BinaryIO]:
    """The reading end of a pipe that nobody writes to."""
    reading, writing = os.pipe()
    with open(reading, "rb") as stream:
        yield stream
    os.close(writing)


@pytest.mark.parametrize("pool", ["mean", "none"])
def test_the_tally_counts_what_went_through(
    pool: str, make_embedder: MakeEmbedder, proteins: list[Record], pipe: BinaryIO
) -> None:
    store = Kept()

    tally = embed_to_store(
        make_embedder(pool=pool, tokens_per_batch=50), Intake(proteins, pipe), store, Counter(), Heard()
    )

    n_residues = sum(len(record.sequence) for record in proteins)
    assert tally["n_sequences"] == len(proteins) == sum(len(block.ids) for block in store.blocks)
    assert tally["n_residues"] == n_residues
    assert tally["n_tokens"] == n_residues + 2 * len(proteins)
    assert tally["n_rows"] == (n_residues if pool == "none" else len(proteins))
    assert tally["n_dimensions"] == 16
    assert tally["tokens_per_second"] == pytest.approx(tally["n_tokens"] / tally["seconds"])
    assert np.concatenate([block.values for block in store.blocks]).shape == (tally["n_rows"], 16)


@pytest.mark.parametrize("window", [None, 9])
def test_the_progress_grows_to_the_whole_and_no_further(
    window: int | None, make_embedder: MakeEmbedder, proteins: list[Record], pipe: BinaryIO
) -> None:
    heard = Heard()

    tally = embed_to_store(
        make_embedder(window=window, tokens_per_batch=20), Intake(proteins, pipe), Kept(), Counter(), heard
    )

    tokens = [tokens for tokens, _ in heard.updates if tokens is not None]
    fractions = [fraction for _, fraction in heard.updates if fraction is not None]
    assert len(tokens) == len(fractions) == len(heard.updates) > 10
    assert fractions == sorted(fractions)
    assert fractions[0] < 0.1
    assert fractions[-1] == 1.0
    assert tokens[-1] == tally["n_tokens"]


def test_memory_does_not_grow_with_the_number_of_records(
    make_embedder: MakeEmbedder, pipe: BinaryIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "AHEAD_BYTES", 5_000)

    def peak_bytes(n_records: int) -> int:
        records = (Record(id=str(n), sequence="MKTAYIAK", number=n) for n in range(n_records))
        embedder = make_embedder(layer=0, tokens_per_batch=40)
        tracemalloc.start()
        embed_to_store(
            embedder, Intake(records, pipe), Counted(), Counter(), Progress("embedding", quiet=True)
        )
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(200)  # what is imported or cached at the first use is not counted
    grown_bytes = peak_bytes(1200) - peak_bytes(300)
    assert grown_bytes < 900 * 32, "a row alone takes 64 bytes, a record some 200"
