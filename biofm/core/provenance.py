"""Provenance: how an output was made, to be written into it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from io import BufferedReader
from typing import BinaryIO, cast

from biofm.core.environment import __version__, torch_version


def sha256_of(files: Sequence[BinaryIO]) -> str:
    """Return the SHA-256 of the files. Each is read from its beginning and left there.

    Of one file it is what ``sha256sum FILE`` prints. Of several, in their order, it is the SHA-256 of their
    hexadecimal sums, a line each: ``sha256sum FILES | cut -d ' ' -f 1 | sha256sum``.
    """
    import hashlib  # loads a library that `biofm --help` does not need

    sums = [_sum(file) for file in files]
    if len(sums) == 1:
        return sums[0]
    return hashlib.sha256("".join(f"{sum_}\n" for sum_ in sums).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProvenance:
    """What a model contributes to the numbers of an output.

    model: the name or path it was asked for by.
    sha256: of the model's weights, see ``sha256_of``.
    modality, items, units: the kind of record that it reads, what people call several of these, and what
        their tokens stand for, such as protein, proteins and residues.
    alphabet_sha256: of the meaning of its token numbers, see ``biofm_datasets.store.Alphabet``.
    """

    model: str
    sha256: str
    modality: str
    items: str
    units: str
    alphabet_sha256: str
    dtype: str
    device: str
    version: str = __version__
    torch_version: str = field(default_factory=torch_version)

    def as_dict(self) -> dict[str, str | int | float | bool]:
        """Return the fields by name, as the writers of outputs take them."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance(ModelProvenance):
    """Everything that decides the numbers of embeddings.

    layer: the number of blocks that the embeddings passed.
    window: residues of a window; 0 where sequences ran whole.
    gaps: what became of the gaps of alignments in the sequences.
    """

    pooling: str
    layer: int
    window: int = 0
    gaps: str = "drop"


def _sum(file: BinaryIO) -> str:
    file.seek(0)
    import hashlib  # as above

    digest = hashlib.file_digest(cast(BufferedReader, file), "sha256").hexdigest()
    file.seek(0)
    return digest
