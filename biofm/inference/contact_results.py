"""What predicting contacts from file to file gives back."""

from collections.abc import Mapping
from dataclasses import dataclass

from biofm.core.outputs import ProvenanceFields
from biofm.evaluation import ContactPrecision


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureSummary:
    """How the contacts of one protein agree with a structure.

    ``n_shown`` of its residues are in the structure, with ``n_contacts`` contacts, near ones along the chain
    left out; ``identity`` is that of the two sequences.
    """

    protein: str
    structure: str
    identity: float
    n_shown: int
    n_contacts: int
    precision: list[ContactPrecision]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsSummary:
    """What a run from file to file did; the contacts themselves are in ``output``."""

    output: str
    n_sequences: int
    n_residues: int
    n_tokens: int
    seconds: float
    tokens_per_second: float
    structure: StructureSummary | None
    dtype_reason: str
    provenance: ProvenanceFields
    notices: Mapping[str, int]
