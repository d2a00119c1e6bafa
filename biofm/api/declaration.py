"""How a verb is declared: once, as a frozen dataclass whose fields are its options.

    @dataclass(frozen=True, slots=True)
    class Embed(Verb["EmbedSummary"]):
        input: Annotated[str | Path, Option("The sequences to embed."), Reads("input", once=True)]
        ...

    embed = verb(Embed)

From this declaration come the Python function with its help, the command, the request that the gate judges
and the ledger keeps, and the estimate. A field's type and default are those of the option, its ``Option``
says what it means, and its effects (``biofm.policy.effects``) say what it touches. The module of a
declaration imports nothing heavy at its top, so that ``--help`` is quick.
"""

import functools
import inspect
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from os import PathLike
from pathlib import Path
from typing import (
    TYPE_CHECKING,
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
from biofm.api.plain_values import plain
from biofm.core.bounds import BOUNDS, Bound, check_bound
from biofm.core.errors import OptionError
from biofm.core.progress import SILENT, ProgressSink
from biofm.core.typed_json import to_plain
from biofm.policy import (
    ESTIMATE,
    OWED,
    ConnectsTo,
    Content,
    Effect,
    Plain,
    Reads,
    Request,
    RunsCode,
    Target,
    UsesDevice,
    Writes,
)

if TYPE_CHECKING:
    from biofm.gate import Permit

BESIDE: Mapping[str, tuple[str, ...]] = {"output": ("provenance", "work"), "run": ("joined run",)}
"""The roles that may be written beside a declared role: the provenance of an output and its unfinished work;
and the folder of a run, by the other processes that join it.
"""
GROUPS = ("Input", "Model", "Split", "Training", "Output", "Run")
"""The headings of a command's options, in the order of its help."""

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


@dataclass(frozen=True, slots=True)
class Option:
    """Says what an option means, and how a command line spells it.

    A field without a default and without ``flag`` or ``short`` is a positional argument.

    Attributes:
        help: What the option means, in sentences for users of the command line and of Python.
        flag: The option's name on a command line; by default ``--`` and the field's name: ``--n-steps``.
        short: The option's letter on a command line, such as ``-o``.
        left_out: Whether a command line may leave it out although it has no default; it is None then.
        metavar: What stands for the value in a command's help, such as FOLDER; by default the type decides.
        group: The heading below which a command's help lists the option, one of ``GROUPS``.
    """

    help: str
    flag: str = ""
    short: str = ""
    left_out: bool = False
    metavar: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Holds one option of a verb, read from its declaration.

    Attributes:
        name: The name of the field, which is that of the parameter in Python.
        type: The declared type of the value.
        default: The default value; ``MISSING`` where the option is required.
        option: What the option means.
        effects: What the option touches: files, hosts, devices, programs.
        limits: The smallest and largest number that is allowed; the verb refuses others before it asks the
            gate. None means no limits.
    """

    name: str
    type: Any
    default: Any
    option: Option
    effects: tuple[Effect, ...]
    limits: Bound | None

    @property
    def is_positional(self) -> bool:
        """Whether it is a positional argument of a command."""
        return self.default is MISSING and not (self.option.short or self.option.flag)

    @property
    def flag(self) -> str:
        """The name that the option has on a command line, such as ``--n-steps``."""
        return self.option.flag or f"--{self.name.replace('_', '-')}"


class Verb(ABC, Generic[R]):
    """Describes one call of a verb; every declaration inherits from it. ``R`` is the type of the result."""

    __slots__ = ()
    quiet: bool

    def __post_init__(self) -> None:
        """Convert every option to its declared type.

        Raises:
            OptionError: A value has another type, or a device has no name.
        """
        for declared in options_of(type(self)):
            value = getattr(self, declared.name)
            if any(isinstance(effect, Reads) for effect in declared.effects):
                # The reader of an input checks its path: it knows what else may stand there.
                fitted = tuple(value) if isinstance(value, Iterator) else value
            else:
                fitted = fit(value, declared.type, declared.flag)
            if any(isinstance(effect, UsesDevice) for effect in declared.effects) and fitted == "":
                remedy = "Give auto, cuda, mps or cpu, or leave it out"
                raise OptionError("no device is named", where=declared.flag, remedy=remedy)
            if fitted is not value:
                object.__setattr__(self, declared.name, fitted)

    @abstractmethod
    def request(self) -> Request:
        """Return the request that the gate judges before anything is done.

        Options that come from a recipe file are read here, by a request of their own.

        Raises:
            OptionError, InputError, OutputError: The options do not fit together, or do not fit the files.
        """

    @abstractmethod
    def run(self, progress: ProgressSink = SILENT) -> R:
        """Ask the gate, do the work, and return the result."""

    def perform(self) -> R:
        """Run the verb and show its progress on the terminal, unless ``quiet``.

        Where a policy requires confinement, the verb runs in a confined worker.
        """
        from biofm.api import confined  # brings the gate, and so numpy

        progress = ProgressSink(quiet=self.quiet)
        if confined.is_required(name_of(type(self))):
            result: R = confined.perform(name_of(type(self)), self, progress)
            return result
        return self.run(progress)

    def models_loaded(self, request: Request, permit: "Permit") -> tuple[str, ...]:
        """Return the names of the models that the verb will load.

        Args:
            request: The request of the verb.
            permit: What the gate has opened for it.
        """
        return (request.model,) if request.model else ()

    def exact_options(self) -> dict[str, Any]:
        """Return the options of this call as values that JSON holds, from which the call can be made again.

        Raises:
            OptionError: A value has another type.
        """
        made = {}
        for declared in options_of(type(self)):
            try:
                made[declared.name] = to_plain(getattr(self, declared.name))
            except TypeError as error:
                remedy = "Give a text, a number or a path"
                raise OptionError(str(error), where=declared.flag, remedy=remedy) from error
        return made

    def options(self) -> dict[str, Plain]:
        """Return the options of this call by their declared names, as plain values."""
        return {declared.name: plain(getattr(self, declared.name)) for declared in options_of(type(self))}

    def asking(
        self,
        *,
        reads: Mapping[str, tuple[Path, ...]] | None = None,
        writes: Mapping[str, Target] | None = None,
        hosts: tuple[str, ...] = (),
        model: str = "",
        is_estimate: bool = False,
    ) -> Request:
        """Return the request of this verb, or of its estimate, for these files and with these options.

        Args:
            reads: The files to read, by their roles.
            writes: The files and folders to write, by their roles.
            hosts: The hosts to contact.
            model: The name of the model.
            is_estimate: Whether this asks for the verb's estimate and not for its run.

        Raises:
            OptionError: A number is outside its limits.
            ValueError: The options do not declare what is read, written or contacted.
        """
        from biofm.api.request import request_of  # brings the gate, and so numpy

        self._check_declared(reads or {}, writes or {}, hosts)
        name, options = name_of(type(self)), self.options()
        return request_of(
            ESTIMATE if is_estimate else name,
            options={"verb": name, **options} if is_estimate else options,
            once=once_of(type(self)),
            reads=reads,
            writes=writes,
            hosts=hosts,
            sends=sends_of(type(self)) if hosts else frozenset(),
            code=self._named_by(lambda effect: isinstance(effect, RunsCode) and effect.of_caller),
            device=" ".join(self._named_by(lambda effect: isinstance(effect, UsesDevice))),
            model=model,
        )

    def _named_by(self, is_wanted: Callable[[Effect], bool]) -> tuple[str, ...]:
        """Return the names that the options with such an effect give; None and a number name nothing."""
        values = [
            getattr(self, declared.name)
            for declared in options_of(type(self))
            if any(map(is_wanted, declared.effects))
        ]
        return tuple(os.fspath(value) for value in values if isinstance(value, str | PathLike))

    def _check_declared(
        self, reads: Mapping[str, Any], writes: Mapping[str, Any], hosts: tuple[str, ...]
    ) -> None:
        """Raise ValueError for a role or host that no option declares, OptionError for a wrong number."""
        effects = [effect for one in options_of(type(self)) for effect in one.effects]
        written = {effect.role for effect in effects if isinstance(effect, Writes)}
        written.update(*(BESIDE.get(role, ()) for role in tuple(written)))
        # A verb may read what it has written, to see whether a run has ended.
        read = written | {effect.role for effect in effects if isinstance(effect, Reads)}
        for role in [*(reads.keys() - read), *(writes.keys() - written)]:
            raise ValueError(f"{name_of(type(self))}: no option declares the role {role!r}")
        if hosts and not any(isinstance(effect, ConnectsTo) for effect in effects):
            raise ValueError(f"{name_of(type(self))}: no option declares that anyone is contacted")
        for declared in options_of(type(self)):
            if declared.limits is not None:
                check_bound(declared.name, getattr(self, declared.name), declared.flag)


def verb(declaration: Callable[P, Verb[R]]) -> Callable[P, R]:
    """Return the function of a declaration, with the declaration's parameters and the result of ``run``."""
    assert isinstance(declaration, type)
    name = name_of(declaration)

    def call(*given: P.args, **named: P.kwargs) -> R:
        try:
            asked = declaration(*given, **named)
        except TypeError as error:  # the caller knows a function, and no class with an __init__
            raise TypeError(str(error).replace(f"{declaration.__name__}.__init__()", f"{name}()")) from None
        result: R = asked.perform()
        return result

    call.__name__ = call.__qualname__ = name
    call.__module__ = declaration.__module__
    call.__doc__ = _documented(declaration)
    call.__signature__ = _signature(declaration)  # type: ignore[attr-defined]
    return call


def name_of(declaration: type[Verb[Any]]) -> str:
    """Return the name of the verb, which is that of its function; its command has - for _."""
    return re.sub("(?<!^)(?=[A-Z])", "_", declaration.__name__).lower()


@functools.cache
def options_of(declaration: type[Verb[Any]]) -> tuple[Declared, ...]:
    """Return the options of a verb in the order of its parameters.

    Raises:
        TypeError: A field has no ``Option`` or no effect; or its type (a path, a host, code) needs an effect
            and the field names ``NONE``; or there is no field ``quiet``, which ``perform`` reads.
    """
    hints = get_type_hints(declaration, include_extras=True)
    assert is_dataclass(declaration), f"{declaration} is not a dataclass"
    declared = [_declared(field, hints[field.name]) for field in fields(declaration)]
    if "quiet" not in {one.name for one in declared}:
        raise TypeError(f"{declaration.__name__}: a verb has the option quiet (biofm.api.options.Quiet)")
    places = list(inspect.signature(declaration).parameters)
    return tuple(sorted(declared, key=lambda one: places.index(one.name)))


def _declared(field: Field[Any], hint: Any) -> Declared:
    """Return the option that a field declares. Raises TypeError as ``options_of`` does."""
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
            raise TypeError(f"{field.name}: an option of the type {kind} names its effect: {owed}")
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
    """Return a type and all types that it is made of."""
    return {kind}.union(*map(_parts, get_args(kind))) if get_args(kind) else {kind}


def once_of(declaration: type[Verb[Any]]) -> frozenset[str]:
    """Return the roles of files that the verb reads a single time, from the first byte to the last."""
    effects = (effect for one in options_of(declaration) for effect in one.effects)
    return frozenset(effect.role for effect in effects if isinstance(effect, Reads) and effect.once)


def sends_of(declaration: type[Verb[Any]]) -> frozenset[Content]:
    """Return what the verb may send to the machines that it contacts."""
    effects = (effect for one in options_of(declaration) for effect in one.effects)
    return frozenset().union(*(effect.sends for effect in effects if isinstance(effect, ConnectsTo)))


def _signature(declaration: type[Verb[Any]]) -> inspect.Signature:
    """Return the signature of the constructor with the plain types of the options."""
    kinds = {one.name: one.type for one in options_of(declaration)}
    signature = inspect.signature(declaration)
    parameters = [one.replace(annotation=kinds[name]) for name, one in signature.parameters.items()]
    returned = inspect.signature(declaration.run).return_annotation
    return signature.replace(parameters=parameters, return_annotation=returned)


def _documented(declaration: type[Verb[Any]]) -> str:
    """Return the declaration's docstring, with each option's meaning and limits before the errors."""
    text, _, errors = (inspect.getdoc(declaration) or "").partition("\n\nRaises:\n")
    lines = [text, "", "Args:"]
    for one in options_of(declaration):
        limits = f" {spell_limits(one.limits)}" if one.limits else ""
        lines += _wrapped(f"{one.name}: {one.option.help}{limits}")
    if errors:
        lines += ["", "Raises:", errors]
    return "\n".join(lines)


def spell_limits(limits: Bound) -> str:
    """Return the limits of a number as a sentence: ``From 1 to 1,024``."""
    least, most = (f"{one:,}" if isinstance(one, int) else f"{one:g}" for one in (limits.least, limits.most))
    return f"From {least} to {most}."


def _wrapped(text: str) -> list[str]:
    """Return a text in indented lines of at most 100 characters.

    textwrap is ten times slower, and every start of the command line waits for this.
    """
    lines = [" " * 3]
    for word in text.split():
        if len(lines[-1]) + len(word) >= 100:
            lines.append(" " * 7)
        lines[-1] += f" {word}"
    return lines
