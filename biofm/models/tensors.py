"""Reads the tensors of a checkpoint's files, one at a time.

Weights are data. safetensors hold nothing else; a pickle is read by torch's restricted unpickler, which
builds tensors and plain containers and refuses everything that could run code.
"""

import argparse
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import torch
from biofm_datasets.documents import load_json
from safetensors import SafetensorError, safe_open
from torch import Tensor

from biofm.core.errors import ModelError
from biofm.models.pickles import DAMAGED, foreign_name, load_data

Files = Mapping[str, BinaryIO]
"""A checkpoint's opened files by their names."""


class Tensors(Mapping[str, Tensor]):
    """Holds tensors by name. Each is read when it is needed."""

    def __init__(self, readers: dict[str, Callable[[], Tensor]]) -> None:
        self._readers = readers

    def __getitem__(self, name: str) -> Tensor:
        return self._readers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def changed(self, names: Collection[str], change: Callable[[Tensor], Tensor]) -> "Tensors":
        """Return these tensors, with ``change`` applied to the named ones as they are read."""
        there = {name: read for name, read in self._readers.items() if name in names}
        return Tensors(
            self._readers | {name: partial(_changed, read, change) for name, read in there.items()}
        )

    def renamed(self, rename: Callable[[str], str]) -> "Tensors":
        """Return these tensors under the names that ``rename`` returns."""
        return Tensors({rename(name): read for name, read in self._readers.items()})

    def joined(self, others: "Tensors") -> "Tensors":
        """Return these tensors and ``others``; where names agree, the other's tensor."""
        return Tensors(self._readers | others._readers)


def read_tensors(files: Files) -> Tensors:
    """Return the tensors of every weight file (``.safetensors``, ``.bin``), checked against the index of
    shards.

    Raises:
        ModelError: A file is damaged or holds more than tensors, or a shard is missing.
    """
    readers: dict[str, Callable[[], Tensor]] = {}
    for name, handle in files.items():
        if name.endswith(".safetensors"):
            readers |= _safetensors(handle, name)
        elif name.endswith(".bin"):
            readers |= _held(read_pickle(handle, name), name)
    for name, handle in files.items():
        if name.endswith(".index.json"):
            _check_shards(handle, name, files)
    return Tensors(readers)


def read_pickle(handle: BinaryIO, name: str, *, allow: tuple[type, ...] = ()) -> Any:
    """Return the content of a pickle of tensors, plain containers and instances of the ``allow``-ed classes.

    Raises:
        ModelError: The pickle names any other class or function, or is damaged.
    """
    try:
        with torch.serialization.safe_globals(list(allow)) if allow else nullcontext():
            return load_data(handle)
    except DAMAGED as error:
        if foreign := foreign_name(error):
            raise ModelError(
                f"refused: this pickle holds more than tensors ({foreign}), and loading it could run code",
                where=name,
                remedy="Convert it to safetensors on a machine that may run it, or get the safetensors file",
            ) from error
        raise ModelError("damaged, or not a PyTorch file", where=name, remedy="Download it again") from error


def read_fair_esm(handle: BinaryIO, name: str) -> Mapping[str, Any]:
    """Return the content of a fair-esm ``.pt``; its options are an ``argparse.Namespace``, the one class
    allowed.
    """
    content = read_pickle(handle, name, allow=(argparse.Namespace,))
    if not isinstance(content, dict):
        raise ModelError("not a fair-esm checkpoint", where=name, remedy="Give an ESM .pt file of fair-esm")
    return content


def read_contact_regression(handle: BinaryIO, name: str) -> Tensors:
    """Return the contact head that fair-esm publishes beside a model.

    Raises:
        ModelError: The file holds anything else.
    """
    content = read_fair_esm(handle, name)
    tensors = held(content.get("model"), name)
    if not all(tensor.startswith("contact_head.") for tensor in tensors):
        remedy = "Get the published file again, or move this one away"
        raise ModelError("the file holds more than a contact head", where=name, remedy=remedy)
    return tensors


def held(content: Any, where: str) -> Tensors:
    """Return tensors that are already in memory.

    Raises:
        ModelError: ``content`` is anything but tensors by name.
    """
    return Tensors(_held(content, where))


def _held(content: Any, where: str) -> dict[str, Callable[[], Tensor]]:
    remedy = "Save the model's state_dict alone, or get the published file"
    if not isinstance(content, dict):
        raise ModelError("the file holds no named tensors", where=where, remedy=remedy)
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ModelError(f"its entry {name!r} is not a tensor", where=where, remedy=remedy)
    return {name: partial(_itself, tensor) for name, tensor in content.items()}


def _changed(read: Callable[[], Tensor], change: Callable[[Tensor], Tensor]) -> Tensor:
    return change(read())


def _itself(tensor: Tensor) -> Tensor:
    return tensor


def _safetensors(handle: BinaryIO, name: str) -> dict[str, Callable[[], Tensor]]:
    try:
        opened = safe_open(_path_of(handle), framework="pt")
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"damaged, or not a safetensors file ({error})", where=name, remedy="Download it again"
        ) from error
    return {key: partial(opened.get_tensor, key) for key in opened.keys()}  # noqa: SIM118


def _path_of(handle: BinaryIO) -> str:
    """Return a path to the opened file, whatever its name points to by now: safetensors take only paths."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        if Path(folder).is_dir():
            return os.path.join(folder, str(handle.fileno()))
    return handle.name


def _check_shards(handle: BinaryIO, name: str, files: Files) -> None:
    try:
        shards = set(load_json(handle)["weight_map"].values())
        missing = sorted(shards - set(files))
        listed = ", ".join(missing)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(
            "not the index of a sharded checkpoint", where=name, remedy="Download it again"
        ) from error
    if missing:
        raise ModelError(f"shards are missing: {listed}", where=name, remedy="Download them as well")
