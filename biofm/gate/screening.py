"""Screeners: what looks for sequences of concern before a sequence is generated or exported.

biofm ships no list of hazards, because such a list would itself be one. An operator supplies a screener:

- ``commec:FILE``: the JSON file that the program commec wrote about these sequences (format 0.3 or 0.4);
- ``hashes:FILE``: a set of hashed windows. Its first line is JSON that states its method, such as
  ``{"format": "biofm-hashes", "version": 1, "alphabet": "dna", "window": 50, "n": 1000}``. Each further line
  is the SHA-256, in lower-case hexadecimals, of one window in capital letters. Of DNA, both strands count: a
  window stands for itself and its reverse complement, and the one that comes first in the alphabet is hashed.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from biofm_datasets.documents import parse_json

from biofm.core.errors import InputError, OptionError
from biofm.policy.screening import Screening, gravest, outcome_of

COMMEC_FORMATS = ("0.3", "0.4")
LETTERS = {"dna": "ACGT", "protein": "ACDEFGHIKLMNPQRSTVWY"}
HEADER = {"format": "biofm-hashes", "version": 1}
SHORTEST = {"dna": 20, "protein": 6}
"""The shortest window of a set: shorter ones are found in almost every sequence."""
SHA256 = re.compile(rb"[0-9a-f]{64}")
COMPLEMENT = str.maketrans("ACGT", "TGCA")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Holds a sequence to be screened.

    Attributes:
        name: Its id, which no other sequence of the request has.
        sequence: Its letters.
        alphabet: What they stand for, dna or protein.
    """

    name: str
    sequence: str
    alphabet: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """Holds what a screener found.

    Attributes:
        outcome: The outcome of all sequences together.
        reasons: For each sequence that is not clear its id and why, for the user.
    """

    outcome: Screening
    reasons: Mapping[str, str]


class Screener(Protocol):
    """Says for one sequence what the screening found, and why."""

    def screen(self, candidate: Candidate) -> tuple[Screening, str]:
        """Return the outcome of one sequence, and a clause that says why.

        Args:
            candidate: The sequence.
        """


def screen(candidates: Sequence[Candidate], screener: Screener | None) -> Screened:
    """Return what a screener finds in sequences; ``INCOMPLETE`` without a screener.

    Args:
        candidates: The sequences.
        screener: The screener that the policy names; None if it names none.
    """
    if screener is None:
        reason = "the policy wants sequences to be screened, but names no screener"
        return Screened(outcome=Screening.INCOMPLETE, reasons={"": reason})
    n_named = Counter(candidate.name for candidate in candidates)
    outcomes, reasons = [], {}
    for candidate in candidates:
        outcome, reason = screener.screen(candidate)
        if n_named[candidate.name] > 1:
            outcome, reason = Screening.INCOMPLETE, "several sequences have this id"
        outcomes.append(outcome)
        if outcome is not Screening.PASS:
            reasons[candidate.name] = f"{outcome.value}: {reason}"
    return Screened(outcome=gravest(outcomes), reasons=reasons)


def open_screener(setting: str) -> Screener:
    """Return the screener that a policy names.

    Args:
        setting: ``commec:FILE`` or ``hashes:FILE``.

    Raises:
        OptionError: The setting names no kind of screener that biofm knows.
        InputError: The file cannot be read, or is not what the setting says.
    """
    kind, _, name = setting.partition(":")
    if kind not in OPENERS or not name:
        what = f"{setting!r} names no screener"
        remedy = "Write commec:FILE or hashes:FILE"
        raise OptionError(what, where="the policy, screening, screener", remedy=remedy)
    path = Path(name)
    try:
        content = path.read_bytes()
    except OSError as error:
        remedy = "Ask the operator who supplies it"
        raise InputError(
            f"the screener's file cannot be read ({error.strerror})", where=str(path), remedy=remedy
        ) from error
    try:
        return OPENERS[kind](content)
    except ValueError as error:
        what, remedy = f"this is not a screener's file ({error})", "Ask the operator who supplies it"
        raise InputError(what, where=str(path), remedy=remedy) from error


class CommecReport:
    """Reads the outcomes of sequences from the JSON file of commec.

    A sequence is recognised by its id and length; commec's file does not hold more.

    Args:
        content: The bytes of the file.

    Raises:
        ValueError: It is not such a file.
    """

    def __init__(self, content: bytes) -> None:
        parsed = parse_json(content, strict=True)
        version = _part(_part(parsed, "commec_info"), "json_output_version")
        if version not in COMMEC_FORMATS:
            raise ValueError(f"its format is {version!r}, and not {' or '.join(COMMEC_FORMATS)}")
        self._queries = _part(parsed, "queries")
        if not isinstance(self._queries, dict):
            raise ValueError("its queries are not an object")
        n_queries = _part(_part(parsed, "query_info"), "number_of_queries")
        if n_queries != len(self._queries):
            raise ValueError(f"it announces {n_queries!r} queries and holds {len(self._queries)}")

    def screen(self, candidate: Candidate) -> tuple[Screening, str]:
        """Return the outcome of one sequence, and a clause that says why."""
        query = self._queries.get(candidate.name)
        if query is None:
            return Screening.INCOMPLETE, "commec has not screened it"
        try:
            length, status = _part(query, "length"), _part(query, "status")
            outcome = outcome_of(_part(status, "screen_status"))
        except ValueError as error:
            return Screening.ERROR, str(error)
        if length != len(candidate.sequence):
            return Screening.INCOMPLETE, "commec has screened a sequence of another length under this id"
        return outcome, str(status.get("rationale", "commec gives no reason"))


class HashSet:
    """Finds windows of sequences in a set of hashes.

    Args:
        content: The bytes of the file.

    Raises:
        ValueError: It is not such a file.
    """

    def __init__(self, content: bytes) -> None:
        first, _, rest = content.partition(b"\n")
        header = parse_json(first, strict=True)
        if not isinstance(header, dict) or header.keys() != {*HEADER, "alphabet", "window", "n"}:
            raise ValueError("its first line has not exactly the keys alphabet, format, n, version, window")
        if any(type(header[key]) is not type(value) or header[key] != value for key, value in HEADER.items()):
            raise ValueError("its format is not biofm-hashes, version 1")
        self.alphabet, self.window = header["alphabet"], header["window"]
        if not isinstance(self.alphabet, str) or self.alphabet not in LETTERS:
            raise ValueError(f"its alphabet is {self.alphabet!r}, and not {' or '.join(LETTERS)}")
        if type(self.window) is not int or self.window < SHORTEST[self.alphabet]:
            raise ValueError(f"its window is not a number from {SHORTEST[self.alphabet]}")
        lines = rest.splitlines()
        if not lines or type(header["n"]) is not int or header["n"] != len(lines) or not rest.endswith(b"\n"):
            raise ValueError(f"it announces {header['n']!r} hashes and holds {len(lines):,}")
        if not all(map(SHA256.fullmatch, lines)):
            raise ValueError("a line is not a SHA-256 in lower-case hexadecimals")
        self._hashes = frozenset(map(bytes.fromhex, map(bytes.decode, lines)))

    def screen(self, candidate: Candidate) -> tuple[Screening, str]:
        """Return the outcome of one sequence, and a clause that says why."""
        if candidate.alphabet != self.alphabet:
            return (
                Screening.INCOMPLETE,
                f"it is {candidate.alphabet}, and the set of hashes is of {self.alphabet}",
            )
        sequence = candidate.sequence.upper()
        if self.alphabet == "dna":
            sequence = sequence.replace("U", "T")
        if len(sequence) < self.window:
            return Screening.INCOMPLETE, f"it is shorter than the {self.window} letters of a window"
        places = [
            place
            for place in range(len(sequence) - self.window + 1)
            if hash_of(sequence[place : place + self.window], self.alphabet) in self._hashes
        ]
        found = f"{len(places):,} of its windows are in the set of hashes" if places else ""
        if set(sequence) - set(LETTERS[self.alphabet]):
            unknown = "it holds letters that do not stand for one base or residue"
            return Screening.INCOMPLETE, f"{unknown}; {found}" if found else unknown
        return (Screening.FLAG, found) if places else (Screening.PASS, "no window is in the set of hashes")


OPENERS: Mapping[str, Callable[[bytes], Screener]] = {"commec": CommecReport, "hashes": HashSet}
"""The kinds of screeners, by the word that a policy begins with."""


def hash_of(window: str, alphabet: str) -> bytes:
    """Return the hash of one window, as a set of hashes holds it.

    Args:
        window: The letters of the window, in capital letters; T and not U.
        alphabet: dna, of which both strands count, or protein.
    """
    import hashlib  # It loads a library that `biofm --help` does not need.

    if alphabet == "dna":
        window = min(window, window.translate(COMPLEMENT)[::-1])
    return hashlib.sha256(window.encode()).digest()


def _part(value: Any, key: str) -> Any:
    if not isinstance(value, dict) or key not in value:
        raise ValueError(f"{key} is missing")
    return value[key]
