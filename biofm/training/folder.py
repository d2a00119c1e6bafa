"""The folder of a run: the names of its files, how they are written, which run may resume, and the lock.

A file gets its name only when it is complete, so a killed run leaves no half of it. The lock keeps a second
process out. It belongs to the process (``fcntl.lockf``): data loaders do not inherit it, and it ends with the
process. Where the system has no locks (Windows, some network mounts), it keeps nobody out.
"""

import csv
import errno
import json
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

from biofm_datasets.documents import load_json

from biofm.core.configuration import configure, option_of, to_toml
from biofm.core.errors import InputError, MissingExtraError, ModelError, OptionError, OutputError
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

HAD_ENDED = "The run was complete before, and was only evaluated and written again."

FREE = {
    "n_steps", "checkpoint_every", "log_every", "n_workers", "devices", "n_nodes", "strategy", "wandb",
    "compile", "activation_checkpointing",
}  # fmt: skip
"""Settings that may change when a run is resumed: no loss and no weight depends on them."""

FACTS = {
    "encoder": "the model (--size or --start-from)",
    "start_sha256": "the weights of --start-from",
    "data_sha256": "the data",
}
"""What the user calls the facts of a pretraining that ``run.json`` holds."""

REFUSALS = (InputError, MissingExtraError, ModelError, OptionError)

_CHECKPOINT = re.compile(r"step-(\d+)\.ckpt")


def begin_run(folder: Path, recipe: Recipe) -> None:
    """Write ``recipe`` into the folder of a run that starts or is resumed.

    Raises:
        OutputError: The folder holds a run with another recipe, or files that belong to no run.
        OptionError: The run there has made more steps than the recipe has.
    """
    file = folder / RECIPE
    if file.exists():
        with file.open("rb") as stream:
            before = configure(type(recipe), stream, {})
        names = (field.name for field in fields(recipe) if field.name not in FREE)
        differing = [name for name in names if getattr(before, name) != getattr(recipe, name)]
        refuse_other_run([option_of(type(recipe), name) for name in differing], folder)
        _refuse_fewer_steps(folder, recipe)
    else:
        refuse_other_files(folder)
    write_recipe(folder, recipe)


def _refuse_fewer_steps(folder: Path, recipe: Recipe) -> None:
    """Raise OptionError if the run in ``folder`` has made more steps than ``recipe`` has: none is undone."""
    n_made = newest_step(folder / CHECKPOINTS) or 0
    if n_made > recipe.n_steps:
        what = f"the run in {folder} has already made {n_made:,} steps, more than {recipe.n_steps:,}"
        remedy = f"Give --steps {n_made} to judge it as it is, more to train on, or choose another folder"
        raise OptionError(what, where="--steps", remedy=remedy)


@contextmanager
def removed_if_refused(folder: Path) -> Iterator[None]:
    """Remove the recipe and the data that the ``with`` wrote, if an input, model or option is refused there.

    Nothing is removed from a folder that held anything before, such as a run that is resumed.
    """
    was_empty = not any(not path.name.startswith(".") for path in folder.iterdir())
    try:
        yield
    except REFUSALS:
        if was_empty:
            for name in (RECIPE, RUN):
                (folder / name).unlink(missing_ok=True)
            shutil.rmtree(folder / DATA, ignore_errors=True)
        raise


@contextmanager
def removed_if_left_empty(folder: Path) -> Iterator[None]:
    """Remove the folder after an error in the ``with``, if it was made in there and holds nothing."""
    was_there = os.path.lexists(folder)
    try:
        yield
    except Exception:
        if not was_there and folder.is_dir():
            with suppress(OSError):
                folder.rmdir()
        raise


def refuse_used(folder: Path) -> None:
    """Raise OutputError if ``folder`` holds anything, so that no run is overwritten; say what it holds."""
    if not any(folder.glob("*")):
        return
    what = "the folder is not empty, and holds no run that could be resumed"
    remedy = "Choose an empty or a new folder"
    if has_run(folder):
        is_finished = (folder / EVALUATION).exists()
        what = f"there is {'a finished' if is_finished else 'an unfinished'} run here"
        remedy = "Pass --resume to continue it, or choose another folder"
    raise OutputError(what, where=str(folder), remedy=remedy)


def has_run(folder: Path) -> bool:
    """Return whether ``folder`` holds a run, which ``--resume`` would continue."""
    return (folder / RECIPE).exists()


def steps_before(folder: Path) -> int | None:
    """Return how many steps the run in ``folder`` has saved, or None if ``folder`` holds no run."""
    return (newest_step(folder / CHECKPOINTS) or 0) if has_run(folder) else None


def remember(folder: Path, facts: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
    """Write ``run.json``.

    Args:
        folder: The folder of the run.
        facts: What decides the numbers of the run, as the recipe does.
        notes: What does not decide them.

    Raises:
        OutputError: The run that is resumed had other facts.
    """
    file = folder / RUN
    if file.exists():
        before = read_json(file)
        differing = [name for name in facts if before.get(name) != facts[name]]
        refuse_other_run([FACTS.get(name, name) for name in differing], folder)
    write_json(file, {**facts, **notes})


def refuse_other_run(differing: Sequence[str], folder: Path, data: str = "data") -> None:
    """Raise OutputError if the run in ``folder`` differs from the one that shall resume there.

    Args:
        differing: What differs, as the user gives it, such as "--seed"; nothing raises no error.
        folder: The folder of the run.
        data: The user's word for the data of the run.
    """
    if differing:
        what = f"this folder holds a run that differs in {', '.join(differing)}"
        remedy = f"Resume it with the same options and {data}, or choose a new folder"
        raise OutputError(what, where=str(folder), remedy=remedy)


def refuse_other_files(folder: Path) -> None:
    """Raise OutputError if ``folder``, which holds no run, has files in it. Hidden files do not count."""
    if any(not path.name.startswith(".") for path in folder.iterdir()):
        what = "this folder holds files, but no run that could be resumed"
        raise OutputError(what, where=str(folder), remedy="Choose an empty or a new folder")


def checkpoint_path(checkpoints: Path, step: int) -> Path:
    """Return the path of the checkpoint of this step in the folder ``checkpoints``."""
    return checkpoints / f"step-{step:09}.ckpt"


def newest_step(checkpoints: Path) -> int | None:
    """Return the step of the newest complete checkpoint in the folder ``checkpoints``, or None."""
    names = (_CHECKPOINT.fullmatch(path.name) for path in checkpoints.glob("step-*.ckpt"))
    return max((int(name[1]) for name in names if name), default=None)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of the run.

    Raises:
        OutputError: The file is damaged.
    """
    with path.open("rb") as stream, damage_named(path):
        content: dict[str, Any] = load_json(stream)
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
    return content


def write_json(path: Path, content: object) -> None:
    with written_whole(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def write_recipe(folder: Path, recipe: Recipe) -> None:
    with written_whole(folder / RECIPE) as file:
        file.write(to_toml(recipe).encode())


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write, which replaces the one at ``path`` when the ``with`` ends without an error."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        yield file
    partial.replace(path)


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn an error that reading the damaged file ``path`` of a run raises into an OutputError."""
    try:
        yield
    except (ValueError, LookupError, csv.Error) as error:
        what = f"this file of the run is damaged ({error})"
        remedy = "Copy the run's folder again, or start the run in another folder"
        raise OutputError(what, where=str(path), remedy=remedy) from error


@contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Hold the lock of the run in ``folder`` within the ``with``.

    Of several processes that train together, only the first one holds it.

    Raises:
        OutputError: Another process holds the lock.
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
            path.unlink()  # before the lock is released: later it may be another process's file
        os.close(descriptor)


def _lock(path: Path) -> int:
    """Create and lock the file, and return its descriptor."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            what = f"the run's lock file cannot be written ({error.strerror})"
            raise OutputError(what, where=str(path), remedy="Check the folder's permissions") from error
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise _held(path, descriptor) from error
            return descriptor  # this mount has no locks
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # its holder has just removed the file, so this lock keeps nobody out


def _held(path: Path, descriptor: int) -> OutputError:
    """Return the error that names the process which holds the lock."""
    holder = os.read(descriptor, 1000).decode(errors="replace")
    os.close(descriptor)
    what = f"another process is at work on this run ({holder or 'it has just started'})"
    return OutputError(what, where=str(path.parent), remedy="Wait until it ends, or choose another folder")
