"""The commands ``biofm models`` and ``biofm info``, which are no verbs: they ask for nothing but what
there is.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from biofm.api import loading, options
from biofm.cli.commands import Json
from biofm.cli.printing import print_json, print_table
from biofm.core.errors import OptionError

if TYPE_CHECKING:  # they bring torch
    from biofm_kernels import Explanation

    from biofm.models import ModelInfo


def models(json: Json = False) -> None:
    """List the models that have a name. Any hub id, folder or .pt file of their families loads too."""
    names = loading.models()
    if json:
        print_json(names)
    else:
        print_table(list(names.items()), header=("model", "weights"))


def info(
    model: Annotated[str | None, Argument(help=options.MODEL, show_default=options.DEFAULT_MODEL)] = None,
    kernels: Annotated[
        bool,
        Option("--kernels", help="Print what computes each operation on this machine, and why, instead."),
    ] = False,
    device: Annotated[
        str | None,
        Option(
            help="With --kernels: the device to print it of: cuda, mps or cpu. By default it is the best."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print what a model is, read from its files; or, for every model, what computes on this machine."""
    _check_which(model, kernels, device)
    if kernels:
        _print_kernels(loading.kernels(device or "auto"), json)
    else:
        _print_model(loading.info(model or options.DEFAULT_MODEL), json)


def _check_which(model: str | None, kernels: bool, device: str | None) -> None:
    if kernels and model:
        raise OptionError("--kernels is of no model", where=model, remedy="Leave out the one or the other")
    if device and not kernels:
        raise OptionError(
            "a device is for --kernels", where="--device", remedy="Add --kernels, or leave it out"
        )


def _print_model(facts: "ModelInfo", json: bool) -> None:
    if json:
        print_json(facts)
    else:
        print_table([(name, _spell(value)) for name, value in asdict(facts).items()])


def _print_kernels(rows: "list[Explanation]", json: bool) -> None:
    if json:
        print_json([row._asdict() for row in rows])
    else:
        print_table(rows, header=tuple(name.replace("_", " ") for name in rows[0]._fields))


def _spell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
