"""Opening: the files of a model are found, downloaded if they are on the hub, and opened by the gate."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from biofm.core.errors import ModelError

if TYPE_CHECKING:
    from biofm.models import Location

A_MODEL = "a name that `biofm models` lists, a hub id, a folder, a .pt or a .pth file"


@contextmanager
def open_model(name: str, *, in_worker: bool = False) -> Iterator[tuple[dict[str, BinaryIO], str]]:
    """Open the files of a model, after downloading them if they are on the hub.

    Yields them by their names, and the path of the file or folder.

    Args:
        name: The name or the path of the model.
        in_worker: Whether a confined worker will read them, and this process only opens them.

    Raises:
        ModelError: There is no such model.
    """
    from biofm.api.request import request_of  # these bring torch
    from biofm.gate import ask
    from biofm.gate.handed import model_in_worker
    from biofm.models import files_of, locate

    if not name.strip():
        remedy = f"Give {A_MODEL}; or leave it out for the default model"
        raise ModelError("the name of the model is empty", where="--model", remedy=remedy)
    if (handed := model_in_worker(name)) is not None:
        yield handed
        return
    location = locate(name)
    path = location.path or _fetch(location)
    files = files_of(path)
    request = request_of("load", options={"model": name}, reads={"model": files}, model=name)
    with ask(request, in_worker=in_worker) as permit:
        handles = permit.readers("model")
        yield {file.name: handle for file, handle in zip(files, handles, strict=True)}, str(path)


def _fetch(location: "Location") -> Path:
    """Download the files of a model from the hub, if the policy allows it, and return their folder."""
    from biofm.api.request import request_of  # these bring torch
    from biofm.gate import ask
    from biofm.models import fetch, hosts_of_hub
    from biofm.policy import Content

    hosts = hosts_of_hub()
    sends = frozenset({Content.FREE}) if hosts else frozenset()  # the name of the model, and a user's token
    with ask(request_of("fetch", hosts=hosts, sends=sends, model=location.hub_id)) as permit:
        return fetch(location, permit.hosts)
