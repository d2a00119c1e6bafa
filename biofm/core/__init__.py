"""What every room may use: errors, progress, provenance, hardware, and the output files of embeddings."""

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
from biofm.core.progress import SILENT, Progress, ProgressSink, StageProgress, format_duration
from biofm.core.provenance import ModelProvenance, Provenance, sha256_of, torch_version
from biofm.core.version import __version__

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
