"""The environment of a run, which is recorded beside its results: versions and hardware.

The record names no person and no machine: it holds no user, host, path or environment variable.
"""

import platform
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from biofm.core.hardware import answer_of, count_cores, find_cpu
from biofm.core.memory import allowed_bytes
from biofm.core.text import format_bytes

CHECKOUT = Path(__file__).resolve().parents[2]


def find_version(checkout: Path) -> str:
    """Return the version in ``checkout/pyproject.toml``; without that file, the installed package's version.

    The checkout comes first because an editable install keeps the version it was installed with.
    """
    project_file = checkout / "pyproject.toml"
    if project_file.is_file():
        project = tomllib.loads(project_file.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == "biofm":
            return str(project["version"])
    from importlib import metadata  # It takes a tenth of the time of `biofm --help`.

    return metadata.version("biofm")


__version__ = find_version(CHECKOUT)


def torch_version() -> str:
    """Return the version of torch, without importing it, which takes a second."""
    from importlib import metadata  # It takes a tenth of the time of `biofm --help`.

    return metadata.version("torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Holds versions, the hardware, and how a run used it.

    Attributes:
        biofm, python, torch: Their versions.
        commit: The commit of the checkout that biofm ran from, with ``-dirty`` if files differed from it;
            empty outside a checkout.
        system: The operating system and the architecture.
        cpu: The processor's name.
        cores: How many cores the process may use.
        threads: How many threads torch uses.
        memory_bytes: How much memory the process may hold; 0 if the system does not say.
        gpus: The names of the GPUs.
        device: The device that the model ran on.
        dtype: The precision that the model ran in.
    """

    biofm: str
    commit: str
    python: str
    torch: str
    system: str
    cpu: str
    cores: int
    threads: int
    memory_bytes: int
    gpus: tuple[str, ...]
    device: str
    dtype: str

    def rows(self) -> dict[str, str]:
        """Return labels and values for a report, without those that are empty."""
        rows = {
            "biofm": f"{self.biofm}, commit {self.commit}" if self.commit else self.biofm,
            "Python": self.python,
            "torch": self.torch,
            "system": self.system,
            "processor": self.cpu,
            "cores": f"{self.cores} (torch uses {self.threads})",
            "memory": format_bytes(self.memory_bytes) if self.memory_bytes else "",
            "GPUs": ", ".join(self.gpus),
            "computed on": self.device,
            "computed in": self.dtype,
        }
        return {name: value for name, value in rows.items() if value}


def find_environment(*, threads: int, gpus: Sequence[str], device: str, dtype: str) -> Environment:
    """Return the environment of this process.

    The arguments are what only torch knows; this room does not import torch.
    """
    return Environment(
        biofm=__version__,
        commit=find_commit(CHECKOUT),
        python=platform.python_version(),
        torch=torch_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpu=find_cpu(),
        cores=count_cores(),
        threads=threads,
        memory_bytes=allowed_bytes(),
        gpus=tuple(gpus),
        device=device,
        dtype=dtype,
    )


def find_commit(checkout: Path) -> str:
    """Return the commit of ``checkout``, with ``-dirty`` if files differ from it.

    The result is empty if there is no checkout, or git is not installed.
    """
    if not (checkout / ".git").exists():
        return ""
    return answer_of(
        "git", "--no-optional-locks", "-C", str(checkout),
        "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*",
    )  # fmt: skip
