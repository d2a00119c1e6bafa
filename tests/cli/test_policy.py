"""The commands of ``biofm policy``, and ``--policy`` and BIOFM_POLICY before the other commands."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biofm.cli.policy import NAMES
from biofm.policy import Labels
from biofm.policy.files import SHIPPED, shipped_text
from biofm.policy.schema import accounts_schema, policy_schema
from biofm.policy.typed import spell
from tests.cli.conftest import Outcome
from tests.policy.requests import asking, found

Run = Callable[..., Outcome]
CASE = {
    "request": spell(asking(verb="fetch", hosts=("huggingface.co",), reads={"input": (Path("a.dcm"),)})),
    "evidence": spell(found(inputs={"input": Labels.PRIVATE}, held=Labels.UNTRUSTED)),
}


@pytest.fixture(autouse=True)
def _no_policy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state_folder: Path) -> None:
    """Have no policy named, and give the test a ledger of its own: labels of other tests would stay."""
    monkeypatch.delenv("BIOFM_POLICY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """Return the file of a request with its evidence."""
    (tmp_path / "request.json").write_text(json.dumps(CASE), encoding="utf-8")
    return tmp_path / "request.json"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_policy_is_printed_as_it_is_and_passes_its_check(
    name: str, biofm: Run, tmp_path: Path
) -> None:
    shown = biofm("policy", "show", name)
    assert (shown.status, shown.out.encode()) == (0, shipped_text(name))
    (tmp_path / "mine.yaml").write_text(shown.out, encoding="utf-8")

    for word in (name, tmp_path / "mine.yaml"):
        outcome = biofm("policy", "check", word)
        assert outcome.status == 0, outcome.err
        assert [line.split()[0] for line in outcome.out.splitlines()[:2]] == ["policy", "rules"]
        assert outcome.out.split()[1] == name


def test_the_check_says_which_places_of_a_policy_are_not_there(biofm: Run, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    text = (
        shipped_text("clinical-agent")
        .decode()
        .replace("  roots: []", f"  roots: [{tmp_path}/private, {tmp_path}/privat]")
    )
    (tmp_path / "mine.yaml").write_text(text.replace("read: [/]", f"read: [{tmp_path}/gone]"))
    shown = [
        " ".join(line.split()) for line in biofm("policy", "check", tmp_path / "mine.yaml").out.splitlines()
    ]
    assert f"private folder {tmp_path}/private" in shown
    assert f"private folder {tmp_path}/privat: not there, so that nothing is private by it" in shown
    assert f"reads below {tmp_path}/gone: not there, so that nothing is read there" in shown
    assert "manifest none, so that no model is loaded" in shown


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "policy: research\n",
            ["mine.yaml, the last line: it is not `...`", "three dots"],
        ),
        (
            shipped_text("research").decode().replace("models: any", "models: yes"),
            ["mine.yaml, line 21: yes may be read as something else than a text. Put a text into quotes"],
        ),
        (
            shipped_text("research").decode().replace("fetch:", "fech:"),
            ["it names fech, and there is no such verb. The verbs are configure, contacts"],
        ),
    ],
)
def test_a_wrong_policy_is_refused_in_one_line_with_its_place(
    text: str, parts: list[str], biofm: Run, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    biofm("policy", "check", tmp_path / "mine.yaml").check_refusal(parts)


def test_an_unknown_policy_is_refused_with_the_names_that_there_are(biofm: Run) -> None:
    biofm("policy", "show", "scripts").check_refusal(["scripts: no such policy", "research, script"])
    biofm("policy", "check", "scripts").check_refusal(["no policy has this name", "research, script"])


def test_the_help_names_every_policy_that_comes_with_biofm() -> None:
    assert ", ".join(SHIPPED) == NAMES


def test_the_schema_is_printed(biofm: Run) -> None:
    assert json.loads(biofm("policy", "schema").out) == policy_schema()
    assert json.loads(biofm("policy", "schema", "--accounts").out) == accounts_schema()


def test_a_file_of_accounts_is_checked_with_the_policies_that_it_names(biofm: Run, tmp_path: Path) -> None:
    lab = tmp_path / "lab.yaml"
    lab.write_bytes(shipped_text("research"))
    file = tmp_path / "system.yaml"
    file.write_text(
        f'accounts:\n  root: {lab}\n  no-such-account: script\n  "uid 54321": script\nothers: research\n'
        "agents: [daemon, no-such-account]\nledgers: /var/lib/biofm\n...\n"
    )
    outcome = biofm("policy", "check", file)
    assert outcome.status == 0, outcome.err
    table, last = outcome.out.split("\n\n")
    assert last == "ledgers: /var/lib/biofm, each in a folder with the name of its account\n"
    assert [line.split() for line in table.splitlines()] == [
        ["account", "policy", "asks", "as", "on", "this", "machine"],
        ["daemon", "research", "agent", "yes"],
        ["no-such-account", "script", "agent", "no"],
        ["root", str(lab), "person", "yes"],
        ["uid", "54321", "script", "person", "yes"],
        ["all", "others", "research", "person"],
    ]
    assert (
        "no account no-such-account; if a name is misspelt, who was meant has the policy of all"
        in outcome.err
    )
    lab.write_bytes(shipped_text("research")[:-1])
    biofm("policy", "check", file).check_refusal(["lab.yaml, the last line: it is not `...`", "three dots"])


def test_a_request_is_explained_by_every_rule_that_fires_and_nothing_is_run(
    biofm: Run, case: Path, state_folder: Path
) -> None:
    outcome = biofm("policy", "explain", case)
    assert outcome.status == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["decision", "rule", "reason"]
    assert lines[1].startswith("ask       research: the rule of two")
    assert lines[2].startswith("allow     research: a-person")
    assert lines[-1] == "verdict: ask, by research: the rule of two (held: U, raised: PE, sends: free)"
    assert list(state_folder.iterdir()) == []


def test_a_request_is_explained_by_another_policy_and_as_json(biofm: Run, case: Path) -> None:
    outcome = biofm("policy", "explain", case, "--policy", "script", "--json")
    told = json.loads(outcome.out)
    assert told["decision"] == "refuse"
    assert [one["rule"] for one in told["fired"]] == [
        "script: the rule of two",
        "script: a closed list of hosts for each verb",
        "script: public-data",
        "script: no-private-data",
        "script: no-network",
    ]
    by_root = biofm("--policy", "script", "policy", "explain", case, "--json")
    assert json.loads(by_root.out) == told


def test_the_verbs_of_a_request_are_those_of_biofm_unless_it_names_others(biofm: Run, case: Path) -> None:
    request = {key: value for key, value in CASE["request"].items() if key != "verbs"}
    case.write_text(json.dumps(CASE | {"request": request}), encoding="utf-8")
    assert "verdict: ask" in biofm("policy", "explain", case).out


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{}", "the file: the key 'request' is missing"),
        ("[]", "the file: an empty list is not a mapping with the keys request, evidence"),
        ("{", "line 1: this is not JSON"),
        ('{"request": {"verb": "embed"}, "evidence": {}}', "request: the key 'principal' is missing"),
        (
            '{"request": {}, "request": {}}',
            "the file: this is not JSON (the key 'request' stands there twice)",
        ),
    ],
)
def test_a_request_that_is_not_well_formed_is_refused(
    text: str, part: str, biofm: Run, tmp_path: Path
) -> None:
    (tmp_path / "request.json").write_text(text, encoding="utf-8")
    biofm("policy", "explain", tmp_path / "request.json").check_refusal([f"request.json, {part}"])


def test_every_policy_that_is_named_counts(biofm: Run, state_folder: Path) -> None:
    words = ["--policy", "script", "--policy", "research", "policy", "rights", "--json"]
    assert json.loads(biofm(*words).out)["policies"] == ["script", "research"]


def test_the_card_says_which_two_of_the_three_and_why_not_the_third(biofm: Run, state_folder: Path) -> None:
    assert biofm("policy", "rights").out.splitlines()[1:] == [
        "policies  research",
        "holds     no label",
        "P         private data is open",
        "X         execution of a caller's code is open",
        "E         external communication is open",
        "Of P, X and E a holder may have two; the third is then refused.",
    ]
    lines = biofm("policy", "rights", "--held", "PX").out.splitlines()
    assert lines[2] == "holds     PX"
    assert lines[-1] == "This holder has P and X; E is refused, because no one has all three."
    told = json.loads(biofm("--policy", "script", "policy", "rights", "--json").out)
    assert [one["standing"] for one in told["rights"]] == ["refused", "open", "refused"]
    biofm("policy", "rights", "--held", "Q").check_refusal(["--held: 'Q' is no label", "U, P, X, E"])


def test_a_session_begun_within_another_names_it_and_ends_without_a_person(
    biofm: Run, state_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = biofm("policy", "begin").out.strip()
    child = biofm("--session", parent, "policy", "begin").out.strip()
    monkeypatch.setenv("BIOFM_SESSION", child)

    assert biofm("policy", "rights").out.splitlines()[3] == f"session   {child}, within {parent}"
    assert json.loads(biofm("policy", "rights", "--json").out)["parent"] == parent
    assert f"opened the session {parent}/" in biofm("audit", "show").out
    biofm("policy", "begin").check_refusal([f"{child} is within another session", f"within {parent}"])
    assert biofm("policy", "reset", "--session", child).out == "1 session ended.\n"
    biofm("policy", "begin").check_refusal([f"{child!r} is no open session"])


@pytest.mark.parametrize("is_option", [True, False])
def test_a_command_is_judged_by_the_policy_that_is_named_before_it_or_in_the_variable(
    is_option: bool, biofm: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scan.dcm").write_text(">a\nMKTAYIAK\n", encoding="utf-8")
    words: list[Any] = ["perplexity", tmp_path / "scan.dcm", "-o", tmp_path / "a.csv", "--format", "fasta"]
    if is_option:
        words = ["--policy", "script", *words]
    else:
        monkeypatch.setenv("BIOFM_POLICY", "script")
    biofm(*words).check_refusal(
        ["perplexity: the policy does not allow this (rule 'script: no-private-data')"]
    )
    assert not (tmp_path / "a.csv").exists()
    monkeypatch.delenv("BIOFM_POLICY", raising=False)
    assert biofm(*words[-6:]).status == 0, "the option of one command does not hold for the next"


def test_a_policy_that_cannot_be_read_refuses_every_command_but_its_check(
    biofm: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_bytes(shipped_text("research")[:-1])
    (tmp_path / "a.fasta").write_text(">a\nMKTAYIAK\n", encoding="utf-8")
    monkeypatch.setenv("BIOFM_POLICY", str(tmp_path / "mine.yaml"))
    words = ["perplexity", tmp_path / "a.fasta", "-o", tmp_path / "a.csv"]
    biofm(*words).check_refusal(["everything is refused", "mine.yaml, the last line", "three dots"])
    assert biofm("policy", "check", "research").status == 0
    assert biofm("policy", "rights").status == 0
