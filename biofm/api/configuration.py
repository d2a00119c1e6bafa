"""Reading a verb's configuration, which passes the gate like every file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from biofm.api.request import request_of
from biofm.core.configuration import Configuration, configure
from biofm.gate import ask
from biofm.policy import Verb
from biofm.training.crew import said_once
from biofm.training.folder import RECIPE

C = TypeVar("C", bound=Configuration)


@said_once()
def read_configuration(
    verb: Verb,
    kind: type[C],
    config: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
    *,
    start: C | None = None,
    resumed: str | Path | None = None,
) -> C:
    """The configuration of a verb: its defaults, or ``start``, then the TOML file ``config``, then
    ``options`` that are not None, then ``sets``, each ``name=value``. Of a run that is resumed in the folder
    ``resumed`` its own recipe stands for the file, unless one is given.

    Raises InputError, OptionError as ``biofm.core.configuration.configure`` does.
    """
    if config is None and resumed is not None and (Path(resumed) / RECIPE).is_file():
        config = Path(resumed) / RECIPE
    if config is None:
        return configure(kind, None, options or {}, sets, start=start)
    with ask(request_of(verb, reads={"config": (Path(config),)})) as permit:
        return configure(kind, permit.reader("config"), options or {}, sets, start=start)
