"""Screeners are adapters: commec's JSON and sets of hashes. The sequences of these tests are made up."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from biofm.core import InputError, OptionError
from biofm.gate.screening import Candidate, HashSet, hash_of, open_screener, screen
from biofm.policy.screening import Screening, is_clear

WINDOW = 24


def made_up(seed: int, length: int, letters: str = "ACGT") -> str:
    return "".join(random.Random(seed).choices(letters, k=length))


LISTED = made_up(1, 60)


def dna(sequence: str, name: str = "a") -> Candidate:
    return Candidate(name=name, sequence=sequence, alphabet="dna")


def by_hand(window: str) -> str:
    """The hash of a window of DNA, written without biofm."""
    pairs = {"A": "T", "C": "G", "G": "C", "T": "A"}
    other = "".join(pairs[base] for base in reversed(window))
    return hashlib.sha256(sorted([window, other])[0].encode("ascii")).hexdigest()


def hashes(**changes: Any) -> bytes:
    lines = [by_hand(LISTED[place : place + WINDOW]) for place in range(len(LISTED) - WINDOW + 1)]
    header = {
        "format": "biofm-hashes", "version": 1, "alphabet": "dna", "window": WINDOW, "n": len(lines),
    } | changes  # fmt: skip
    return "\n".join([json.dumps(header), *lines, ""]).encode()


def commec(*queries: tuple[str, int, str], version: str = "0.3") -> dict[str, Any]:
    return {
        "commec_info": {"commec_version": "1.0.2", "json_output_version": version},
        "query_info": {"number_of_queries": len(queries)},
        "queries": {
            name: {
                "query": name,
                "length": length,
                "status": {"screen_status": word, "rationale": "Said by commec."},
                "hits": {},
            }
            for name, length, word in queries
        },
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the tests write a screener's file."""
    return tmp_path / "screener"


def test_a_hash_is_that_of_the_first_of_both_strands() -> None:
    for seed in range(1000):
        window = made_up(seed, WINDOW)
        assert hash_of(window, "dna").hex() == by_hand(window)
    assert hash_of("ACDEFGH", "protein") == hashlib.sha256(b"ACDEFGH").digest()


def test_a_sequence_that_shares_a_window_on_either_strand_is_flagged_and_another_one_passes() -> None:
    screener = HashSet(hashes())
    draw = random.Random(0)
    for seed in range(300):
        place, before = draw.randrange(len(LISTED) - WINDOW + 1), made_up(seed + 10, draw.randrange(50))
        part = LISTED[place : place + WINDOW]
        other = part.translate(str.maketrans("ACGT", "TGCA"))[::-1]
        for shared in (part, other, part.lower(), part.replace("T", "U")):
            assert screener.screen(dna(f"{before}{shared}GATTACA"))[0] is Screening.FLAG
        assert screener.screen(dna(made_up(seed + 1000, 200)))[0] is Screening.PASS
        changed = part[:12] + ("A" if part[12] != "A" else "C") + part[13:]
        assert screener.screen(dna(f"{before}{changed}"))[0] is Screening.PASS


def test_what_a_set_of_hashes_cannot_screen_is_incomplete() -> None:
    screener = HashSet(hashes())
    for candidate in (
        dna(LISTED[: WINDOW - 1]),
        dna(""),
        dna(made_up(5, 100) + "N"),
        Candidate(name="a", sequence="M" * 100, alphabet="protein"),
    ):
        assert screener.screen(candidate)[0] is Screening.INCOMPLETE
    outcome, reason = screener.screen(dna(f"N{LISTED}"))
    assert outcome is Screening.INCOMPLETE
    assert "37 of its windows are in the set of hashes" in reason


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}\n",
        b"[]\n",
        hashes(n=1),
        hashes(n=True),
        hashes(window=19),
        hashes(window=24.0),
        hashes(alphabet="rna"),
        hashes(alphabet=["dna"]),
        hashes(version=2),
        hashes(version=True),
        hashes(more=1),
        hashes()[:-1],
        hashes()[:-66],
        hashes() + b"\n",
        hashes().upper(),
        hashes(n=0).partition(b"\n")[0] + b"\n",
    ],
)
def test_a_damaged_set_of_hashes_is_an_error(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match="this is not a screener's file"):
        open_screener(f"hashes:{path}")


def test_every_truncation_of_a_set_of_hashes_is_an_error() -> None:
    content = hashes()
    for length in range(len(content)):
        with pytest.raises(ValueError, match=r".+"):
            HashSet(content[:length])


@pytest.mark.parametrize("version", ["0.3", "0.4"])
def test_the_outcomes_of_commec_are_read_for_each_sequence(version: str, path: Path) -> None:
    words = [outcome.value for outcome in Screening]
    path.write_text(json.dumps(commec(*((word, 60, word) for word in words), version=version)))
    screener = open_screener(f"commec:{path}")
    for outcome in Screening:
        assert screener.screen(dna(LISTED, outcome.value)) == (outcome, "Said by commec.")


@pytest.mark.parametrize(
    ("query", "outcome"),
    [
        (("a", 60, "Pass"), Screening.PASS),
        (("b", 60, "Pass"), Screening.INCOMPLETE),
        (("a", 61, "Pass"), Screening.INCOMPLETE),
        (("a", 60, "-"), Screening.INCOMPLETE),
        (("a", 60, "pass"), Screening.ERROR),
    ],
)
def test_a_report_about_another_sequence_is_no_pass(
    query: tuple[str, int, str], outcome: Screening, path: Path
) -> None:
    path.write_text(json.dumps(commec(query)))
    found = screen([dna(LISTED)], open_screener(f"commec:{path}"))
    assert found.outcome is outcome
    assert set(found.reasons) == (set() if outcome is Screening.PASS else {"a"})


def test_a_query_without_a_status_is_an_error(path: Path) -> None:
    for damage in ("status", "length"):
        report = commec(("a", 60, "Pass"))
        del report["queries"]["a"][damage]
        path.write_text(json.dumps(report))
        found = screen([dna(LISTED)], open_screener(f"commec:{path}"))
        assert (found.outcome, found.reasons) == (Screening.ERROR, {"a": f"Error: {damage} is missing"})


def test_a_damaged_report_is_an_error(path: Path) -> None:
    whole = json.dumps(commec(("a", 60, "Pass")))
    twice = whole.replace('"queries": {', '"queries": {"a": {}, ')
    wrong = [whole[:length] for length in range(len(whole))]
    wrong += [
        json.dumps(commec(version="0.2")),
        twice,
        whole.replace('queries": 1', 'queries": 2'),
        "[]",
        "null",
    ]
    for text in wrong:
        path.write_text(text)
        with pytest.raises(InputError, match="this is not a screener's file"):
            open_screener(f"commec:{path}")


def test_without_a_screener_nothing_is_clear() -> None:
    found = screen([dna(LISTED)], None)
    assert found.outcome is Screening.INCOMPLETE
    assert found.reasons == {"": "the policy wants sequences to be screened, but names no screener"}


def test_sequences_are_clear_together_only_if_each_one_is_and_has_an_id_of_its_own() -> None:
    screener = HashSet(hashes())
    harmless = [dna(made_up(seed, 100), name=str(seed)) for seed in range(5, 9)]
    assert screen(harmless, screener).outcome is Screening.PASS
    found = screen([*harmless, dna(LISTED, "bad")], screener)
    assert (found.outcome, set(found.reasons)) == (Screening.FLAG, {"bad"})
    assert not is_clear(screen([harmless[0], harmless[0]], screener).outcome)
    assert not is_clear(screen([], screener).outcome)


@pytest.mark.parametrize("setting", ["", "commec", "hashes:", "other:file", "COMMEC:file"])
def test_a_setting_that_names_no_screener_is_an_error(setting: str) -> None:
    with pytest.raises(OptionError, match="names no screener"):
        open_screener(setting)


def test_a_missing_file_of_a_screener_is_an_error(path: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_screener(f"hashes:{path}")
    assert str(caught.value) == (
        f"{path}: the screener's file cannot be read (No such file or directory). "
        "Ask the operator who supplies it"
    )
