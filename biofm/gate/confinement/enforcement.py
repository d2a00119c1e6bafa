"""Enforcement: which layers of the confinement this machine has, and why it lacks others."""

import sys
from dataclasses import dataclass

from biofm.gate.confinement import seccomp
from biofm.gate.confinement.grant import ALL_LAYERS, Layer
from biofm.gate.confinement.landlock import landlock_version

COMPLETE_SINCE = 6
"""The version of Landlock that refuses everything that the confinement is said to refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforcement:
    """Says which layers can confine a worker on this machine.

    Attributes:
        layers: The layers that are there.
        landlock_version: The version (ABI) of Landlock; 0 if there is none.
        lacks: A clause for each layer that is missing or weaker than the newest one, with the reason.
    """

    layers: frozenset[Layer]
    landlock_version: int
    lacks: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every layer is there. A policy that requires confinement refuses without this."""
        return self.layers == ALL_LAYERS

    @property
    def notice(self) -> str:
        """What a person is told once where the confinement is not whole; empty where it is."""
        if self.is_whole:
            return ""
        return f"The worker is confined only in part on this machine: {'; '.join(self.lacks)}."


def enforcement() -> Enforcement:
    """Return what this machine can enforce. Nothing is confined by asking."""
    if sys.platform != "linux":
        lacks = f"only Linux has Landlock and seccomp, and this system is {sys.platform}"
        layers = frozenset({Layer.LIMITS} if sys.platform != "win32" else ())
        return Enforcement(layers=layers, landlock_version=0, lacks=(lacks,))
    layers, lacks, version = {Layer.LIMITS}, [], 0
    try:
        version = landlock_version()
        layers.add(Layer.LANDLOCK)
        if version < COMPLETE_SINCE:
            lacks.append(f"Landlock has version {version}, and only seccomp holds what came later")
    except OSError as error:
        lacks.append(f"the kernel offers no Landlock ({error.strerror})")
    try:
        seccomp.load_library()
        layers.add(Layer.SECCOMP)
    except OSError as error:
        remedy = "install the package libseccomp2, or libseccomp"
        lacks.append(f"seccomp cannot be used ({error.strerror or error}; {remedy})")
    return Enforcement(layers=frozenset(layers), landlock_version=version, lacks=tuple(lacks))
