"""Cleans protein sequences: which characters they may hold, and how they are brought into one form."""

import re
from collections import Counter
from dataclasses import replace
from typing import Literal, get_args

from biofm_datasets.errors import DataError, NoProteinError
from biofm_datasets.records import Record
from biofm_datasets.text import MISSING

MASK = "<mask>"
"""The only token that may be spelled out inside a sequence."""

Gaps = Literal["drop", "keep", "refuse"]
"""What becomes of the gaps of an alignment, ``-`` and ``.``: they are dropped, kept as tokens, or refused as
a fault of their record.
"""

GAPS: tuple[Gaps, ...] = get_args(Gaps)
GAP_CHARACTERS = "-."
OF_MOLECULES = frozenset("()=#@[]/\\0123456789")
"""Characters that occur in SMILES and in no protein."""

UPPER_CASED = "sequences upper-cased"
INSERTS_KEPT = "sequences of an .a3m with insert states (lower case), kept as residues in upper case"
GAPS_DROPPED = "sequences whose alignment gaps (- and .) were dropped"
GAPS_KEPT = "sequences whose alignment gaps (- and .) were kept as tokens"
STOP_DROPPED = "sequences whose trailing * was dropped"
STOP_INSIDE = "sequences with a stop (*) inside, which models read as unknown"

# Letters, and "|" between chains. The quantifiers are possessive (++): with plain ones a single wrong
# character in a long sequence would cost exponential time.
_CLEAN = re.compile(r"(?:[A-Z|]++|<mask>)++")
_LEGAL = re.compile(r"(?:[A-Za-z.*|-]++|<mask>)*+")
_WITHOUT_GAPS = str.maketrans("", "", GAP_CHARACTERS)


def clean_protein(record: Record, notices: Counter[str], *, gaps: Gaps = "drop") -> Record:
    """Return a record with its sequence in upper case, without gaps and without a trailing ``*`` (stop
    codon).

    Allowed are A-Z, ``*``, the gaps ``-`` and ``.``, ``|`` between two chains, and the literal ``<mask>``,
    which keeps its case. Lower case is kept as residues, also the insert states of an ``.a3m``: they are
    residues of the sequence that the query lacks. A clean record is returned as the same object.

    Args:
        record: The record to clean.
        notices: Counts what is changed and what is odd, under phrases that people can read.
        gaps: What becomes of the gaps of an alignment: "drop", "keep" (as tokens) or "refuse".

    Raises:
        DataError: The sequence is empty, holds a character that no protein alphabet has or, if ``gaps`` is
            "refuse", a gap. The message names file, record and position (from 1).
    """
    if _CLEAN.fullmatch(record.sequence):
        return record
    _refuse_illegal(record)
    if gaps == "refuse":
        _refuse_gaps(record)
    upper = MASK.join(part.upper() for part in record.sequence.split(MASK))
    solid = upper.translate(_WITHOUT_GAPS) if gaps == "drop" else upper
    sequence = solid.removesuffix("*")
    if not sequence:
        what = "the sequence holds only gaps" if solid != upper else "the sequence is empty"
        raise DataError(what, where=record.where, remedy="Give it residues, or remove the record")
    found = {
        INSERTS_KEPT if _is_a3m(record.source) else UPPER_CASED: upper != record.sequence,
        GAPS_DROPPED: solid != upper,
        GAPS_KEPT: any(gap in solid for gap in GAP_CHARACTERS),
        STOP_DROPPED: sequence != solid,
        STOP_INSIDE: "*" in sequence,
    }
    notices.update(phrase for phrase, is_so in found.items() if is_so)
    return record if sequence == record.sequence else replace(record, sequence=sequence)


def refuse_no_protein(cell: str) -> None:
    """Raise NoProteinError if a cell of a column of whole sequences is empty or has a stop codon inside."""
    sequence = cell.strip().removesuffix("*")
    if sequence.lower() in MISSING:
        raise NoProteinError("the sequence is empty", remedy="Give it residues, or remove the row")
    if "*" in sequence:
        raise NoProteinError("the sequence has a stop codon (*) inside", remedy="Remove the row")


def count_residues(sequence: str) -> int:
    """Count the residues of a clean sequence. A mask is one residue, although it is spelled in six
    characters.
    """
    return len(sequence) - (len(MASK) - 1) * sequence.count(MASK)


def is_alignment(source: str) -> bool:
    """Return whether a file of this name is an alignment, in which lower case and gaps have their own
    meaning.
    """
    return _is_a3m(source) or source.lower().removesuffix(".gz").endswith(".afa")


def _is_a3m(source: str) -> bool:
    return source.lower().removesuffix(".gz").endswith(".a3m")


def _refuse_illegal(record: Record) -> None:
    legal = _LEGAL.match(record.sequence)
    assert legal is not None, "the pattern matches the empty string"
    if legal.end() == len(record.sequence):
        return
    if _is_number(record.sequence):
        raise _no_sequence(record)
    character = record.sequence[legal.end()]
    remedy = "Correct or remove the record (allowed: A-Z, *, gaps - and ., | between chains, and <mask>)"
    if character in OF_MOLECULES and any(map(str.isalpha, record.sequence)):
        remedy += "; if this is a molecule in SMILES, give a model that reads molecules"
    what = f"position {legal.end() + 1} holds {character!a}, which no protein alphabet has"
    raise DataError(what, where=record.where, remedy=remedy)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _no_sequence(record: Record) -> DataError:
    """Return the error for a record whose text is a number."""
    if not record.column:
        what = f"the text is a number ({record.sequence[:20]}), not a sequence"
        return DataError(what, where=record.where, remedy="Correct or remove the record")
    what = f"column {record.column!r} holds a number ({record.sequence[:20]}), not a sequence"
    remedy = "Name the column of sequences, or correct the row"
    return DataError(what, where=record.where, remedy=remedy)


def _refuse_gaps(record: Record) -> None:
    first = next((at for at, letter in enumerate(record.sequence) if letter in GAP_CHARACTERS), None)
    if first is not None:
        what = f"position {first + 1} holds {record.sequence[first]!r}, a gap of an alignment"
        remedy = "Remove the gaps: they shift the numbering of the residues after them"
        raise DataError(what, where=record.where, remedy=remedy)
