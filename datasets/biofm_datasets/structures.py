"""One protein chain of a PDB or mmCIF file: its residues, and where their side chains are."""

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
"""Bio.PDB takes thirty times the text's size in memory: two gigabytes for so much."""
COPY_AGAIN = "Copy or download it again"

# What Bio.PDB raises on files at fault besides its own exceptions, found by flipping bytes of good ones.
DAMAGED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Chain:
    """The residues of one chain that the structure shows, in the file's order.

    sequence: one letter each, the parent's of a modified residue (M of MSE), X where there is none.
    positions: (residues, 3) in Angstrom, of the C-beta, or of a glycine's C-alpha; nan where it is missing.
    """

    source: str
    id: str
    sequence: str
    positions: NDArray[np.float64]

    @property
    def where(self) -> str:
        return f"{self.source}, chain {self.id}"


def read_chain(stream: BinaryIO, name: str, chain: str | None = None) -> Chain:
    """One chain of the first model of a PDB or mmCIF file (gzip too), by the author's chain names.

    ``chain`` may be left out where the file has one protein chain only. Of alternative locations and of
    residues the likeliest counts. Raises DataError: the file is no structure or damaged, it has no such
    chain, or the chain is no protein.
    """
    model = _first_model(_text(stream, name), name)
    proteins = {part.id: residues for part in model if (residues := list(_amino_acids(part)))}
    if not proteins:
        remedy = "Give the structure of a protein"
        raise DataError("no chain of this structure is a protein", where=name, remedy=remedy)
    if chain is None and len(proteins) > 1:
        what = f"there are several protein chains: {', '.join(proteins)}"
        raise DataError(what, where=name, remedy="Say which chain is meant")
    id_ = next(iter(proteins)) if chain is None else chain
    if id_ not in proteins:
        remedy = f"The protein chains are {', '.join(proteins)}"
        raise DataError(f"there is no protein chain {id_}", where=name, remedy=remedy)
    sequence = "".join(letter for letter, _ in proteins[id_])
    positions = np.array([_position(residue) for _, residue in proteins[id_]])
    found = Chain(name, id_, sequence, positions)
    if np.isnan(positions).all():
        remedy = "Contacts are between side chains; give a structure with all atoms"
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
        raise DataError(what, where=name, remedy="Give the chain that is meant in a file of its own")
    if not content.strip():
        raise DataError("the file is empty", where=name, remedy="Give a PDB or mmCIF file")
    return content.decode("utf-8-sig", errors="replace")


def _first_model(text: str, name: str) -> "Model":
    """Read as mmCIF what begins as mmCIF does, whatever the file's name, and the rest as PDB."""
    from Bio.PDB.MMCIFParser import MMCIFParser  # slow to import, needed here alone
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
    """Letter and residue of what has a C-alpha and is, or is built like, an amino acid.

    Waters, ligands and ions fall out, a calcium too, whose one atom is a CA.
    """
    from Bio.Data.PDBData import protein_letters_3to1_extended as letters

    for residue in residues:
        likeliest = _likeliest(residue)
        letter = letters.get(likeliest.get_resname().strip().upper(), "")
        if "CA" in likeliest and (letter or ("N" in likeliest and "C" in likeliest)):
            yield letter if len(letter) == 1 else "X", likeliest


def _likeliest(residue: "Residue") -> "Residue":
    """Of a place that holds one residue in some molecules and another in others, the more frequent one."""
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
