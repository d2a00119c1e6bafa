"""Model families, and the files that their weights come in."""

from biofm.models.checkpoint import Location, bundled_models, fetch, files_of, hosts_of_hub, locate
from biofm.models.families import HUB_IDS, modality_named
from biofm.models.info import ModelInfo, describe
from biofm.models.loading import Checkpoint, new_model, read_checkpoint, write_checkpoint

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
