"""Finds the files of a model by its name, and decides which of them are read."""

import os
from dataclasses import dataclass
from pathlib import Path

from biofm.core.errors import ModelError
from biofm.models.families import HUB_IDS

BUNDLED = Path(__file__).parent / "bundled"

# The names of weights beside a config.json, in order of preference.
WEIGHTS = (("model", "safetensors"), ("pytorch_model", "bin"))

# fair-esm publishes the contact head of NAME.pt in a file of its own beside it.
CONTACT_REGRESSION = "-contact-regression.pt"

# The place of an ESM C, which has no config.json, in the repositories of the esm package.
ESM_PACKAGE_WEIGHTS = "data/weights/esmc_*.pth"

LONE_FILES = (".pt", ".pth")


@dataclass(frozen=True, slots=True)
class Location:
    """Says where a model is: in files on this machine, or in a repository on the hub.

    Attributes:
        name: The name that the user gave.
        path: The folder or file; None if the model is on the hub.
        hub_id: The id of the repository on the hub; empty if the model is on this machine.
    """

    name: str
    path: Path | None = None
    hub_id: str = ""


def locate(name: str) -> Location:
    """Return what a name means: a bundled model, an alias of a published one, a path, or a hub id
    ``owner/name``.

    Args:
        name: The name that the user gave.

    Raises:
        ModelError: The name is none of these.
    """
    path = Path(name)
    if name in bundled_models():
        return Location(name, path=BUNDLED / name)
    if name in HUB_IDS:
        return Location(name, hub_id=HUB_IDS[name])
    if os.path.exists(name):  # Path.exists would raise for a name that no file system accepts.
        return Location(name, path=path)
    if _is_hidden(name):
        raise ModelError(
            "this account may not look into a folder above it",
            where=name,
            remedy="Ask for the right to enter the folders of the path (ls -ld shows them), or copy it",
        )
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and path.suffix not in LONE_FILES:
        return Location(name, hub_id=name)
    known = ", ".join((*bundled_models(), *HUB_IDS))
    raise ModelError(
        "no such model",
        where=name,
        remedy=f"Give one of {known}; or a folder, a .pt or .pth file, or a hub id owner/name",
    )


def _is_hidden(name: str) -> bool:
    """Return whether a folder that may not be entered keeps secret whether there is such a path."""
    try:
        os.stat(name)
    except PermissionError:
        return True
    except (OSError, ValueError):  # There is none, or no file system accepts the name.
        pass
    return False


def bundled_models() -> tuple[str, ...]:
    """Return the names of the models that come with biofm."""
    return tuple(sorted(folder.name for folder in BUNDLED.iterdir() if folder.is_dir()))


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files of the checkpoint at ``path``; safetensors are preferred to pickles.

    They are a fair-esm ``.pt``, with its contact head if that is beside it, an esm ``.pth``, or a folder's
    configuration and weights.

    Args:
        path: The file or folder.

    Raises:
        ModelError: There are no such files.
    """
    if path.is_file():
        if path.suffix not in LONE_FILES:
            remedy = "Give the folder that holds config.json and the weights, or a .pt or .pth file"
            raise ModelError("not a checkpoint that biofm knows", where=str(path), remedy=remedy)
        regression = path.with_name(path.stem + CONTACT_REGRESSION)
        return (path, regression) if regression.is_file() else (path,)
    settings, weights = path / "config.json", _weights_in(path)
    if settings.is_file() and weights:
        return (settings, *weights)
    match sorted(path.glob(ESM_PACKAGE_WEIGHTS)):
        case [weights_alone]:
            return (weights_alone,)
        case [_, *_]:
            raise ModelError("the folder has several .pth files", where=str(path), remedy="Give one of them")
    if not settings.is_file():
        raise ModelError("the folder has no config.json", where=str(path), remedy="Give a model folder")
    what = "the folder has neither model.safetensors nor pytorch_model.bin"
    raise ModelError(what, where=str(path), remedy="Download the weights as well")


def _weights_in(folder: Path) -> tuple[Path, ...]:
    """Return the preferred weights beside a ``config.json``; if they are sharded, the index comes first."""
    for stem, suffix in WEIGHTS:
        whole = folder / f"{stem}.{suffix}"
        index = folder / f"{stem}.{suffix}.index.json"
        if index.is_file():
            return (index, *sorted(folder.glob(f"{stem}-*-of-*.{suffix}")))
        if whole.is_file():
            return (whole,)
    return ()
