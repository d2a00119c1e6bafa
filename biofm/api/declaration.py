"""How a verb is declared: once, as a frozen dataclass whose fields are its options.

    @dataclass(frozen=True, slots=True)
    class Embed(Verb["EmbedSummary"]):
        input: Annotated[str | Path, Option("The sequences to embed."), Reads("input", once=True)]
        ...

    embed = verb(Embed)

From such a declaration are read the Python function with its help, the command line, the request that the
gate judges and the ledger keeps, and the estimate. A field's type and default are the option's; its
``Option`` says what it means; its effects (``biofm.policy.effects``) say what it touches. The module of a
declaration imports nothing heavy at its top: what runs is imported where it runs.
"""

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from numbers import Integral, Real
from os import PathLike, fsdecode
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Generic,
    ParamSpec,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from biofm.api.fitting import fit
from biofm.core.bounds import BOUNDS, Bound, check_bound
from biofm.core.configuration import to_toml
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import ESTIMATE, OWED, Contacts, Effect, Plain, Reads, Request, Target, Writes, is_plain

BESIDE: Mapping[str, tuple[str, ...]] = {"output": ("provenance", "work"), "run": ("joined run",)}
"""What is written together with a role: how an output was made, and the work of which it is made; the folder
of a run by the processes that join it.
"""
LONGEST = 4000
MOST = 20
"""Letters of a text, and members of a list, that a request keeps of an option."""

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


@dataclass(frozen=True, slots=True)
class Option:
    """What an option means, as a sentence for whoever gives it.

    On a command line it is spelled like the field, ``--n-steps``, or as ``flag`` says, and by the letter
    ``short``; a field without a default is given by its place unless it has one of both. ``left_out``: on a
    command line it may be left out, and is None then.
    """

    help: str
    flag: str = ""
    short: str = ""
    left_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One option of a verb, read from its declaration. ``default`` is ``MISSING`` where it has to be given.

    Where ``limits`` is not None, numbers outside of them are refused before the gate is asked.
    """

    name: str
    type: Any
    default: Any
    option: Option
    effects: tuple[Effect, ...]
    limits: Bound | None

    @property
    def is_positional(self) -> bool:
        """Whether a command line gives it by its place."""
        return self.default is MISSING and not (self.option.short or self.option.flag)

    @property
    def flag(self) -> str:
        return self.option.flag or f"--{self.name.replace('_', '-')}"


class Verb(ABC, Generic[R]):
    """What every declaration can do. Its result is an ``R``."""

    __slots__ = ()
    quiet: bool

    def __post_init__(self) -> None:
        """Hold every option to its type.

        Raises OptionError: a value is of another one.
        """
        for declared in options_of(type(self)):
            value = getattr(self, declared.name)
            if any(isinstance(effect, Reads) for effect in declared.effects):
                # What names an input file is left to its reader, which knows what else may stand there.
                fitted = tuple(value) if isinstance(value, Iterator) else value
            else:
                fitted = fit(value, declared.type, declared.flag)
            if fitted is not value:
                object.__setattr__(self, declared.name, fitted)

    @abstractmethod
    def request(self) -> Request:
        """What the gate is asked before anything is done. A recipe in a file is read for it, by a request of
        its own.

        Raises OptionError, InputError, OutputError: the options do not fit together, or to the files.
        """

    @abstractmethod
    def run(self, progress: ProgressSink = SILENT) -> R:
        """Ask the gate, and do it."""

    def perform(self) -> R:
        """``run`` with its progress on the terminal, unless ``quiet``."""
        return self.run(ProgressSink(quiet=self.quiet))

    def options(self) -> dict[str, Plain]:
        """What was asked with, by the declared names, as plain values."""
        return {declared.name: plain(getattr(self, declared.name)) for declared in options_of(type(self))}

    def asking(
        self,
        *,
        reads: Mapping[str, tuple[Path, ...]] | None = None,
        writes: Mapping[str, Target] | None = None,
        contacts: tuple[str, ...] = (),
        model: str = "",
        is_estimate: bool = False,
    ) -> Request:
        """The request of this verb, or of its estimate, with these files: its options say the rest.

        Raises OptionError: a number is outside its limits. ValueError: what is read, written or contacted is
        not what the options declare.
        """
        from biofm.api.request import request_of  # brings the gate, and so numpy

        self._hold_to_declaration(reads or {}, writes or {}, contacts)
        name, options = name_of(type(self)), self.options()
        return request_of(
            ESTIMATE if is_estimate else name,
            options={"verb": name, **options} if is_estimate else options,
            once=once_of(type(self)),
            reads=reads,
            writes=writes,
            contacts=contacts,
            model=model,
        )

    def _hold_to_declaration(
        self, reads: Mapping[str, Any], writes: Mapping[str, Any], contacts: tuple[str, ...]
    ) -> None:
        effects = [effect for one in options_of(type(self)) for effect in one.effects]
        written = {effect.role for effect in effects if isinstance(effect, Writes)}
        written.update(*(BESIDE.get(role, ()) for role in tuple(written)))
        # What a verb has written it may read, to see whether a run had ended.
        read = written | {effect.role for effect in effects if isinstance(effect, Reads)}
        for role in [*(reads.keys() - read), *(writes.keys() - written)]:
            raise ValueError(f"{name_of(type(self))}: no option declares the role {role!r}")
        if contacts and not any(isinstance(effect, Contacts) for effect in effects):
            raise ValueError(f"{name_of(type(self))}: no option declares that anyone is contacted")
        for declared in options_of(type(self)):
            if declared.limits is not None:
                check_bound(declared.name, getattr(self, declared.name), declared.flag)


def verb(declaration: Callable[P, Verb[R]]) -> Callable[P, R]:
    """The function of a declaration: the same parameters, and what ``run`` returns."""
    assert isinstance(declaration, type)
    name = name_of(declaration)

    def call(*given: P.args, **named: P.kwargs) -> R:
        try:
            asked = declaration(*given, **named)
        except TypeError as error:  # a wrong call, of what the caller knows as a function
            raise TypeError(str(error).replace(f"{declaration.__name__}.__init__()", f"{name}()")) from None
        result: R = asked.perform()
        return result

    call.__name__ = call.__qualname__ = name
    call.__module__ = declaration.__module__
    call.__doc__ = _documented(declaration)
    call.__signature__ = _signature(declaration)  # type: ignore[attr-defined]
    return call


def name_of(declaration: type[Verb[Any]]) -> str:
    """The name of the verb, as functions and commands have it."""
    return declaration.__name__.lower()


@functools.cache
def options_of(declaration: type[Verb[Any]]) -> tuple[Declared, ...]:
    """The options of a verb in the order of its parameters.

    Raises TypeError: a field has no ``Option``, names no effect, or is of a type that has to name one (a
    path, a host, code) and names ``NONE``; or there is no field ``quiet``, which ``perform`` reads.
    """
    hints = get_type_hints(declaration, include_extras=True)
    assert is_dataclass(declaration), f"{declaration} is not a dataclass"
    declared = [_declared(field, hints[field.name]) for field in fields(declaration)]
    if "quiet" not in {one.name for one in declared}:
        raise TypeError(f"{declaration.__name__}: a verb has the option quiet (biofm.api.options.Quiet)")
    places = list(inspect.signature(declaration).parameters)
    return tuple(sorted(declared, key=lambda one: places.index(one.name)))


def _declared(field: Field[Any], hint: Any) -> Declared:
    kind, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    options = [note for note in notes if isinstance(note, Option)]
    effects = tuple(note for note in notes if isinstance(note, Effect))
    if len(options) != 1:
        raise TypeError(f"{field.name}: an option has one Option")
    if not effects:
        raise TypeError(f"{field.name}: an option names its effects, or NONE")
    for part in _parts(kind):
        if part in OWED and not any(isinstance(effect, OWED[part]) for effect in effects):
            owed = " or ".join(one.__name__ for one in OWED[part])
            raise TypeError(f"{field.name}: an option of the type {kind} names what it {owed}")
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return Declared(
        name=field.name,
        type=kind,
        default=default,
        option=options[0],
        effects=effects,
        limits=BOUNDS.get(field.name),
    )


def _parts(kind: Any) -> set[Any]:
    """A type and all that it is made of."""
    return {kind}.union(*map(_parts, get_args(kind))) if get_args(kind) else {kind}


def once_of(declaration: type[Verb[Any]]) -> frozenset[str]:
    """The roles of files that the verb reads from the first byte to the last, once."""
    effects = (effect for one in options_of(declaration) for effect in one.effects)
    return frozenset(effect.role for effect in effects if isinstance(effect, Reads) and effect.once)


def plain(value: Any) -> Plain:
    """An option as requests and the ledger hold it: a text or a list that is long is cut, and of a value that
    no option can have, such as a table, only its type is kept. The ledger is no place for data.
    """
    match value:
        case bytes() | PathLike():
            return plain(fsdecode(value))
        case str():
            return value if len(value) <= LONGEST else f"{value[:LONGEST]}... ({len(value) - LONGEST:,} more)"
        case list() | tuple():
            more = (f"... ({len(value) - MOST:,} more)",) if len(value) > MOST else ()
            return (*map(plain, value[:MOST]), *more)
    if is_plain(value):
        return value  # type: ignore[no-any-return]
    if isinstance(value, Real):  # of numpy, or not finite, which JSON lacks
        number = int(value) if isinstance(value, Integral) else float(value)
        return number if is_plain(number) else str(number)
    if hasattr(type(value), "OPTIONS"):  # a recipe
        return to_toml(value)
    return f"<{type(value).__name__}>"


def _signature(declaration: type[Verb[Any]]) -> inspect.Signature:
    """The constructor's, without what is said of the options."""
    kinds = {one.name: one.type for one in options_of(declaration)}
    signature = inspect.signature(declaration)
    parameters = [one.replace(annotation=kinds[name]) for name, one in signature.parameters.items()]
    returned = inspect.signature(declaration.run).return_annotation
    return signature.replace(parameters=parameters, return_annotation=returned)


def _documented(declaration: type[Verb[Any]]) -> str:
    """The declaration's docstring, and what each option means."""
    lines = [inspect.getdoc(declaration) or "", "", "Args:"]
    for one in options_of(declaration):
        lines += _wrapped(f"{one.name}: {one.option.help}")
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    """A text in lines of at most 100 letters, indented. textwrap takes ten times as long, which every start
    of the command line would wait for.
    """
    lines = [" " * 3]
    for word in text.split():
        if len(lines[-1]) + len(word) >= 100:
            lines.append(" " * 7)
        lines[-1] += f" {word}"
    return lines
