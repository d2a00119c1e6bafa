"""A store of a few made-up sequences, and how to write one."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from biofm_datasets.store import Alphabet, Source, SplitRecord, StoreRecord, StoreWriter
from numpy.typing import NDArray

ALPHABET = Alphabet(name="letters", tokens=tuple("abcdefghij"))

Sequences = list[NDArray[np.uint8]]
Write = Callable[..., Path]


@pytest.fixture
def sequences(generator: np.random.Generator) -> Sequences:
    """Return thirty sequences: the first is empty, and the eighth equals the third."""
    lengths = [0, *generator.integers(1, 40, 29)]
    found = [generator.integers(0, 10, n).astype(np.uint8) for n in lengths]
    found[7] = found[2]
    return found


def append(writer: StoreWriter, sequences: Sequences, first: int = 0, block: int = 7) -> None:
    """Append the sequences from number ``first`` on; their ids are their numbers."""
    for begin in range(first, len(sequences), block):
        part = sequences[begin : begin + block]
        lengths = np.array([len(sequence) for sequence in part], np.int64)
        ids = [f"séq{begin + i}" for i in range(len(part))]
        writer.append(ids, np.concatenate(part), lengths)


def conclude(writer: StoreWriter, n_sources: int = 2) -> None:
    """Finish the store: every fifth sequence is in the test part, and the one after it is removed."""
    if not writer.is_sealed:
        writer.seal()
    if not writer.is_moving:
        n = writer.n_sequences
        labels = np.choose(np.arange(n) % 5, [2, 3, 0, 0, 1]).astype(np.uint8)
        counts = writer.write_split(labels)
        writer.complete(record_of(writer, counts, n_sources))
    writer.publish()


def record_of(writer: StoreWriter, counts: dict[str, int], n_sources: int = 2) -> StoreRecord:
    n, n_tokens = writer.n_sequences, writer.files["tokens.safetensors"].n_bytes
    ends = np.linspace(0, n, n_sources + 1).astype(int).tolist()
    sources = tuple(
        Source(name=f"{i}.fasta", sha256="0" * 64, weight=None, first=ends[i],
               n_sequences=ends[i + 1] - ends[i], n_tokens=n_tokens // n_sources,
               n_units=n_tokens // n_sources)
        for i in range(n_sources)
    )  # fmt: skip
    split = SplitRecord(method="every fifth", parameters={"of": 5}, tool="by hand", counts=counts)
    return StoreRecord(
        alphabet=ALPHABET, dtype="U8", n_sequences=n, n_tokens=n_tokens, sources=sources, split=split,
        notices={"sequences upper-cased": 3}, files=writer.files,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path, sequences: Sequences) -> Path:
    """Return the folder of a finished store."""
    return write_store(tmp_path / "store", sequences)


def write_store(folder: Path, sequences: Sequences, *, block: int = 7, n_sources: int = 2) -> Path:
    folder.mkdir(exist_ok=True)
    with StoreWriter(folder, "U8", {"of": "a test"}) as writer:
        append(writer, sequences, block=block)
        writer.commit({})
        conclude(writer, n_sources)
    return folder


def content_of(folder: Path) -> dict[str, str]:
    """Return the checksum of each file in the folder and below."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def ids_of(sequences: Sequence[object]) -> list[str]:
    return [f"séq{i}" for i in range(len(sequences))]
