"""Configuration: read the recipe of a training. The gate is asked for its file as for every other."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from biofm.api.inputs import path_of
from biofm.api.request import request_of
from biofm.core.configuration import Configuration, configure
from biofm.gate import ask
from biofm.training.folder import RECIPE
from biofm.training.processes import main_speaks

C = TypeVar("C", bound=Configuration)


@main_speaks()
def read_configuration(
    verb: str,
    kind: type[C],
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
    *,
    start: C | None = None,
    resumed: str | Path | None = None,
) -> C:
    """Return the recipe of a verb, put together from several places, of which later ones win.

    Args:
        verb: The verb that asks.
        kind: The type of the recipe.
        config: A TOML file of settings. None reads none, or the recipe in ``resumed``.
        settings: Settings by their names, second to last; those that are None are not counted.
        sets: Settings as ``name=value``, last.
        start: The settings to start from; None starts from the defaults.
        resumed: The folder of a run that is resumed; its recipe is read if ``config`` is None.

    Raises:
        InputError: The file is no TOML.
        OptionError: A setting is unknown, missing or out of range.
    """
    if config is None and resumed is not None and (Path(resumed) / RECIPE).is_file():
        config = Path(resumed) / RECIPE
    if config is None:
        return configure(kind, None, settings or {}, sets, start=start)
    path = path_of(config)
    options = {"verb": verb, "config": str(path)}
    request = request_of("configure", options=options, reads={"config": (path,)})
    with ask(request) as permit:
        return configure(kind, permit.reader("config"), settings or {}, sets, start=start)


def settings_of(asked: Any, kind: type[Configuration]) -> dict[str, Any]:
    """Return the options of a verb that are settings of its recipe; None means that it was not given."""
    declared = {field.name for field in fields(asked)}
    return {field.name: getattr(asked, field.name) for field in fields(kind) if field.name in declared}
