"""Checkpoints in parts: a folder in which every process has written its share of the weights.

torch's own reader unpickles the folder's ``.metadata`` and every entry that is not a tensor, so a malicious
pickle can run code. This module reads the folder as data: ``.metadata`` may name only the classes of torch's
format, entries hold only tensors and plain containers, and no file outside the folder is opened.
"""

import pickle
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from io import BytesIO
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch.distributed.checkpoint import filesystem, metadata
from torch.distributed.checkpoint._traverse import set_element
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import BytesStorageMetadata, Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.planner import LoadPlan, LoadPlanner, ReadItem
from torch.distributed.checkpoint.state_dict_loader import load
from torch.futures import Future

from biofm.core.errors import OutputError
from biofm.models.pickles import DAMAGED, foreign_name, load_data

REST = "meta.pt"  # Lightning keeps its counters and the callbacks' states in this file beside the parts
_PART = re.compile(r"__\d+_\d+\.distcp")
_CLASSES = (
    metadata.BytesStorageMetadata,
    metadata.ChunkStorageMetadata,
    metadata.Metadata,
    metadata.MetadataIndex,
    metadata.StorageMeta,
    metadata.TensorProperties,
    metadata.TensorStorageMetadata,
    metadata._MEM_FORMAT_ENCODING,
    filesystem._StorageInfo,
)


def _memory_format(owner: Any, name: Any) -> Any:
    """Return a member of the only enumeration of torch in the metadata.

    Python 3.11.0 to 3.11.3 (Debian 12 ships one of them) write it as ``getattr(class, name)``.

    Raises:
        UnpicklingError: The call asks for anything else.
    """
    if owner is not metadata._MEM_FORMAT_ENCODING or not isinstance(name, str):
        raise pickle.UnpicklingError("GLOBAL builtins.getattr")
    return metadata._MEM_FORMAT_ENCODING[name]


_OF_FORMAT = {(it.__module__, it.__name__): it for it in _CLASSES} | {
    ("builtins", "getattr"): _memory_format,
    ("torch", "Size"): torch.Size,
    ("torch.serialization", "_get_layout"): torch.serialization._get_layout,
    ("pathlib", "PosixPath"): PurePosixPath,  # the path where it was written, which is never opened
    ("pathlib._local", "PosixPath"): PurePosixPath,
}


def read_rest(path: Path) -> dict[str, Any]:
    """Read all of a checkpoint of one file, or what a checkpoint in parts keeps beside its parts.

    Tensors are read from the disk when they are used.

    Raises:
        OutputError: The checkpoint is damaged, or holds more than data.
    """
    file = path / REST if path.is_dir() else path
    with as_data(file):
        rest: dict[str, Any] = load_data(file, mmap=True)
        if not isinstance(rest, dict):
            raise TypeError(type(rest))
    return rest


def read_parts(folder: Path) -> dict[str, Any]:
    """Read all parts and assemble them in this process.

    Raises:
        OutputError: A file is damaged, or holds more than data.
    """
    reader = PartsReader(folder)
    state: dict[str, Any] = {}
    with as_data(folder / filesystem._metadata_fn):
        about = reader.read_metadata()
        tensors = [it for it in about.state_dict_metadata.values() if isinstance(it, TensorStorageMetadata)]
        n_bytes = sum(it.size.numel() * it.properties.dtype.itemsize for it in tensors)
        if n_bytes > sum(file.stat().st_size for file in folder.iterdir()):
            raise ValueError("more tensors than there are bytes")
        for name, entry in about.state_dict_metadata.items():
            value = (
                torch.empty(entry.size, dtype=entry.properties.dtype)
                if isinstance(entry, TensorStorageMetadata)
                else entry
            )
            set_element(state, about.planner_data[name], value)
    _load(state, reader, no_dist=True)
    return state


def load_parts(state: dict[str, Any], folder: Path, *, alone: bool = False) -> None:
    """Fill the tensors of ``state``, by their names, from the parts.

    All processes do so together, or this one alone.

    Raises:
        OutputError: A file is damaged, or holds more than data.
    """
    _load(state, PartsReader(folder), no_dist=alone)


class PartsReader(FileSystemReader):
    """Reads parts as data.

    The constructor and the methods raise OutputError if a file is damaged or holds more than data.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._metadata = _read_metadata(folder)

    def read_metadata(self) -> Metadata:
        return self._metadata

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        def part_of(item: ReadItem) -> str:
            name: str = self.storage_data[item.storage_index].relative_path
            return name

        for name, items in groupby(sorted(plan.items, key=part_of), part_of):
            with as_data(Path(self.path, name)):
                super().read_data(replace(plan, items=list(items)), planner)
        done: Future[None] = Future()
        done.set_result(None)
        return done


@contextmanager
def own_faults(file: Path | None = None) -> Iterator[None]:
    """Raise the error of the process that failed to write its part, or to read it from ``file``.

    torch raises a collection of the errors of all processes instead.
    """
    try:
        yield
    except CheckpointException as error:
        fault, _ = next(iter(error.failures.values()))
        with as_data(file) if file else nullcontext():
            raise fault from None


@contextmanager
def as_data(file: Path) -> Iterator[None]:
    """Turn an error in reading the checkpoint ``file`` within the ``with`` into an OutputError.

    Raises:
        OutputError: The file is damaged, or holds more than data.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            what = f"this checkpoint cannot be read ({error.strerror})"
            remedy = "Check the file's permissions and its disk, or remove the checkpoint"
        elif foreign := foreign_name(error):
            what = f"refused: this checkpoint holds more than data ({foreign}), which could run as code"
            remedy = "Find out where it comes from; remove it, and start the run again"
        else:
            what = "this checkpoint is damaged"
            remedy = "Remove it: the run then resumes from an older checkpoint, or starts again without one"
        raise OutputError(what, where=str(file), remedy=remedy) from error


class _Planner(DefaultLoadPlanner):
    """Replaces ``load_bytes`` of torch's planner, which unpickles anything."""

    def load_bytes(self, read_item: ReadItem, value: BytesIO) -> None:
        content = load_data(value)
        set_element(self.original_state_dict, self.mappings[read_item.dest_index.fqn], content)


class _Unpickler(pickle.Unpickler):
    """Builds the objects in the metadata of a checkpoint. It looks names up in a table and imports none."""

    def find_class(self, module: str, name: str) -> Any:
        is_dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if not is_dtype and (module, name) not in _OF_FORMAT:
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name}")
        return getattr(torch, name) if is_dtype else _OF_FORMAT[module, name]


def _read_metadata(folder: Path) -> Metadata:
    file = folder / filesystem._metadata_fn
    with as_data(file):
        about = _Unpickler(BytesIO(file.read_bytes())).load()
        if not isinstance(about, Metadata):
            raise TypeError(type(about))
        for name, entry in about.state_dict_metadata.items():
            if not isinstance(entry, TensorStorageMetadata | BytesStorageMetadata):
                raise TypeError(name)
            places = about.planner_data[name]
            if not all(isinstance(it, str) or it in range(len(about.planner_data)) for it in places):
                raise ValueError(name)
        for place in about.storage_data.values():
            is_part = _PART.fullmatch(place.relative_path) and (folder / place.relative_path).is_file()
            if not is_part or place.transform_descriptors:
                raise ValueError(place)
    return about


def _load(state: dict[str, Any], reader: PartsReader, *, no_dist: bool) -> None:
    with own_faults(Path(reader.path)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")  # on purpose
        load(state, storage_reader=reader, planner=_Planner(), no_dist=no_dist)
