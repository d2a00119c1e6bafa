"""``load``, the names that it knows, and what a model is."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from biofm.api.options import DEFAULT_MODEL

if TYPE_CHECKING:
    from biofm_kernels import Explanation

    from biofm.api.model import Model
    from biofm.models import Checkpoint, Location, ModelInfo


def load(model: str | Path = DEFAULT_MODEL, *, device: str = "auto", dtype: str = "auto") -> "Model":
    """Load a model: a bundled one, an alias such as ``esm2-8m``, a hub id, a Hugging Face folder, a ``.pt``
    file of fair-esm or a ``.pth`` file of esm.

    Raises ModelError: no such model, or its files are damaged, incomplete or not plain weights. OptionError:
    no such device.
    """
    from biofm.api.model import Model  # these bring torch
    from biofm.inference import choose_compute
    from biofm.models import read_checkpoint

    compute = choose_compute(device, dtype)
    with _open_model(str(model)) as (files, where):
        checkpoint = read_checkpoint(files, where)
        return Model(checkpoint, compute, _describe(str(model), checkpoint, files))


def model_for(model: str | Path | None, modality: str | None, file: str | Path) -> str | Path:
    """Return the named model or, without a name, the default model of the modality that a file holds.

    Raises OptionError: no such modality, or the file is of another one.
    """
    from biofm.models import modality_named  # brings torch

    return modality_named(modality, [file]).default_model if model is None else model


def info(model: str | Path = DEFAULT_MODEL) -> "ModelInfo":
    """Return what a model is, read from its files. Raises as ``load`` does."""
    from biofm.models import read_checkpoint  # brings torch

    with _open_model(str(model)) as (files, where):
        return _describe(str(model), read_checkpoint(files, where), files)


def models() -> dict[str, str]:
    """Return the names that ``load`` knows, each with the place that its weights come from."""
    from biofm.models import HUB_IDS, bundled_models  # bring torch

    return dict.fromkeys(bundled_models(), "bundled with biofm") | HUB_IDS


def kernels(device: str = "auto") -> "list[Explanation]":
    """Return for each operation of the kernels what computes it on this device, and why.

    Raises OptionError: there is no such device here.
    """
    from biofm_kernels import explain  # these bring torch

    from biofm.inference import choose_compute

    return explain(choose_compute(device, "auto").device)


@contextmanager
def _open_model(name: str) -> Iterator[tuple[dict[str, BinaryIO], str]]:
    """Open the files of a model, after downloading them if they are on the hub. Yields them by their names,
    and the path where they lie.
    """
    from biofm.api.request import request_of  # these bring torch
    from biofm.gate import ask
    from biofm.models import files_of, locate

    location = locate(name)
    path = location.path or _fetch(location)
    files = files_of(path)
    request = request_of("load", options={"model": name}, reads={"model": files}, model=name)
    with ask(request) as permit:
        handles = permit.readers("model")
        yield {file.name: handle for file, handle in zip(files, handles, strict=True)}, str(path)


def _fetch(location: "Location") -> Path:
    from biofm.api.request import request_of  # these bring torch
    from biofm.gate import ask
    from biofm.models import fetch, hosts_of_hub

    with ask(request_of("fetch", contacts=hosts_of_hub(), model=location.hub_id)):
        return fetch(location)


def _describe(name: str, checkpoint: "Checkpoint", files: Mapping[str, BinaryIO]) -> "ModelInfo":
    from biofm.core import sha256_of  # these bring numpy and torch
    from biofm.models import describe

    weights = [handle for file, handle in files.items() if not file.endswith(".json")]
    return describe(name, checkpoint, sha256_of(weights), tuple(files))
