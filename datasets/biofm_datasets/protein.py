"""What a protein sequence may hold, and how it is put in order."""

import re
from collections import Counter
from dataclasses import replace

from biofm_datasets.errors import DataError
from biofm_datasets.records import Record

MASK = "<mask>"
"""The one token that may be spelled out inside a sequence."""

UPPER_CASED = "sequences upper-cased"
STOP_DROPPED = "sequences whose trailing * was dropped"

# Letters, the stop codon "*", the alignment gaps "-" and ".", and "|" between chains. The quantifiers are
# possessive (++): with plain ones a single wrong character in a long sequence would cost exponential time.
_CLEAN = re.compile(r"(?:[A-Z.*|-]++|<mask>)++(?<!\*)")
_LEGAL = re.compile(r"(?:[A-Za-z.*|-]++|<mask>)*+")


def clean_protein(record: Record, notices: Counter[str]) -> Record:
    """Put one record's sequence into upper case and drop one trailing ``*`` (a translated stop codon).

    Allowed are A-Z, ``*``, the gaps ``-`` and ``.``, ``|`` between two chains, and the literal ``<mask>``,
    which keeps its case. What is changed is counted in ``notices`` under a phrase a person can read. A
    record that is already in order comes back as the same object.

    Raises DataError, naming file, record and 1-based position, for an empty sequence and for a character
    that no protein alphabet has.
    """
    if _CLEAN.fullmatch(record.sequence):
        return record
    _refuse_illegal(record)
    upper = MASK.join(part.upper() for part in record.sequence.split(MASK))
    sequence = upper.removesuffix("*")
    if not sequence:
        raise DataError(
            "the sequence is empty", where=record.where, remedy="Give it residues, or remove the record"
        )
    if upper != record.sequence:
        notices[UPPER_CASED] += 1
    if sequence != upper:
        notices[STOP_DROPPED] += 1
    return replace(record, sequence=sequence)


def count_residues(sequence: str) -> int:
    """How many residues a clean sequence has: a mask is one, spelled in six characters."""
    return len(sequence) - (len(MASK) - 1) * sequence.count(MASK)


def _refuse_illegal(record: Record) -> None:
    legal = _LEGAL.match(record.sequence)
    assert legal is not None, "the pattern matches the empty string"
    if legal.end() == len(record.sequence):
        return
    character = record.sequence[legal.end()]
    raise DataError(
        f"position {legal.end() + 1} holds {character!a}, which no protein alphabet has",
        where=record.where,
        remedy="Correct or remove the record (allowed: A-Z, *, gaps - and ., | between chains, and <mask>)",
    )
