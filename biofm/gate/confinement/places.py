"""Places: what the interpreter, numpy and torch must read to start, each with its reason, in one table.

A worker may read these places and its granted files, and nothing else. None of them can be written, and no
program in them can be started.
"""

import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("biofm", "biofm_datasets", "biofm_kernels")


class Place(NamedTuple):
    """Holds a file, or a folder with all that is below it, and why a worker reads it."""

    path: str
    reason: str


SYSTEM = (
    Place("/lib", "libraries of the system, such as that of C"),
    Place("/lib64", "the dynamic loader"),
    Place("/usr/lib", "libraries of the system"),
    Place("/usr/lib64", "libraries of the system, where they are kept apart by architecture"),
    Place("/usr/local/lib", "libraries that the administrator installed"),
    Place("/etc/ld.so.cache", "the dynamic loader finds libraries by it"),
    Place("/etc/ssl/openssl.cnf", "hashlib loads OpenSSL, which reads its settings (Debian)"),
    Place("/etc/pki/tls/openssl.cnf", "hashlib loads OpenSSL, which reads its settings (Red Hat)"),
    Place("/proc/cpuinfo", "torch chooses its code by the features of the processor"),
    Place("/proc/meminfo", "the free memory is read from it"),
    Place("/proc/self/maps", "OpenMP and the C library find the bounds of a stack in it"),
    Place("/proc/self/status", "the peak of the memory is read from it"),
    Place("/proc/sys/vm/overcommit_memory", "malloc asks how the system promises memory"),
    Place("/sys/devices/system/cpu", "torch counts the processors and their caches"),
    Place("/sys/devices/system/node", "OpenBLAS and OpenMP ask how memory is divided among processors"),
    Place("/sys/kernel/mm/transparent_hugepage", "torch and malloc ask about large pages"),
    Place("/dev/urandom", "random numbers, by which OpenMP and hashing start"),
    Place("/dev/null", "libraries read from it where there is no file"),
    Place("/dev/zero", "libraries map empty memory from it"),
)
"""Of the system. A place that a machine lacks is left out."""


def places(packages: Mapping[str, str], paths: Sequence[str]) -> Iterator[Place]:
    """Yield every place that a worker may read beside its granted files.

    Args:
        packages: The folders of the packages of biofm, by their names.
        paths: The folders of other packages.
    """
    yield from SYSTEM
    yield Place(sysconfig.get_path("stdlib"), "the standard library")
    yield Place(os.path.join(sys.base_prefix, "lib"), "the interpreter's own libraries")
    yield Place(os.path.join(sys.base_exec_prefix, "lib"), "the interpreter's own libraries")
    yield from (Place(folder, f"the package {name}") for name, folder in packages.items())
    yield from (Place(folder, "the packages that biofm uses") for folder in paths)
    for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if os.path.isabs(folder):
            yield Place(folder, "the account has the dynamic loader look there for libraries")


def file_of_biofm() -> str:
    """Return the file of the package biofm that this process runs."""
    return str(sys.modules[PACKAGES[0]].__file__)


def find_packages(*names: str) -> dict[str, str]:
    """Return the folders of the packages of biofm, by name.

    Args:
        names: Further packages to find.
    """
    found = {}
    for name in (*PACKAGES, *names):
        spec = find_spec(name)
        assert spec is not None, f"there is no package {name}"
        assert spec.submodule_search_locations, f"{name} is a module, not a package"
        found[name] = os.path.abspath(next(iter(spec.submodule_search_locations)))
    return found


def package_folders(paths: Sequence[str]) -> tuple[str, ...]:
    """Return those entries of ``sys.path`` that hold installed packages, and no other folder of the user.

    Args:
        paths: The entries of ``sys.path``, among which may be the current folder.
    """
    known = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return tuple(
        path
        for path in dict.fromkeys(paths)
        if os.path.isabs(path)
        and (path in known or Path(path).name in ("site-packages", "dist-packages"))
        and os.path.isdir(path)
    )
