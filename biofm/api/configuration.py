"""Reading a verb's recipe, which passes the gate like every file."""

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
    """The recipe of a verb: its defaults, or ``start``, then the TOML file ``config``, then the ``settings``
    that are not None, then ``sets``, each ``name=value``. Of a run that is resumed in the folder ``resumed``
    its own recipe stands for the file, unless one is given.

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
    """The settings of a recipe among the options of a verb; None is what was not given."""
    declared = {field.name for field in fields(asked)}
    return {field.name: getattr(asked, field.name) for field in fields(kind) if field.name in declared}
