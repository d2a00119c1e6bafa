"""``biofm models`` and ``biofm info``."""

from dataclasses import asdict
from typing import Annotated

from typer import Argument

from biofm.cli import options
from biofm.cli.printing import print_json, print_table


def models(json: options.Json = False) -> None:
    """List the models that have a name. Any hub id, folder or .pt file of their families loads too."""
    from biofm import api  # brings torch: not before a command runs

    names = api.models()
    if json:
        print_json(names)
    else:
        print_table(list(names.items()), header=("model", "weights"))


def info(
    model: Annotated[str, Argument(help=options.MODEL_HELP)] = "protein-nano", json: options.Json = False
) -> None:
    """Print what a model is, read from its files."""
    from biofm import api  # brings torch: not before a command runs

    facts = api.info(model)
    if json:
        print_json(facts)
    else:
        print_table([(name, _spell(value)) for name, value in asdict(facts).items()])


def _spell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
