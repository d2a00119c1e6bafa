"""What a run ran in, to be written beside its results: versions and hardware.

Nothing here names a person or a machine: no user, no host, no path, no environment variable.
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
    """Return the version that ``checkout/pyproject.toml`` states; without that file, the installed package's.

    The checkout comes first, because an editable install keeps the version it was made with.
    """
    project_file = checkout / "pyproject.toml"
    if project_file.is_file():
        project = tomllib.loads(project_file.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == "biofm":
            return str(project["version"])
    from importlib import metadata  # takes a tenth of the time of `biofm --help`

    return metadata.version("biofm")


__version__ = find_version(CHECKOUT)


def torch_version() -> str:
    """Return the version of torch, without importing it, which takes a second."""
    from importlib import metadata  # takes a tenth of the time of `biofm --help`

    return metadata.version("torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Versions, hardware, and how the hardware was used.

    commit: the commit of the checkout that biofm ran from, with ``-dirty`` where files differed from it;
        empty outside a checkout.
    cores: how many cores the process may use. threads: how many of them torch uses.
    memory_bytes: how much memory the process may hold; 0 where the system does not say.
    device, dtype: where and in which precision the model ran.
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
        """Return names and values to be shown to people; what is empty is left out."""
        rows = {
            "biofm": f"{self.biofm}, commit {self.commit}" if self.commit else self.biofm,
            "Python": self.python,
            "torch": self.torch,
            "system": self.system,
            "processor": self.cpu,
            "cores": f"{self.cores}, of which torch uses {self.threads}",
            "memory": format_bytes(self.memory_bytes) if self.memory_bytes else "",
            "GPUs": ", ".join(self.gpus),
            "computed on": self.device,
            "computed in": self.dtype,
        }
        return {name: value for name, value in rows.items() if value}


def find_environment(*, threads: int, gpus: Sequence[str], device: str, dtype: str) -> Environment:
    """Return the environment of this process. The caller gives what only torch knows: this room imports no
    torch.
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
    """Return the commit of ``checkout``, with ``-dirty`` where files differ from it; empty where there is no
    checkout or no git.
    """
    if not (checkout / ".git").exists():
        return ""
    return answer_of(
        "git", "--no-optional-locks", "-C", str(checkout),
        "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*",
    )  # fmt: skip
