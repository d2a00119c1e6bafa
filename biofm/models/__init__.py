"""Model families: reads, makes, describes and writes their models, and finds the files of their weights."""

from biofm.models.checkpoint import (
    Checkpoint,
    ModelInfo,
    describe,
    new_model,
    read_checkpoint,
    write_checkpoint,
)
from biofm.models.families import DEFAULT_MODALITY, HUB_IDS, modalities, modality_named
from biofm.models.files import BUNDLED, Location, bundled_models, files_of, locate
from biofm.models.finiteness import are_faulty, describe_not_finite, find_fault, not_finite
from biofm.models.hub import fetch, hosts_of_hub
from biofm.models.layout import Layout, NameMap, NewModels

__all__ = [
    "BUNDLED",
    "DEFAULT_MODALITY",
    "HUB_IDS",
    "Checkpoint",
    "Layout",
    "Location",
    "ModelInfo",
    "NameMap",
    "NewModels",
    "are_faulty",
    "bundled_models",
    "describe",
    "describe_not_finite",
    "fetch",
    "files_of",
    "find_fault",
    "hosts_of_hub",
    "locate",
    "modalities",
    "modality_named",
    "new_model",
    "not_finite",
    "read_checkpoint",
    "write_checkpoint",
]
