"""The published JSON schema accepts and refuses what the reader does, as far as a schema can."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from biofm.policy.accounts import Accounts
from biofm.policy.documents import DocumentError, Node, read_yaml
from biofm.policy.files import SHIPPED
from biofm.policy.policies import Policy
from biofm.policy.schema import accounts_schema, policy_schema
from biofm.policy.typed import build
from tests.policy.requests import TEXTS

ROOT = Path(__file__).resolve().parents[2]
VALIDATOR = jsonschema.Draft202012Validator(policy_schema())
SINK = {"name": "pacs", "host": "10.0.0.5", "port": 104, "verbs": ["embed"], "content": ["seg", "sr"]}
RULE = {
    "rule": "a", "decision": "allow", "when": {"verbs": "any", "principals": ["person"]},
    "reason": "It is so.", "remedy": "Do it.",
}  # fmt: skip
HOSTS = [
    "a", "*.a", "*", "*.", "a.*", "a..b", "-a", "a-", "a_b", "A", "a:1", "a:0", "a:", "a:99999", "a:999999",
    "[::1]", "[::1]:1", "::1", "1.2.3.4", "a/b", "u@a", "a.", "a\n", " a", "xn--a", "é.fr",
]  # fmt: skip
ADDED: dict[tuple[str, ...], list[Any]] = {
    ("policy",): ["a", "", "A", "a b", "a\n", "a" * 64, "a" * 65],
    ("purpose",): ["It is.", "it is.", "It is", "It is.\n", "A\u2028 b.", f"I{398 * 't'}.", f"I{399 * 't'}."],
    ("key",): ["/a", "~/a", "~a", "a", "", "C:\\a", "C:a", "/a\n"],
    ("approval_s",): [1, 86_400, 86_401, -1],
    ("hosts",): [{"fetch": ["a"]}, {"fetch": []}, {"Fetch": ["a"]}, {"fetch": "a"}, {"run-program": ["a.b"]}],
    ("hosts", "fetch"): [["a", "a"], *([host] for host in HOSTS)],
    ("sinks",): [
        [SINK], [SINK | {"port": 0}], [SINK | {"port": 65536}], [SINK | {"host": "a:1"}],
        [SINK | {"host": "*.a"}], [SINK | {"content": ["free"]}], [SINK | {"content": []}],
        [SINK | {"verbs": []}], [SINK | {"more": 1}], [SINK | {"content": ["seg", "seg"]}],
        [{name: value for name, value in SINK.items() if name != "port"}],
    ],
    ("private", "names"): [["*"], ["a/b"], [""], ["a\n"], ["*.dcm", "*.dcm"]],
    ("private", "formats"): [[], ["dicom"], ["nifti"]],
    ("roots", "read"): [[], ["/a", "~/b"], ["/a", "/a"], ["a"]],
    ("screening", "verbs"): [["embed"], ["Embed"]],
    ("screening", "screener"): ["commec", "", "Commec"],
    ("rules",): [
        [], [RULE], [RULE | {"decision": "error"}], [RULE | {"when": {}}], [RULE | {"reason": "so"}],
        [{name: value for name, value in RULE.items() if name != "remedy"}],
    ],
}  # fmt: skip
WHEN: list[dict[str, Any]] = [
    {"verbs": ["embed"]}, {"verbs": []}, {"verbs": "all"}, {"verbs": ["any"]}, {"verbs": "embed"},
    {"principals": []}, {"principals": "person"}, {"principals": ["Person"]}, {"raises": ["P", "X"]},
    {"raises": ["P", "P"]}, {"raises": ["Q"]}, {"raises": "P"}, {"held": []}, {"held": ["U"]},
    {"effects": ["reads", "code", "device"]}, {"effects": ["contacts"]}, {"effects": "reads"}, {"if": "so"},
]  # fmt: skip
JUNK = [None, True, False, 0, 1, -1, "", "a", "any", [], {}, ["a"], [None], {"a": "b"}, [["a"]]]


def node_of(value: Any) -> Node:
    """Return a plain value as a node."""
    if isinstance(value, list):
        return Node([node_of(one) for one in value], 1)
    if isinstance(value, dict):
        return Node({name: node_of(one) for name, one in value.items()}, 1)
    return Node(value, 1)


def is_read(document: Any, kind: type = Policy) -> bool:
    """Return whether the reader accepts a document."""
    try:
        build(kind, node_of(document))
    except DocumentError:
        return False
    return True


def plain(name: str) -> dict[str, Any]:
    """Return a shipped policy as JSON would hold it."""
    return dict(read_yaml(TEXTS[name].encode()).plain())


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the place of every value in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(place for key, one in inner for place in places(one, (*above, key)))]


def changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Return a document with another value at a place."""
    if not place:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[place[0]] = changed(document[place[0]] if len(place) > 1 else None, place[1:], value)
    return copy


def assert_agreed(document: Any) -> bool:
    """Check that schema and reader agree about a document, and return whether they accept it."""
    is_valid = VALIDATOR.is_valid(document)
    assert is_read(document) == is_valid, (
        document,
        [error.message for error in VALIDATOR.iter_errors(document)],
    )
    return is_valid


def test_the_schema_is_a_schema_and_describes_every_key() -> None:
    schema = policy_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert all(len(one["description"]) > 10 for one in schema["properties"].values())


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_policy_fits_the_schema(name: str) -> None:
    assert assert_agreed(plain(name))


@pytest.mark.parametrize("name", SHIPPED)
def test_schema_and_reader_agree_about_a_wrong_value_at_every_place(name: str) -> None:
    document, n_refused = plain(name), 0
    for place in places(document):
        for value in JUNK:
            n_refused += not assert_agreed(changed(document, place, value))
    assert n_refused > 500


@pytest.mark.parametrize("name", SHIPPED)
def test_schema_and_reader_agree_about_a_missing_and_an_unknown_key_at_every_place(name: str) -> None:
    document = plain(name)
    for place in places(document):
        inner = document
        for key in place:
            inner = inner[key]
        if isinstance(inner, dict):
            assert_agreed(changed(document, place, inner | {"more": 1}))
            for key in inner:
                assert_agreed(changed(document, place, {k: v for k, v in inner.items() if k != key}))


def test_schema_and_reader_agree_about_values_at_the_limits() -> None:
    document = changed(plain("research"), ("texts",), "keyed") | {"key": "/a"}
    counts = {True: 0, False: 0}
    for place, values in ADDED.items():
        for value in values:
            counts[assert_agreed(changed(document, place, value))] += 1
    for when in WHEN:
        rule = RULE | {"when": RULE["when"] | when}  # type: ignore[operator]
        counts[assert_agreed(changed(document, ("rules",), [rule]))] += 1
    assert min(counts.values()) > 25, counts


def test_schema_and_reader_agree_about_files_of_accounts() -> None:
    schema = accounts_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    names = [
        "root", "uid 1", "uid ", "uid 12345678901", "a b", "", "a:b", "a/b", "LAB\\eve", "a@b.c", "a\n", "é",
    ]  # fmt: skip
    words = [*SHIPPED, "scripts", "/a", "/", "a/b", "~/a", "/a\n", ""]
    document = {"accounts": {"root": "script"}, "others": "research"}
    documents: list[Any] = [
        *({"accounts": {name: "script"}, "others": "script"} for name in names),
        *({"accounts": {"root": word}, "others": "script"} for word in words),
        *({"accounts": {}, "others": word} for word in words),
        *(changed(document, place, value) for place in places(document) for value in JUNK),
        *({key: value} for key, value in document.items()),
        *(document | {"agents": value} for value in (*([name] for name in names), ["root", "root"], *JUNK)),
        *(document | {"ledgers": value} for value in (None, *words, *JUNK)),
        document | {"policy": "a"},
    ]
    counts = {True: 0, False: 0}
    for one in documents:
        assert is_read(one, Accounts) == validator.is_valid(one), one
        counts[validator.is_valid(one)] += 1
    assert min(counts.values()) > 10, counts


@pytest.mark.parametrize(("name", "schema"), [("policy", policy_schema()), ("accounts", accounts_schema())])
def test_the_published_schema_is_the_one_that_biofm_prints(name: str, schema: dict[str, Any]) -> None:
    published = ROOT / "docs" / f"{name}.schema.json"
    assert json.loads(published.read_text(encoding="utf-8")) == schema
