"""Policies: what a policy file says, as dataclasses. Their annotations are the format of the file.

A key of the file has the name of its field, or the one in the field's metadata. The docstrings describe the
keys in the published schema too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Literal

from biofm.policy.hosts import HostError, parse_pattern
from biofm.policy.labels import Labels
from biofm.policy.requests import Content
from biofm.policy.typed import NO_LINE_END, Between, Filled, Fits

DNS = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# Programs take a name that ends with a number for an address.
NO_NUMBER = rf"(?!([0-9]+|0x[0-9a-f]*)${NO_LINE_END})"
OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
HOST_PATTERN = (
    rf"^((({LABEL}\.)*|\*\.({LABEL}\.)+){NO_NUMBER}{LABEL}|({OCTET}\.){{3}}{OCTET}|[0-9a-f]*:[0-9a-f]*:[0-9a-f:]*)"
    rf"${NO_LINE_END}"
)

Name = Annotated[str, Fits(rf"^[a-z0-9][a-z0-9-]{{0,63}}${NO_LINE_END}", "a name of a-z, 0-9 and -")]
VerbName = Annotated[str, Fits(rf"^[a-z][a-z0-9_]{{0,63}}${NO_LINE_END}", "the name of a verb")]
Sentence = Annotated[
    str,
    Fits(
        rf"^[A-Z][^\u0000-\u001f\u007f-\u009f\u2028\u2029]{{3,398}}\.${NO_LINE_END}",
        "a sentence of at most 400 characters, from its capital to its full stop",
    ),
]
Kind = Annotated[
    str, Fits(rf"^[a-z][a-z0-9-]{{0,63}}${NO_LINE_END}", "the kind of a principal, such as person")
]
HostName = Annotated[
    str,
    Fits(
        HOST_PATTERN, "a host in lower case and without a port, such as huggingface.co, *.hf.co or 10.0.0.5"
    ),
]
RootPath = Annotated[
    str,
    Fits(
        rf"^(/|~/|[A-Za-z]:[/\\])[^\u0000-\u001f\u007f]*${NO_LINE_END}",
        "an absolute path, or one that begins with ~/",
    ),
]
Glob = Annotated[
    str, Fits(rf"^[^/\u0000-\u001f\u007f]+${NO_LINE_END}", "a pattern of a file's name, such as *.dcm")
]
EffectWord = Literal["reads", "writes", "hosts", "code", "device"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Private:
    """Says which files hold private data.

    Attributes:
        roots: The folders below which every file does.
        names: Patterns of names of such files, in any case.
        formats: The formats that such files have.
    """

    roots: tuple[RootPath, ...]
    names: tuple[Glob, ...]
    formats: tuple[Literal["dicom"], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """Says below which folders a request may read and write.

    Attributes:
        read: The folders below which it may read.
        write: The folders below which it may write.
    """

    read: tuple[RootPath, ...]
    write: tuple[RootPath, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """Names a machine that may receive typed content without a person's approval.

    Attributes:
        name: The name of the sink.
        host: The machine.
        port: The TCP port.
        verbs: The verbs that may send to it.
        content: What it may receive.
    """

    name: Name
    host: Annotated[
        str,
        Fits(
            rf"^({DNS}(\.{DNS})*|\[[0-9a-f:.]+\])${NO_LINE_END}",
            "a host in lower case without a port or a wildcard",
        ),
    ]
    port: Annotated[int, Between(1, 65535)]
    verbs: Annotated[tuple[VerbName, ...], Filled()]
    content: Annotated[tuple[Literal["numbers", "codes", "seg", "sr"], ...], Filled()]

    def takes(self, host: str, verb: str, sends: frozenset[Content]) -> bool:
        """Return whether the sink is this host, and takes this content from this verb.

        Args:
            host: The host of a request, with its port.
            verb: The verb of the request.
            sends: What the request sends.
        """
        is_typed = all(one.value in self.content for one in sends)
        return host == f"{self.host}:{self.port}" and verb in self.verbs and bool(sends) and is_typed


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreeningWish:
    """Says which verbs need their sequences screened.

    Attributes:
        verbs: The verbs.
        screener: The name of the screener, or None if there is none; the verbs are then refused.
    """

    verbs: tuple[VerbName, ...]
    screener: Name | None


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """Holds the conditions of a rule. The rule fires where all of them hold.

    Attributes:
        verbs: The verbs, or "any".
        principals: The kinds of those who ask.
        raises: The request raises all of these labels.
        held: The holder has all of these labels already.
        effects: The request has all of these effects.
    """

    verbs: Annotated[tuple[VerbName, ...], Filled()] | Literal["any"]
    principals: Annotated[tuple[Kind, ...], Filled()]
    raises: Labels = Labels.NONE
    held: Labels = Labels.NONE
    effects: tuple[EffectWord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Gives a decision where its conditions hold.

    Attributes:
        name: The name of the rule.
        decision: The decision.
        when: The conditions.
        reason: Why the rule decides so.
        remedy: What the user can do about it.
    """

    name: Name = field(metadata={"key": "rule"})
    decision: Literal["allow", "ask", "refuse"]
    when: When
    reason: Sentence
    remedy: Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Holds what a policy file says.

    Attributes:
        name: The name of the policy.
        version: The version of the format.
        purpose: What the policy is for.
        judges: When the rule of two applies: to requests that raise E ("sending"), or also to those that
            complete the three labels otherwise ("completing").
        own_files: Whether deleting or overwriting what the holder did not make raises E ("counted") or not
            ("free").
        private: Which files hold private data.
        roots: Where requests may read and write.
        hosts: The machines that each verb may contact.
        sinks: The machines that receive typed content without approval.
        models: Whether only models that the operator has signed are loaded ("signed") or any.
        manifest: The file that lists the signed models, which `biofm policy sign` writes.
        manifest_key: The file of the key by which the signature of the manifest is checked.
        texts: Whether paths and free texts stand in the ledger as they are ("plain") or as keyed hashes
            ("keyed").
        key: The file of the key for keyed texts.
        confinement: Whether a machine that cannot confine a worker is refused ("required") or noted
            ("notice").
        approval_s: How many seconds an approval is valid.
        screening: Which verbs need their sequences screened.
        rules: The rules. The gravest decision of those that fire counts; where none fires, it is refused.
        named_verbs: All verbs that the policy names; none of them may be misspelt.
        sha256: The SHA-256 of the policy's file, by which the ledger names it; empty where it has none.
    """

    name: Name = field(metadata={"key": "policy"})
    version: Literal[1]
    purpose: Sentence
    judges: Literal["sending", "completing"]
    own_files: Literal["free", "counted"]
    private: Private
    roots: Roots
    hosts: Mapping[VerbName, Annotated[tuple[HostName, ...], Filled()]]
    sinks: tuple[Sink, ...]
    models: Literal["any", "signed"]
    manifest: RootPath | None
    manifest_key: RootPath | None
    texts: Literal["plain", "keyed"]
    key: RootPath | None
    confinement: Literal["notice", "required"]
    approval_s: Annotated[int, Between(1, 86_400)]
    screening: ScreeningWish
    rules: Annotated[tuple[Rule, ...], Filled()]
    named_verbs: frozenset[str] = field(init=False, repr=False)
    sha256: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        if (self.texts == "keyed") != (self.key is not None):
            raise ValueError("texts are keyed with a key, and plain with key: null")
        if (self.manifest is None) != (self.manifest_key is None):
            raise ValueError("a manifest is named with its manifest_key, or both are null")
        for kind, names in (("rules", self.rules), ("sinks", self.sinks)):
            if len({one.name for one in names}) < len(names):
                raise ValueError(f"two {kind} have the same name")
        for verb, hosts in self.hosts.items():
            for host in hosts:
                _check_host(verb, host)
        named = {*self.hosts, *self.screening.verbs}
        named.update(*(sink.verbs for sink in self.sinks))
        named.update(*(rule.when.verbs for rule in self.rules if rule.when.verbs != "any"))
        object.__setattr__(self, "named_verbs", frozenset(named))
        object.__setattr__(self, "hosts", MappingProxyType(dict(self.hosts)))


def _check_host(verb: str, host: str) -> None:
    """Refuse a host that is not in its only spelling: a program might take it for another one."""
    try:
        parse_pattern(host)
    except HostError as fault:
        raise ValueError(f"under hosts, {verb}: {fault}") from fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalid:
    """Stands for a policy that cannot be read. Everything is refused while it is in force.

    Attributes:
        source: The file or the name that was given.
        where: The line or the key at fault.
        what: What is wrong.
        remedy: What to do next.
    """

    source: str
    where: str
    what: str
    remedy: str
