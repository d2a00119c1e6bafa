"""The commands ``biofm models`` and ``biofm info``, which only show what there is and are no verbs."""

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
    """List the models that have a short name. Hub ids, folders and .pt files of their families load too."""
    names = loading.models()
    if json:
        print_json(names)
    else:
        print_table(list(names.items()), header=("model", "weights"))


def info(
    model: Annotated[
        str | None,
        Argument(help=f"Describe this model: {options.A_MODEL}.", show_default=options.DEFAULT_MODEL),
    ] = None,
    kernels: Annotated[
        bool,
        Option(
            "--kernels",
            help="Print instead which code computes each operation on this machine, and why.",
            metavar="",
        ),
    ] = False,
    device: Annotated[
        str | None,
        Option(
            help="With --kernels, print it for this device: cuda, mps or cpu. By default it is the best one.",
            metavar="DEVICE",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Describe a model, or the code that computes on this machine."""
    _check_which(model, kernels, device)
    if kernels:
        _print_kernels(loading.kernels("auto" if device is None else device), json)
    else:
        _print_model(loading.info(options.DEFAULT_MODEL if model is None else model), json)


def _check_which(model: str | None, kernels: bool, device: str | None) -> None:
    """Raise OptionError for options that do not fit together."""
    if kernels and model:
        what = "--kernels is about the machine, not about a model"
        raise OptionError(what, where=model, remedy="Leave out the model or --kernels")
    if device is not None and not kernels:
        what = "a device is only for --kernels"
        raise OptionError(what, where="--device", remedy="Add --kernels, or leave it out")


def _print_model(facts: "ModelInfo", json: bool) -> None:
    if json:
        print_json(facts)
    else:
        print_table([(name, _format_fact(value)) for name, value in asdict(facts).items()])


def _print_kernels(rows: "list[Explanation]", json: bool) -> None:
    if json:
        print_json([row._asdict() for row in rows])
    else:
        print_table(rows, header=tuple(name.replace("_", " ") for name in rows[0]._fields))


def _format_fact(value: object) -> str:
    """Return a fact of a model as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
