"""A place with secrets and listeners beside what a worker is granted, and workers that try to reach them."""

import json
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from biofm.gate.confinement import ALL_LAYERS, Confinement, Grant, Layer, Readable, Worker
from biofm.gate.confinement.grant import LEAST_MEMORY_BYTES
from tests.gate.confinement.attempts import Attempt, Outcome

MODULE = "tests.gate.confinement.attempts"


class Scene:
    """Holds the files and sockets of a test, and starts workers among them.

    ``about`` is what attempts are told; ``ends`` is what was reported of each worker.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.folder, self.about = folder, about
        self.ends: list[Confinement] = []

    def worker(
        self, *, layers: frozenset[Layer] = ALL_LAYERS, time_s: float = 60.0, **granted: Any
    ) -> Worker:
        file = self.folder / "granted"
        with open(file, "rb") as opened:
            descriptor = os.dup(opened.fileno())
        usual = {
            "cpu_s": 30,
            "memory_bytes": LEAST_MEMORY_BYTES,
            "file_bytes": 1 << 20,
            "array_bytes": 1 << 20,
        }
        files = {"granted": Readable(descriptor=descriptor, path=str(file))}
        grant = Grant(**(usual | {"files": files} | granted))
        return Worker(module=MODULE, grant=grant, time_s=time_s, layers=layers, report=self.ends.append)

    def attempt(self, name: str, *, about: dict[str, Any] | None = None, **how: Any) -> str:
        """What an attempt of a worker found; ``how`` says what the worker is granted and what holds it."""
        worker = self.worker(**how)
        job = Attempt(name, json.dumps(self.about | (about or {})))
        try:
            with worker.run(job, Outcome) as finished:
                return finished.result.found
        finally:
            os.close(worker.grant.files["granted"].descriptor)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    for name in ("granted", "secret"):
        (tmp_path / name).write_text(f"the {name} text")
    (tmp_path / "output").mkdir()
    abstract = f"biofm-{secrets.token_hex(8)}"
    sockets: list[tuple[int, int, Any]] = [
        (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
        (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
        (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
        (socket.AF_UNIX, socket.SOCK_STREAM, str(tmp_path / "unix")),
        (socket.AF_UNIX, socket.SOCK_STREAM, f"\0{abstract}"),
    ]
    opened = []
    for family, kind, address in sockets:
        opened.append(socket.socket(family, kind))
        opened[-1].bind(address)
        if kind == socket.SOCK_STREAM:
            opened[-1].listen()
    about = {
        "granted": str(tmp_path / "granted"),
        "path": str(tmp_path / "secret"),
        "output": str(tmp_path / "output"),
        "port": opened[0].getsockname()[1],
        "other_port": opened[1].getsockname()[1],
        "udp_port": opened[2].getsockname()[1],
        "unix": str(tmp_path / "unix"),
        "abstract": abstract,
    }
    yield Scene(tmp_path, about)
    for one in opened:
        one.close()
