"""Rows of an assay's table: the variant, the whole sequence and the label of a row are read and compared."""

from collections import Counter
from typing import NamedTuple

from biofm_datasets import Change, DataError, Record, parse_variant
from biofm_datasets.changes import apply, changes_between, locate, splice
from biofm_datasets.protein import refuse_no_protein

from biofm.modalities import Modality

DISAGREE = "rows whose variant and whose whole sequence disagree, in the residues or in their numbering"

LABELS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


class AssayRow(NamedTuple):
    """Holds a variant as its changes and as its whole sequence, and whether a column calls it positive.

    A field is None if neither the row nor the wild type tells it.
    """

    changes: tuple[Change, ...] | None
    sequence: str | None
    is_positive: bool | None


def read_row(
    variant: str | None,
    whole: str | None,
    label: str | None,
    *,
    modality: Modality,
    insists: bool,
    wild_type: str | None,
    notices: Counter[str],
) -> AssayRow:
    """Read the cells of a row: a variant, a ``whole`` sequence and a label. A cell is None if no column was
    named for it.

    With the wild type, the changes follow from the sequence and the sequence from the changes.

    Raises:
        DataError: A cell cannot be read, or does not fit the wild type.
        NoProteinError: The variant makes no protein.
    """
    changes = None if variant is None else parse_variant(variant)
    sequence = None if whole is None else _read_sequence(whole, modality, notices, insists=insists)
    if wild_type is not None and changes is not None:
        changes = _locate(changes, wild_type)
        sequence = sequence or apply(changes, wild_type)
    elif wild_type is not None and sequence is not None:
        changes = changes_between(wild_type, sequence)
    if variant is not None and whole is not None and not _agree(changes or (), sequence or "", wild_type):
        notices[DISAGREE] += 1
    return AssayRow(changes, sequence, None if label is None else _read_label(label))


def _read_sequence(cell: str, modality: Modality, notices: Counter[str], *, insists: bool) -> str:
    if modality.has_variants:  # a variant with a stop codon makes no protein
        refuse_no_protein(cell)
    record = Record("", "".join(cell.split()))
    return modality.accept(record, notices, gaps="refuse", insists=insists).sequence


def _agree(changes: tuple[Change, ...], sequence: str, wild_type: str | None) -> bool:
    """Return whether a variant turns the wild type into this sequence. Without a wild type, check only that
    the sequence holds the new residues of substitutions.
    """
    if wild_type is not None:
        return splice(changes, wild_type) == sequence
    if any(len(change.wild) != len(change.mutant) for change in changes):
        return True
    return all(sequence[change.position - 1 : change.stop - 1] == change.mutant for change in changes)


def _locate(changes: tuple[Change, ...], wild_type: str) -> tuple[Change, ...]:
    try:
        return locate(changes, wild_type)
    except DataError as fault:
        remedy = "Correct one of them; without --wild-type the variants themselves tell the wild type"
        raise DataError(fault.what, remedy=remedy) from fault


def _read_label(cell: str) -> bool:
    if cell.lower() not in LABELS:
        raise DataError(f"{cell!r} is neither 0 nor 1", remedy="--binary-column holds 0 and 1 alone")
    return LABELS[cell.lower()]
