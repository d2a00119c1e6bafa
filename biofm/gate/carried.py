"""Carried labels: what is made from labelled files has their labels, and states them where it can.

A verb may start another one, as ``embed`` starts ``load``. What is private about the files of the inner one
is then private about the outputs of the outer one too.
"""

import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from biofm.core.labels import OF_FOLDER, documents_of_labels, stated_labels
from biofm.core.provenance import LABELS
from biofm.gate.inputs import open_without_waiting
from biofm.gate.roots import EVERYWHERE
from biofm.policy.labels import Labels, labels_of, letters_of

CARRIED = Labels.UNTRUSTED | Labels.PRIVATE
"""The labels that a file can have: to read what a program made, or what was fetched, is neither X nor E."""


@dataclass(slots=True)
class MadeFrom:
    """Holds the labels of what a request and the requests within it read.

    Attributes:
        labels: The labels.
    """

    labels: Labels


class _Running(threading.local):
    """Holds what the requests of this thread that have not ended are made from, the outermost first."""

    def __init__(self) -> None:
        self.all: list[MadeFrom] = []


_RUNNING = _Running()


@contextmanager
def carrying(labels: Labels) -> Iterator[MadeFrom]:
    """Hold what a request is made from until the ``with`` ends, and tell the requests around it.

    Args:
        labels: The labels of the files that the request reads.
    """
    for outer in _RUNNING.all:
        outer.labels |= labels & Labels.PRIVATE
    made_from = MadeFrom(labels)
    _RUNNING.all.append(made_from)
    try:
        yield made_from
    finally:
        _RUNNING.all = [one for one in _RUNNING.all if one is not made_from]


def labels_stated(path: Path, *, is_parsed: bool = True) -> Labels:
    """Return the labels that a file, a document beside it, or one of a folder above it states.

    Args:
        path: The absolute path of the file.
        is_parsed: Whether a file may be parsed in this process; otherwise one that must be counts as private.
    """
    letters = [
        _letters_of(path, is_parsed),
        *(_letters_of(one, is_parsed) for one in documents_of_labels(path)),
    ]
    return labels_of("".join(letters)) & CARRIED


def state_labels(folder: Path, labels: Labels) -> None:
    """Write a document into an output folder that was made from private data, if there is a file in it.

    Args:
        folder: The folder.
        labels: The labels of what it was made from.
    """
    place = folder / OF_FOLDER
    labels |= labels_stated(place)
    if Labels.PRIVATE not in labels or not folder.is_dir() or not any(folder.iterdir()):
        return
    partial_file = folder / f".{OF_FOLDER}.partial"
    partial_file.write_text(json.dumps({"biofm": {LABELS: letters_of(labels)}}) + "\n", encoding="ascii")
    partial_file.replace(place)


def _letters_of(path: Path, is_parsed: bool) -> str:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return ""
        with open(path, "rb", opener=partial(open_without_waiting, EVERYWHERE)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return ""
            return stated_labels(file, is_parsed=is_parsed)
    except (OSError, ValueError):
        return ""  # The permit will say what is wrong with it.
