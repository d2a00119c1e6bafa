"""Policy files: what is wrong in one is said in a sentence, and refuses everything."""

import timeit

import pytest
import yaml

from biofm.policy import Labels
from biofm.policy.files import FOLDER, SHIPPED, read_policy, shipped_text
from biofm.policy.policies import Invalid, Policy
from tests.policy.requests import TEXTS, parsed, shipped

RULES = TEXTS["research"][TEXTS["research"].index("rules:") :]
HUB = '[huggingface.co, "*.huggingface.co", "*.hf.co"]'
WHEN = "      verbs: any\n      principals: [person]\n"


def invalid(*changes: tuple[str, str], name: str = "research") -> Invalid:
    """Return what is wrong with a shipped policy after replacing parts of its text."""
    found = parsed(TEXTS[name], *changes)
    assert isinstance(found, Invalid), found
    return found


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_policy_is_sound_and_has_the_name_of_its_file(name: str) -> None:
    policy = shipped(name)
    assert (policy.name, policy.version) == (name, 1)
    assert policy.private.formats == ("dicom",)


def test_the_folder_of_shipped_policies_holds_these_alone() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.yaml" for name in SHIPPED}


@pytest.mark.parametrize("name", SHIPPED)
def test_every_truncation_of_a_policy_file_is_invalid(name: str) -> None:
    data = shipped_text(name)
    for n in range(len(data)):
        assert isinstance(read_policy(data[:n], name), Invalid), data[:n][-40:]
    assert isinstance(read_policy(data, name), Policy)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_policy_file_with_line_ends_of_windows_is_sound_and_its_truncations_are_not(name: str) -> None:
    data = shipped_text(name).replace(b"\n", b"\r\n")
    assert isinstance(read_policy(data, name), Policy)
    for n in range(len(data)):
        assert isinstance(read_policy(data[:n], name), Invalid), data[:n][-40:]


@pytest.mark.parametrize("name", SHIPPED)
def test_no_line_of_a_policy_file_can_be_left_out_but_a_condition_a_host_or_a_purpose(name: str) -> None:
    lines = TEXTS[name].splitlines(keepends=True)
    left_out = [
        line.strip()
        for i, line in enumerate(lines)
        if isinstance(parsed("".join(lines[:i] + lines[i + 1 :])), Policy) and not line.startswith("#")
    ]
    folded = [line.strip() for line in lines[lines.index("purpose: >-\n") :][1:3]]
    hosts = [line for line in left_out if line.startswith(("fetch:", "finetune:", "pretrain:"))]
    assert set(left_out) <= {"raises: [P]", "raises: [X]", "effects: [hosts]", *folded, *hosts}


@pytest.mark.parametrize(
    ("change", "where", "what", "remedy"),
    [
        (("version: 1", "version: 2"), "line 3, version", "2 is not 1", "Give 1"),
        (("version: 1", 'version: "1"'), "line 3, version", "'1' is not 1", "Give 1"),
        (("version: 1", "version: true"), "line 3, version", "true is not 1", "Give 1"),
        (("version: 1\n", ""), "line 2", "the key 'version' is missing", "Add version: 1"),
        (("sinks: []", "sinks: []\nsinks: []"), "line 21", "the key 'sinks' stands there twice", "Keep one"),
        (("sinks: []", "sink: []"), "line 20", "there is no key 'sink'", "Do you mean sinks?"),
        (("sinks: []", "sinks: {}"), "line 20, sinks", "an empty mapping is not a list", "Give"),
        (("sinks: []", "sinks:"), "line 20", "a value is missing", "Put a text into quotes"),
        (("\nkey: null", "\nkey: ledger.key"), "line 25, key", "is not an absolute path", "Give an"),
        (("\nkey: null", "\nkey: /a"), "line 2", "texts are keyed with a key, and plain", "Make"),
        (("manifest: null", "manifest: /a"), "line 2", "a manifest is named with its manifest_key", "Make"),
        (("texts: plain", "texts: keyed"), "line 2", "texts are keyed with a key", "Make them fit"),
        (("approval_s: 300", "approval_s: 0"), "approval_s", "0 is not a whole number from 1 to 86,400", ""),
        (("approval_s: 300", "approval_s: 3e2"), "line 27", "3e2 may be read as something else", "quotes"),
        (("approval_s: 300", "approval_s: true"), "approval_s", "true is not a whole number", "Give"),
        (("models: any", "models: no"), "line 21", "no may be read as something else", '"no"'),
        (("models: any", "models: None"), "models", "'None' is not any or signed", "Give any or signed"),
        (("models: any", "models: &a any"), "line 21", "anchors and aliases are not allowed", "Write"),
        (("models: any", "models: !!str any"), "line 21", "the tag tag:yaml.org,2002:str is not", "Leave"),
        (("models: any", "models: !!python/name:os.system any"), "line 21", "is not allowed", "Leave"),
        (("roots:\n", "roots: &r\n"), "line 13", "anchors and aliases are not allowed", "Write"),
        (("read: [/]", "read: [data]"), "roots.read.1", "'data' is not an absolute path", "Give"),
        (("read: [/]", "read: /"), "roots.read", "'/' is not a list, each an absolute", "Give"),
        (("read: [/]", "read: [/, /]"), "roots.read.2", "'/' stands there twice", "Keep one"),
        (("fetch: [huggingface.co", "Fetch: [huggingface.co"), "hosts", "is not the name of a verb", ""),
        (("[huggingface.co,", "[HuggingFace.co,"), "hosts.fetch.1", "is not a host in lower case", "Give"),
        (("[huggingface.co,", "[https://huggingface.co,"), "hosts.fetch.1", "is not a host", "Give"),
        (("[huggingface.co,", "['127.1',"), "hosts.fetch.1", "'127.1' is not a host", "Give"),
        (("[huggingface.co,", "['0x7f.1',"), "hosts.fetch.1", "'0x7f.1' is not a host", "Give"),
        (("[huggingface.co,", "['2130706433',"), "hosts.fetch.1", "'2130706433' is not a host", "Give"),
        (("[huggingface.co,", "['*.co',"), "hosts.fetch.1", "'*.co' is not a host", "Give"),
        (("[huggingface.co,", "[a_b.org,"), "hosts.fetch.1", "'a_b.org' is not a host", "Give"),
        (("[huggingface.co,", "['hub.lab:8443',"), "hosts.fetch.1", "without a port", "Give"),
        (("[huggingface.co,", "[xn--zzzz.org,"), "line 2", "hosts, fetch: 'xn--zzzz' in the host", "Make"),
        (("[huggingface.co,", "['0:0::1',"), "line 2", "under hosts, fetch: the address '0:0::1'", "Make"),
        ((HUB, "[]"), "hosts.fetch", "an empty list is not a list of at least", ""),
        (("      verbs: any", "      verbs: all"), "rules.1.when.verbs", "'all' is not", "Give"),
        (("      verbs: any", "      verbs: []"), "rules.1.when.verbs", "an empty list is not", "Give"),
        (("[person]", "[]"), "rules.1.when.principals", "an empty list is not a list of at least one", ""),
        (("[person]", "[person]\n      raises: [Q]"), "rules.1.when.raises", "the letters U, P, X, E", ""),
        (("[person]", "[person]\n      raises: P"), "rules.1.when.raises", "'P' is not a list", ""),
        (("[person]", "[person]\n      effects: [contacts]"), "effects.1", "'contacts' is not reads or", ""),
        (("[person]", "[person]\n      raise: [P]"), "rules.1.when", "there is no key 'raise'", "raises?"),
        (("decision: allow", "decision: Allow"), "rules.1.decision", "'Allow' is not allow or ask", "Give"),
        (("decision: allow", "decision: error"), "rules.1.decision", "'error' is not allow or ask", "Give"),
        (("Nothing needs to be done.", "nothing"), "rules.1.remedy", "'nothing' is not a sentence", "Give"),
        (("rule: a-person", "rule: [a, b]"), "rules.1.rule", "a list is not a name", "Give"),
        (("policy: research", "{}"), "line 3", "this is not YAML", "biofm policy show research"),
        (("sinks: []", "\tsinks: []"), "line 20", "this is not YAML", "biofm policy show research"),
        (("sinks: []", "sinks: [\x07]"), "the file", "this is not YAML", "biofm policy show research"),
        (("sinks: []", "1: []"), "line 20", "the key 1 is no text", "quotes"),
        (("sinks: []", "sinks: " + "[" * 20 + "]" * 20), "line 20", "nested too deeply", "Leave out"),
        (("\n...\n", "\n...\n---\na: 1\n...\n"), "the file", "there is a line ... before the last", "Keep"),
        (("\n...\n", "\n---\na: 1\n...\n"), "line 39", "a second document begins", "Keep one"),
        (("\n...\n", "\n"), "the last line", "it is not `...`", "three dots"),
        (("\n...\n", "\n..."), "the last line", "it is not `...`", "three dots"),
        ((TEXTS["research"], "# nothing\n...\n"), "line 2", "this is not YAML", "show research"),
        ((TEXTS["research"], "- a\n...\n"), "line 1", "a list is not a mapping with the keys policy", "Give"),
        ((RULES, "rules: []\n...\n"), "rules", "an empty list is not a list of at least one", "Give"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said_with_its_place_and_a_remedy(
    change: tuple[str, str], where: str, what: str, remedy: str
) -> None:
    found = invalid(change)
    assert found.source == "policy.yaml"
    assert where in found.where, found
    assert what in found.what, found
    assert remedy in found.remedy, found
    assert found.remedy


def test_two_rules_or_sinks_of_one_name_are_refused() -> None:
    rule = RULES.removeprefix("rules:\n").removesuffix("...\n")
    assert invalid((RULES, f"rules:\n{rule}{rule}...\n")).what == "two rules have the same name"
    sink = "{name: a, host: b, port: 1, verbs: [embed], content: [seg]}"
    assert invalid(("sinks: []", f"sinks: [{sink}, {sink}]")).what == "two sinks have the same name"


@pytest.mark.parametrize(
    "data", [b"", b"\xff\n...\n", b"\x00\n...\n", b"\xef\xbb\xbf...\n", b"a" * 1_000_001]
)
def test_a_file_that_is_no_text_or_too_large_is_invalid(data: bytes) -> None:
    assert isinstance(read_policy(data, "policy.yaml"), Invalid)


def test_a_file_of_many_aliases_or_of_deep_nesting_is_refused_at_once() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(1000)) + "...\n"
    deep = "a: " + "[" * 100_000 + "\n...\n"
    for text in (bomb, deep):
        assert isinstance(read_policy(text.encode(), "policy.yaml"), Invalid)


def test_a_file_is_read_alike_where_yaml_has_no_library_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name: shipped(name) for name in SHIPPED}
    assert yaml.__with_libyaml__
    monkeypatch.delattr(yaml, "CSafeLoader")
    read_policy.cache_clear()

    assert {name: shipped(name) for name in SHIPPED} == known
    assert invalid((TEXTS["research"], "# nothing\n...\n")).what.startswith("this is not YAML")
    assert invalid(("models: any", "models: &a any")).what == "anchors and aliases are not allowed"
    read_policy.cache_clear()


def test_conditions_that_are_left_out_always_hold() -> None:
    when = shipped("research").rules[0].when
    assert (when.raises, when.held, when.effects) == (Labels.NONE, Labels.NONE, ())
    assert shipped("script").rules[1].when.raises is Labels.PRIVATE


def test_a_policy_knows_every_verb_that_it_names() -> None:
    assert shipped("research").named_verbs == {"fetch", "finetune", "pretrain"}
    changes = (
        (WHEN, WHEN.replace("any", "[embed]")),
        ("verbs: []\n  screener", "verbs: [score]\n  screener"),
        ("sinks: []", "sinks: [{name: a, host: b, port: 1, verbs: [save], content: [seg]}]"),
    )
    more = {"embed", "score", "save"}
    assert shipped("research", *changes).named_verbs == {"fetch", "finetune", "pretrain"} | more


def test_a_shipped_policy_is_read_in_under_five_milliseconds() -> None:
    data = shipped_text("clinical-agent")
    times = timeit.repeat(lambda: read_policy.__wrapped__(data, "a"), number=1, repeat=20)
    assert min(times) < 5e-3
