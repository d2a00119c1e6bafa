"""Reading the recipe of a training. Its file passes the gate like every other."""

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
    """Return the recipe of a verb. Later ones count: the defaults, or ``start``; the TOML file ``config``;
    the ``settings`` that are not None; ``sets``, each ``name=value``. A run that is resumed in the folder
    ``resumed`` takes its own recipe for ``config``, unless that is given.

    Raises InputError, OptionError as ``biofm.core.configuration.configure`` does.
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
    """Return those options of a verb that are settings of its recipe; None was not given."""
    declared = {field.name for field in fields(asked)}
    return {field.name: getattr(asked, field.name) for field in fields(kind) if field.name in declared}
