"""Confinement: the kernel holds the process that parses an untrusted file, or runs a caller's program.

The gate gives a ``Grant``. A ``Worker`` starts a fresh interpreter, which confines itself before it imports
anything that could parse a file, and only then does its job.
"""

from biofm.gate.confinement.enforcement import Enforcement, enforcement
from biofm.gate.confinement.grant import ALL_LAYERS, Grant, Layer, Readable
from biofm.gate.confinement.inside import confine
from biofm.gate.confinement.worker import Confinement, Finished, Worker

__all__ = [
    "ALL_LAYERS",
    "Confinement",
    "Enforcement",
    "Finished",
    "Grant",
    "Layer",
    "Readable",
    "Worker",
    "confine",
    "enforcement",
]
