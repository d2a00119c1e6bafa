"""Grants: what a confined process may read, write and use. Whatever a grant does not name is refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

LEAST_MEMORY_BYTES = 4 * 10**9
"""The least address space of a worker. Importing torch for the CPU takes 0.7 GB of it, and torch for CUDA,
with no GPU to be seen, several times that; most of it is never filled.
"""


class Layer(StrEnum):
    """Names what holds a worker. Tests leave layers out, to see that each of them refuses something."""

    LANDLOCK = "landlock"
    SECCOMP = "seccomp"
    LIMITS = "limits"


ALL_LAYERS = frozenset(Layer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """Holds a file that a worker may read, opened by the permit.

    Attributes:
        descriptor: The descriptor, opened for reading only.
        path: The path by which the user named the file, for messages.
    """

    descriptor: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Says what a worker may use, beside the interpreter and its packages (``places``).

    Attributes:
        files: The files that it may read, by role.
        outputs: The files and folders that it may write, which exist already.
        written: Descriptors of opened files that it writes.
        temporary: A folder for temporary files, one of the outputs. Empty gives it none.
        ports: The TCP ports to which it may connect, on any host. The kernel knows no names of hosts: a
            connection to one certain host is made by the permit and handed over as a descriptor.
        cpu_s: How many seconds of processor time it may use, over all its threads.
        memory_bytes: How much address space it may have, at least ``LEAST_MEMORY_BYTES``. It is not limited
            if there are ``devices``, because CUDA reserves more addresses than a machine has memory.
        file_bytes: How many bytes any file that it writes may have.
        array_bytes: How many bytes the array may have that it hands back; 0 where it hands back none.
        devices: The device files that it may use, such as ``/dev/nvidia0``.
    """

    cpu_s: int
    memory_bytes: int
    file_bytes: int
    array_bytes: int = 0
    files: dict[str, Readable] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    written: tuple[int, ...] = ()
    temporary: str = ""
    ports: tuple[int, ...] = ()
    devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(self.cpu_s >= 1, f"a worker needs a second of processor time, not {self.cpu_s}")
        _require(
            self.memory_bytes >= LEAST_MEMORY_BYTES,
            f"a worker needs {LEAST_MEMORY_BYTES} bytes of address space, not {self.memory_bytes}",
        )
        _require(self.file_bytes >= 0, f"the size of a file is not negative, as {self.file_bytes} is")
        _require(all(0 < port < 1 << 16 for port in self.ports), f"these are no TCP ports: {self.ports}")
        _require(self.array_bytes >= 0, f"the size of an array is not negative, as {self.array_bytes} is")
        for path in (*self.outputs, *self.devices, *filter(None, [self.temporary])):
            _require(path.startswith("/"), f"a grant names absolute paths, not {path!r}")

    def descriptors(self) -> Mapping[int, str]:
        """Return the path of each granted descriptor."""
        return {file.descriptor: file.path for file in self.files.values()}


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
