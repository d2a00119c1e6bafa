"""Parses variants of a protein, in the notations that people write.

    A24G                 a substitution, by one letter or, as in HGVS, by three: p.Ala24Gly, p.(Ala24Gly)
    A24del, A24-         a deletion; of a range: A24_T30del
    A24_T25insGP         an insertion between two neighbours
    A24_T26delinsGP      other residues in place of some
    A24dup, A24_T26dup   a duplication
    A24A, p.Ala24=       no change; of the whole protein: WT, p.=
    A24G:T30P            several, with ``:``, ``;``, ``,``, ``/``, ``+`` or a space between them

The three-letter forms are those of the HGVS recommendations for proteins, version 21
(https://hgvs-nomenclature.org/stable/recommendations/protein/substitution/, and deletion, insertion, delins,
duplication, alleles beside it). Positions count from 1.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from biofm_datasets.errors import DataError, NoProteinError
from biofm_datasets.text import MISSING

AMINO_ACIDS = {
    "Ala": "A", "Arg": "R", "Asn": "N", "Asp": "D", "Cys": "C", "Gln": "Q", "Glu": "E", "Gly": "G",
    "His": "H", "Ile": "I", "Leu": "L", "Lys": "K", "Met": "M", "Phe": "F", "Pro": "P", "Pyl": "O",
    "Sec": "U", "Ser": "S", "Thr": "T", "Trp": "W", "Tyr": "Y", "Val": "V",
}  # fmt: skip
LETTERS = frozenset(AMINO_ACIDS.values())
"""The 22 amino acids that ribosomes build in. X, B, Z and J stand for more than one."""

UNSPELT = "?"
"""Stands in a change for a residue that the notation does not spell, such as those inside ``A24_T30del``."""

VARIANT_COLUMNS = ("mutant", "variant", "mutation", "hgvs_pro")
"""The usual names of a table's column of variants, of which the first that a table has is taken."""

WILD_TYPE = ("wt", "_wt", "=", "wildtype", "wild-type")

_STOPS = ("*", "Ter", "Stop")
_RESIDUE = r"[A-Z][a-z]{2}|[A-Z*]"
_CHANGE = re.compile(rf"({_RESIDUE})([0-9]{{1,9}})(?:_({_RESIDUE})([0-9]{{1,9}}))?(.*)")
_NAMED = re.compile(rf"({_RESIDUE})([1-9][0-9]{{0,8}})")
_RESIDUES = re.compile(r"(?:[A-Z][a-z]{2})+|[A-Z*]+")
_UNSCORED = {
    re.compile(rf"(?:{_RESIDUE})[0-9]+(?:{_RESIDUE})?fs(?:(?:Ter|Stop|[*X])(?:[0-9]+|\?)?)?"): "a frameshift",
    re.compile(rf"(?:{_RESIDUE})[0-9]+(?:{_RESIDUE})?ext(?:{_RESIDUE})?(?:-?[0-9]+|\?)?"): (
        "an extension of the protein"
    ),
    re.compile(r"0\??|\?|(?:Met|M)1\?"): "an unknown consequence, or no protein",
}
_BETWEEN = re.compile(r"\s*[:;,/+]\s*|\s+")
_REFERENCE = re.compile(r"(?:[NXY]P_|ENSP|LRG_)[\w.]+(?:\([^()]*\))?:(?=p\.)")
_MOST_SHOWN = 40
_LONGEST_PROTEIN = 100_000

_NOTATION = (
    "Write A24G, A24del, A24_T30del, A24_T25insGP, A24_T26delinsGP or A24dup, or the like in HGVS "
    "(p.Ala24Gly); several with ':' between them; WT for the wild type"
)
_NO_SCORE = "no protein model can score it"
_REMOVE = "Remove the variant"


@dataclass(frozen=True, slots=True)
class Change:
    """Holds one change of a protein: the residues ``wild``, from ``position`` on, become ``mutant``.

    A substitution has one letter in each, a deletion an empty ``mutant``. An insertion holds its two
    neighbours in both. ``?`` is a residue that the notation does not spell.

    Attributes:
        position: The position of the first residue, from 1.
        wild: The residues of the protein.
        mutant: The residues in their place.
    """

    position: int
    wild: str
    mutant: str

    @property
    def stop(self) -> int:
        """The first position that is behind ``wild``."""
        return self.position + len(self.wild)


def parse_variant(text: str) -> tuple[Change, ...]:
    """Return the changes of a variant in order of position; none for the wild type itself.

    A reference in front of ``p.`` (of RefSeq, Ensembl or LRG) is ignored.

    Args:
        text: The variant, in a notation of this module.

    Raises:
        DataError: The notation is unknown, a position is 0, a letter is not an amino acid, a range runs
            backwards, an insertion stands between residues that are not neighbours, or changes overlap.
        NoProteinError: The text is empty, or it is a stop codon, a frameshift, an extension or an unknown
            consequence, which leave no protein to score.
    """
    body = _unwrap(_REFERENCE.sub("", text.strip(), count=1).removeprefix("p."))
    if body.lower() in WILD_TYPE:
        return ()
    if body.lower() in MISSING or body == "-":
        raise NoProteinError(f"variant {text!r}: the variant is empty", remedy=_NOTATION)
    parts = (_unwrap(part.removeprefix("p.")) for part in _BETWEEN.split(body))
    changes = sorted((_parse_change(part, text) for part in parts), key=lambda change: change.position)
    _refuse_overlaps(changes, text)
    return tuple(changes)


def named_residues(text: str) -> list[Change]:
    """Return the residue that each part of a variant names first, as a change into itself; stops are left
    out.

    With it, a notation that makes no protein can still be compared with one.
    """
    body = _unwrap(_REFERENCE.sub("", text.strip(), count=1).removeprefix("p."))
    found = (_NAMED.match(_unwrap(part.removeprefix("p."))) for part in _BETWEEN.split(body))
    pairs = ((AMINO_ACIDS.get(match[1], match[1]), int(match[2])) for match in found if match)
    return [Change(position, letter, letter) for letter, position in pairs if letter in LETTERS]


def _parse_change(part: str, text: str) -> Change:
    _refuse_unscored(part, text)
    matched = _CHANGE.fullmatch(part)
    if matched is None:
        raise _fault(text, "biofm does not read this notation", _NOTATION)
    first, start, last, stop, what = matched.groups()
    position, wild = int(start), _letter(first, text)
    if position == 0 or (stop and int(stop) == 0):
        raise _fault(text, "positions count from 1", "Correct the variant")
    if last is None:
        return _change(position, wild, what, text)
    n_inside = int(stop) - position - 1
    if n_inside < 0:
        raise _fault(text, "a range has its lower position first", "Correct the variant")
    if n_inside > _LONGEST_PROTEIN:
        raise _fault(
            text, f"the range spans {n_inside + 2:,} residues, more than any protein", "Correct the variant"
        )
    if what.startswith("ins") and n_inside:
        raise _fault(text, "an insertion stands between two neighbours", "Write it like A24_T25insGP")
    if _RESIDUES.fullmatch(what):
        raise _fault(text, "several residues change into others", "Write it like A24_T26delinsGP")
    return _change(position, wild + UNSPELT * n_inside + _letter(last, text), what, text)


def _change(position: int, wild: str, what: str, text: str) -> Change:
    match what:
        case "=":
            return Change(position, wild, wild)
        case "del" | "-":
            return Change(position, wild, "")
        case "dup":
            return Change(position, wild, wild + wild)
    if what.startswith("delins"):
        return Change(position, wild, _letters(what.removeprefix("delins"), text))
    if what.startswith("ins"):
        if len(wild) != 2:
            raise _fault(text, "an insertion needs both its neighbours", "Write it like A24_T25insGP")
        return Change(position, wild, wild[0] + _letters(what.removeprefix("ins"), text) + wild[1])
    mutant = _letters(what, text)
    if len(mutant) != 1:
        raise _fault(text, "one residue changes into several", "Write it like A24delinsGP")
    return Change(position, wild, mutant)


def _letters(residues: str, text: str) -> str:
    """Return one letter for each residue, from letters or from three-letter names."""
    if not _RESIDUES.fullmatch(residues):
        raise _fault(text, "biofm does not read this notation", _NOTATION)
    return "".join(_letter(residue, text) for residue in re.findall(_RESIDUE, residues))


def _letter(residue: str, text: str) -> str:
    letter = AMINO_ACIDS.get(residue, residue)
    if residue in _STOPS:
        raise _no_protein(text, "a stop codon")
    if letter not in LETTERS:
        meaning = "which stands for any amino acid or, in old notation, a stop codon"
        what = f"{residue}, {meaning}" if residue in ("X", "Xaa") else f"{residue!r} is no amino acid"
        raise _fault(text, what, "Correct or remove the variant")
    return letter


def _refuse_unscored(part: str, text: str) -> None:
    """Raise NoProteinError for known notations that no protein model can score, which else look like typing
    errors.
    """
    for notation, what in _UNSCORED.items():
        if notation.fullmatch(part):
            raise _no_protein(text, what)


def _refuse_overlaps(changes: Sequence[Change], text: str) -> None:
    for left, right in pairwise(changes):
        if left == right:
            raise _fault(text, f"the change at position {left.position} occurs twice", "Write it once")
        if right.position < left.stop:
            what = f"two changes concern position {right.position}"
            raise _fault(text, what, "Write them as one, like A24_T26delinsGP")


def _unwrap(text: str) -> str:
    """Return the text without the brackets around all of it: [] for changes on one molecule, () for predicted
    ones.
    """
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if text.startswith("(") and text.endswith(")") and "(" not in text[1:]:
        text = text[1:-1]
    return text.strip()


def _no_protein(text: str, what: str) -> NoProteinError:
    return NoProteinError(f"variant {_shown(text)!r}: this is {what}; {_NO_SCORE}", remedy=_REMOVE)


def _fault(text: str, what: str, remedy: str) -> DataError:
    if len(text) > _MOST_SHOWN and text.isalpha():
        remedy = "For a column of whole sequences give --mutated-column"
    return DataError(f"variant {_shown(text)!r}: {what}", remedy=remedy)


def _shown(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
