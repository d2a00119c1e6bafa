"""The core is what every room may use: errors, options and their bounds, progress, provenance and outputs."""

from biofm.core.environment import __version__, torch_version
from biofm.core.errors import (
    BiofmError,
    InputError,
    LedgerError,
    MissingExtraError,
    ModelError,
    OptionError,
    OutputError,
    RefusedError,
    input_errors,
)
from biofm.core.hardware import Bf16Support, find_bf16
from biofm.core.memory import keep_freed_memory
from biofm.core.progress import SILENT, Progress, ProgressSink, StageProgress
from biofm.core.provenance import ModelProvenance, Provenance, sha256_of
from biofm.core.text import format_duration

__all__ = [
    "SILENT",
    "Bf16Support",
    "BiofmError",
    "InputError",
    "LedgerError",
    "MissingExtraError",
    "ModelError",
    "ModelProvenance",
    "OptionError",
    "OutputError",
    "Progress",
    "ProgressSink",
    "Provenance",
    "RefusedError",
    "StageProgress",
    "__version__",
    "find_bf16",
    "format_duration",
    "input_errors",
    "keep_freed_memory",
    "sha256_of",
    "torch_version",
]
