"""Requests to the gate say who asks, which verb, and what it reads and writes, and the hosts it contacts.

A request is immutable, so that the gate opens exactly what the policy has judged. A wrong type raises
``ValueError`` instead of failing an ``assert``, because safety checks must also work under ``python -O``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

Plain = str | int | float | bool | None | tuple["Plain", ...]
"""A value that JSON can hold; its numbers are finite."""
ESTIMATE = "estimate"
"""The verb of a request that asks what another verb needs, without running it."""
UNFINISHED = ("scratch", "temporary", "journal")
"""The kinds of targets that are work in progress, from which the outputs are made."""
PERSON = "person"
"""The kind of a principal that is a person's account."""
AGENT = "agent"
"""The kind of a principal that is the account of a program which acts by itself."""
TargetKind = Literal["file", "stream", "directory", "scratch", "temporary", "journal"]


class Content(Enum):
    """Says of what kind the things are that a request sends to another machine.

    NUMBERS, CODES (words of a closed list), and the DICOM objects SEG and SR that biofm made are typed, and a
    sink of the policy may take them. FREE is everything else: texts, files, pictures, names.
    """

    NUMBERS = "numbers"
    CODES = "codes"
    SEG = "seg"
    SR = "sr"
    FREE = "free"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Says who asks.

    Attributes:
        kind: The kind of the asker: ``PERSON`` or ``AGENT``. The policy refuses kinds that it does not know.
        name: The name of the account.
    """

    kind: str
    name: str

    def __post_init__(self) -> None:
        require(bool(self.kind), "a principal needs a kind")
        require(bool(self.name), "a principal needs a name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Says what is to be written.

    Attributes:
        path: The file or folder.
        kind: A "file"; a "stream", which is standard output; a "directory" to write into; "scratch", a folder
            of unfinished work that is removed if the request succeeds and kept if it fails; "temporary", a
            folder that is removed in both cases; or a "journal", unfinished work that becomes the file
            ``path``.
        overwrite: Whether the request may replace a file, write into a folder that holds files, or discard
            unfinished work.
        resume: Whether the request may continue unfinished work. This overrides ``overwrite``.
    """

    path: Path
    kind: TargetKind = "file"
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        require(isinstance(self.path, Path), f"a target's path is a Path, not {self.path!r}")
        kinds = get_args(TargetKind)
        require(self.kind in kinds, f"a target is one of {', '.join(kinds)}, not {self.kind!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Asks the policy to allow one action. Every field is required, so that no rule can miss one in silence.

    Attributes:
        verb: The action.
        verbs: All declared verbs. The policy refuses a verb that is not among them.
        principal: Who asks.
        options: The options of the verb, by their declared names.
        reads: The files that are read, by role, such as "input". The permit gives them under the same roles.
            ``Path("-")`` is standard input.
        writes: The targets that are written, by role, such as "output".
        hosts: The machines that are contacted: host names, or ``*.`` followed by the end of host names.
        sends: What is sent to these machines. Whoever contacts a machine sends something, if only a name.
        code: The programs of the caller that are run. Programs that biofm's own verbs start, such as MMseqs2,
            are not the caller's.
        device: The processor or instrument that is used, as the caller named it; empty if there is none.
        model: The name or path of the model, only for the ledger; empty if there is none. The model's files
            are among ``reads``.
        once: The roles whose files are read once, from the first byte to the last. They may be pipes.
    """

    verb: str
    verbs: frozenset[str]
    principal: Principal
    options: Mapping[str, Plain]
    reads: Mapping[str, tuple[Path, ...]]
    writes: Mapping[str, Target]
    hosts: tuple[str, ...]
    sends: frozenset[Content]
    code: tuple[str, ...]
    device: str
    model: str
    once: frozenset[str]

    def __post_init__(self) -> None:
        require(bool(self.verb), "a request needs a verb")
        require(isinstance(self.verbs, frozenset), f"the declared verbs are a frozenset, not {self.verbs!r}")
        require(isinstance(self.once, frozenset), f"the roles read once are a frozenset, not {self.once!r}")
        for name, value in self.options.items():
            require(isinstance(name, str), f"the name of an option is a str, not {name!r}")
            require(is_plain(value), f"the option {name!r} is a plain value, not {value!r}")
        require(isinstance(self.model, str), f"the name of a model is a str, not {self.model!r}")
        require(isinstance(self.device, str), f"the name of a device is a str, not {self.device!r}")
        for role, paths in self.reads.items():
            require(isinstance(paths, tuple), f"the reads of {role!r} are a tuple of Paths, not {paths!r}")
            for path in paths:
                require(isinstance(path, Path), f"the reads of {role!r} are Paths, not {path!r}")
        for role, target in self.writes.items():
            require(isinstance(target, Target), f"the write of {role!r} is a Target, not {target!r}")
        self._check_effects()
        # Read-only copies are kept, because the caller's dictionaries may change after the verdict.
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))
        object.__setattr__(self, "reads", MappingProxyType(dict(self.reads)))
        object.__setattr__(self, "writes", MappingProxyType(dict(self.writes)))

    def _check_effects(self) -> None:
        """Raise ValueError if what the request contacts, sends or runs does not fit its type."""
        for name, plural in (("hosts", "host names"), ("code", "names of programs")):
            words = getattr(self, name)
            is_sound = isinstance(words, tuple) and all(isinstance(word, str) for word in words)
            require(is_sound, f"{name} is a tuple of {plural}, not {words!r}")
        is_set = isinstance(self.sends, frozenset)
        is_sound = is_set and {type(one) for one in self.sends} <= {Content}
        require(is_sound, f"sends is a frozenset of Content, not {self.sends!r}")
        what = "a request that contacts machines says what it sends, and one that sends says to whom"
        require(bool(self.hosts) == bool(self.sends), what)


def is_plain(value: object) -> bool:
    """Return whether a value can be an option of a request.

    Args:
        value: Any object.
    """
    if isinstance(value, tuple):
        return all(map(is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int | bool)


def require(condition: bool, message: str) -> None:
    """Raise ValueError with this message unless the condition holds, also under ``python -O``."""
    if not condition:
        raise ValueError(message)
