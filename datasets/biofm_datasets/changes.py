"""Variants in a protein's sequence: apply changes to it, and check and shift the numbering they are written
in.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from biofm_datasets.errors import DataError
from biofm_datasets.variants import LETTERS, UNSPELT, Change

ONE_LETTER = 1 / 20  # the probability that a random residue is the amino acid that a variant names
CHANCE = 0.1  # no offset is proposed if more than this many are expected to fit by chance


def apply(changes: Sequence[Change], wild_type: str, *, offset: int = 0) -> str:
    """Return the sequence of the variant.

    Raises:
        DataError: See ``locate``.
    """
    return splice(locate(changes, wild_type, offset=offset), wild_type)


def splice(located: Sequence[Change], wild_type: str) -> str:
    """Return the sequence of the variant whose changes come from ``locate``."""
    mutated = wild_type
    for change in reversed(located):
        mutated = mutated[: change.position - 1] + change.mutant + mutated[change.stop - 1 :]
    return mutated


def locate(changes: Sequence[Change], wild_type: str, *, offset: int = 0) -> tuple[Change, ...]:
    """Return the changes numbered from 1 in the sequence, checked against it, with every residue spelled out.

    Args:
        changes: The changes of one variant, in order of position.
        wild_type: The sequence that they change.
        offset: What the variant's numbering adds: its position p is residue p - offset. If the sequence
            begins with the residue that the variants call H24, the offset is 23. (fair-esm's script counts
            residues from 0 and takes the number of the first one: its ``--offset-idx 24`` is an offset of
            23.)

    Raises:
        DataError: A position lies outside the protein, or the protein has another residue there.
    """
    return tuple(_locate(change, wild_type, offset) for change in changes)


def changes_between(wild_type: str, mutated: str) -> tuple[Change, ...]:
    """Return the substitutions between two sequences of equal length, or one change that turns one into the
    other.

    Raises:
        DataError: A changed residue is not a single amino acid (X, B, Z, J or a gap).
    """
    if len(mutated) == len(wild_type):
        pairs = enumerate(zip(wild_type, mutated, strict=True), start=1)
        changes = tuple(Change(position, a, b) for position, (a, b) in pairs if a != b)
    else:
        changes = (_middle(wild_type, mutated),)
    for change in changes:
        if foreign := (set(change.mutant) | set(change.wild)) - LETTERS:
            what = f"{min(foreign)!r} at position {change.position} is not a single amino acid"
            raise DataError(what, remedy="Correct or remove the variant")
    return changes


def fitting_offset(variants: Iterable[Sequence[Change]], wild_type: str) -> int | None:
    """Return the only offset at which all variants name the residues of the sequence.

    Return None if no offset fits, if several fit, or if the variants name so few residues that an offset
    would fit by chance.
    """
    named = {
        (change.position + i, letter)
        for changes in variants
        for change in changes
        for i, letter in enumerate(change.wild)
        if letter != UNSPELT
    }
    if not named or len(wild_type) * ONE_LETTER ** len(named) > CHANCE:
        return None
    lowest, letter = min(named)
    highest = max(position for position, _ in named)
    places = (i for i, residue in enumerate(wild_type, start=1) if residue == letter)
    fitting = [
        lowest - place
        for place in places
        if highest - lowest + place <= len(wild_type)
        and all(wild_type[position - lowest + place - 1] == residue for position, residue in named)
    ]
    return fitting[0] if len(fitting) == 1 else None


def _locate(change: Change, wild_type: str, offset: int) -> Change:
    position = change.position - offset
    stop = position + len(change.wild)
    if position < 1 or stop > len(wild_type) + 1:
        outside = change.position if position < 1 else change.stop - 1
        what = f"position {outside} lies outside the protein, which has positions {1 + offset} to "
        raise DataError(what + str(len(wild_type) + offset))
    found = wild_type[position - 1 : stop - 1]
    for i, (named, residue) in enumerate(zip(change.wild, found, strict=True)):
        if named not in (residue, UNSPELT):
            where = f"at position {change.position + i}"
            raise DataError(f"the variant has {named} {where}, where the protein has {residue}")
    mutant = change.mutant
    if UNSPELT in mutant:  # The notation repeats residues without spelling them, as in A24_T26dup.
        mutant = found * (len(mutant) // len(found))
    return replace(change, position=position, wild=found, mutant=mutant)


def _middle(wild_type: str, mutated: str) -> Change:
    """Return the change between the longest common beginning and the longest common end."""
    shorter = min(len(wild_type), len(mutated))
    start = next((i for i in range(shorter) if wild_type[i] != mutated[i]), shorter)
    n_end = next((i for i in range(shorter - start) if wild_type[-1 - i] != mutated[-1 - i]), shorter - start)
    return Change(start + 1, wild_type[start : len(wild_type) - n_end], mutated[start : len(mutated) - n_end])
