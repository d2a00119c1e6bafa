"""The folder of a run, of pretraining and of fine-tuning alike: the names of its files, how a file is written
so that a killed run leaves no half of it, which later run may go on in the folder, and the lock that keeps a
second process out.

The lock is one of the process (``fcntl.lockf``): its data loaders do not inherit it, and it ends with the
process, however that ends. Where there are no locks (Windows, some network mounts), nobody is kept out.
"""

import csv
import errno
import json
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

from biofm_datasets.documents import load_json

from biofm.core.configuration import configure, to_toml
from biofm.core.errors import OutputError
from biofm.training.recipe import Recipe

if sys.platform != "win32":
    import fcntl

RECIPE = "recipe.toml"
RUN = "run.json"
DATA = "data"
MODEL = "model"
LOG = "metrics.csv"
EVALUATION = "evaluation.json"
CHECKPOINTS = "checkpoints"
LOCK = ".lock"

HAD_ENDED = "runs that had ended before, judged and written down once more"

FREE = {
    "n_steps", "checkpoint_every", "log_every", "n_workers", "devices", "n_nodes", "strategy", "wandb",
    "compile", "activation_checkpointing",
}  # fmt: skip
"""Settings that may change when a run is resumed: they change no number of a step."""

_CHECKPOINT = re.compile(r"step-(\d+)\.ckpt")


def begin_run(folder: Path, recipe: Recipe) -> None:
    """Write ``recipe`` into ``folder``, of a new run or of one that is resumed.

    Raises OutputError: the folder holds a run by another recipe, or files that are of no run.
    """
    file = folder / RECIPE
    if file.exists():
        with file.open("rb") as stream:
            before = configure(type(recipe), stream, {})
        names = (field.name for field in fields(recipe) if field.name not in FREE)
        refuse_other_run([name for name in names if getattr(before, name) != getattr(recipe, name)], folder)
    else:
        refuse_other_files(folder)
    write_recipe(folder, recipe)


def remember(folder: Path, facts: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
    """Write ``run.json``: ``facts`` decide the numbers of the run, as the recipe does; ``notes`` do not.

    Raises OutputError: the facts of the run that is resumed were others.
    """
    file = folder / RUN
    if file.exists():
        before = read_json(file)
        refuse_other_run([name for name in facts if before.get(name) != facts[name]], folder)
    write_json(file, {**facts, **notes})


def refuse_other_run(differing: Sequence[str], folder: Path, data: str = "data") -> None:
    """Raise OutputError if the run in ``folder`` differs from the one that is to go on there.

    ``differing``: the names of what differs. ``data``: what the user calls the data of the run.
    """
    if differing:
        what = f"this folder holds a run with another {', '.join(differing)}"
        remedy = f"Resume it with the same options and {data}, or choose a new folder"
        raise OutputError(what, where=str(folder), remedy=remedy)


def refuse_other_files(folder: Path) -> None:
    """Raise OutputError if ``folder``, in which no run was begun, holds files; hidden ones do not count."""
    if any(not path.name.startswith(".") for path in folder.iterdir()):
        what = "this folder holds files, but no run that could be resumed"
        raise OutputError(what, where=str(folder), remedy="Choose another folder")


def checkpoint_path(checkpoints: Path, step: int) -> Path:
    """Where the checkpoint of this step lies in the folder ``checkpoints``."""
    return checkpoints / f"step-{step:09}.ckpt"


def newest_step(checkpoints: Path) -> int | None:
    """The step of the newest whole checkpoint in the folder ``checkpoints``; None where there is none."""
    names = (_CHECKPOINT.fullmatch(path.name) for path in checkpoints.glob("step-*.ckpt"))
    return max((int(name[1]) for name in names if name), default=None)


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file of the run. Raises OutputError: it is damaged."""
    with path.open("rb") as stream, damage_named(path):
        content: dict[str, Any] = load_json(stream)
        if not isinstance(content, dict):
            raise ValueError("it holds no names with values")
    return content


def write_json(path: Path, content: object) -> None:
    with written_whole(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def write_recipe(folder: Path, recipe: Recipe) -> None:
    with written_whole(folder / RECIPE) as file:
        file.write(to_toml(recipe).encode())


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write, which takes the place of the one at ``path`` when the ``with`` ends well."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        yield file
    partial.replace(path)


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn the errors that reading the damaged file ``path`` of a run raises into an OutputError."""
    try:
        yield
    except (ValueError, LookupError, csv.Error) as error:
        what = f"this file of the run is damaged ({error})"
        remedy = "Copy the run's folder again, or begin a new one elsewhere"
        raise OutputError(what, where=str(path), remedy=remedy) from error


@contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Hold the lock of the run in ``folder``; of several processes that train together, the first one does.

    Raises OutputError: another process holds it.
    """
    if sys.platform == "win32":
        yield
        return
    path = folder / LOCK
    descriptor = _lock(path)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while it is held, so that it is nobody else's
        os.close(descriptor)


def _lock(path: Path) -> int:
    """Create and lock the file; returns its descriptor."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            what = f"the run's lock cannot be written ({error.strerror})"
            raise OutputError(what, where=str(path), remedy="Check the folder's permissions") from error
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise _held(path, descriptor) from error
            return descriptor  # a mount without locks
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # its holder removed it just now


def _held(path: Path, descriptor: int) -> OutputError:
    """The error that names the process which holds the lock."""
    holder = os.read(descriptor, 1000).decode(errors="replace")
    os.close(descriptor)
    what = f"another process is at work in this run ({holder or 'it has just begun'})"
    return OutputError(what, where=str(path.parent), remedy="Wait until it ends, or choose another folder")
