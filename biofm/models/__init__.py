"""Model families, and the files that their weights come in."""

from biofm.models.checkpoint import Checkpoint, new_model, read_checkpoint, write_checkpoint
from biofm.models.families import HUB_IDS, modality_named
from biofm.models.files import Location, bundled_models, fetch, files_of, hosts_of_hub, locate
from biofm.models.info import ModelInfo, describe

__all__ = [
    "HUB_IDS",
    "Checkpoint",
    "Location",
    "ModelInfo",
    "bundled_models",
    "describe",
    "fetch",
    "files_of",
    "hosts_of_hub",
    "locate",
    "modality_named",
    "new_model",
    "read_checkpoint",
    "write_checkpoint",
]
