"""Reads one protein chain of a PDB or mmCIF file: its residues, and where their side chains are."""

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from biofm_datasets.errors import DataError

if TYPE_CHECKING:
    from Bio.PDB.Model import Model
    from Bio.PDB.Residue import Residue

GZIP_MAGIC = b"\x1f\x8b"
LARGEST_BYTES = 64 << 20
"""Bio.PDB takes thirty times the size of the text in memory: two gigabytes for a file of this size."""
COPY_AGAIN = "Copy or download it again"

# Exceptions, besides its own, that Bio.PDB raises on faulty files. They were found by flipping bytes.
DAMAGED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Chain:
    """Holds the residues of one chain that the structure shows, in the file's order.

    Attributes:
        source: The file's name, for messages.
        id: The author's name of the chain.
        sequence: One letter for each residue: the parent's letter for a modified residue (M for MSE), X if it
            has none.
        positions: The C-beta of each residue, or the C-alpha of a glycine, in Angstrom, shape (residues, 3);
            NaN if it is missing.
    """

    source: str
    id: str
    sequence: str
    positions: NDArray[np.float64]

    @property
    def where(self) -> str:
        """The place of the chain for messages; it is the file's name and the chain's id."""
        return f"{self.source}, chain {self.id}"


def read_chain(stream: BinaryIO, name: str, chain: str | None = None) -> Chain:
    """Read one chain of the first model of a PDB or mmCIF file, which may be compressed with gzip.

    Where residues or atoms have alternatives, the most frequent one counts.

    Args:
        stream: The opened file.
        name: Its name, for messages.
        chain: The author's name of the chain; None if the file has only one protein chain.

    Raises:
        DataError: The file is not a structure or is damaged, it has no chain of this name, or the chain is
            not a protein.
    """
    model = _first_model(_text(stream, name), name)
    proteins = {part.id: residues for part in model if (residues := list(_amino_acids(part)))}
    if not proteins:
        remedy = "Give the structure of a protein"
        raise DataError("no chain of this structure is a protein", where=name, remedy=remedy)
    if chain is None and len(proteins) > 1:
        what = f"there are several protein chains: {', '.join(proteins)}"
        raise DataError(what, where=name, remedy="Name one with --chain (in Python, chain=)")
    id_ = next(iter(proteins)) if chain is None else chain
    if id_ not in proteins:
        remedy = f"The protein chains are {', '.join(proteins)}"
        raise DataError(f"there is no protein chain {id_}", where=name, remedy=remedy)
    sequence = "".join(letter for letter, _ in proteins[id_])
    positions = np.array([_position(residue) for _, residue in proteins[id_]])
    found = Chain(name, id_, sequence, positions)
    if np.isnan(positions).all():
        remedy = "Contacts are measured between side chains; give a structure with all atoms"
        raise DataError("no residue has a C-beta", where=found.where, remedy=remedy)
    return found


def _text(stream: BinaryIO, name: str) -> str:
    raw = io.BufferedReader(cast(Any, stream))
    try:
        is_gzip = raw.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
        source = gzip.GzipFile(fileobj=raw) if is_gzip else raw
        content = source.read(LARGEST_BYTES + 1)
    except EOFError as error:
        raise DataError("the gzip data end too early", where=name, remedy=COPY_AGAIN) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"the gzip data are damaged ({error})", where=name, remedy=COPY_AGAIN) from error
    finally:
        raw.detach()
    if len(content) > LARGEST_BYTES:
        what = f"the structure is larger than {LARGEST_BYTES >> 20} MiB"
        raise DataError(what, where=name, remedy="Write the chain to a file of its own, and give that")
    if not content.strip():
        raise DataError("the file is empty", where=name, remedy="Give a PDB or mmCIF file")
    return content.decode("utf-8-sig", errors="replace")


def _first_model(text: str, name: str) -> "Model":
    """Return the first model, read as mmCIF if the text begins as mmCIF does, whatever the file's name, else
    as PDB.
    """
    from Bio.PDB.MMCIFParser import MMCIFParser  # slow to import, and only needed here
    from Bio.PDB.PDBExceptions import PDBConstructionException, PDBException
    from Bio.PDB.PDBParser import PDBParser

    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    is_mmcif = next(lines, "").lower().startswith("data_")
    parser: Any = MMCIFParser(QUIET=True) if is_mmcif else PDBParser(QUIET=True)
    try:
        structure = parser.get_structure("structure", io.StringIO(text))
    except (PDBException, PDBConstructionException, *DAMAGED) as error:
        kind = "an mmCIF" if is_mmcif else "a PDB"
        what = f"damaged, or not {kind} file of a structure ({error})"
        raise DataError(what, where=name, remedy=COPY_AGAIN) from error
    if not len(structure):
        what = "there are no atoms: neither ATOM lines (PDB) nor an _atom_site table (mmCIF)"
        raise DataError(what, where=name, remedy="Give a PDB or mmCIF file of a structure")
    model: Model = next(iter(structure))
    return model


def _amino_acids(residues: "Iterator[Residue]") -> Iterator[tuple[str, "Residue"]]:
    """Yield the letter and the residue for every amino acid, or residue built like one, that has a C-alpha.

    Waters, ligands and ions are left out, also a calcium ion, whose only atom is named CA.
    """
    from Bio.Data.PDBData import protein_letters_3to1_extended as letters

    for residue in residues:
        likeliest = _likeliest(residue)
        letter = letters.get(likeliest.get_resname().strip().upper(), "")
        if "CA" in likeliest and (letter or ("N" in likeliest and "C" in likeliest)):
            yield letter if len(letter) == 1 else "X", likeliest


def _likeliest(residue: "Residue") -> "Residue":
    """Return the more frequent residue where some molecules hold one residue and others hold another."""
    from Bio.PDB.Residue import DisorderedResidue

    if not isinstance(residue, DisorderedResidue):
        return residue
    alternatives: list[Residue] = residue.disordered_get_list()  # type: ignore[no-untyped-call]
    return max(alternatives, key=_occupancy)


def _occupancy(residue: "Residue") -> float:
    return max(atom.get_occupancy() or 0.0 for atom in residue.get_atoms())


def _position(residue: "Residue") -> NDArray[np.float64]:
    atom = "CA" if residue.get_resname().strip().upper() == "GLY" else "CB"
    return np.array(residue[atom].coord if atom in residue else [np.nan] * 3, np.float64)
