"""The public verbs.

Each builds a request, asks the gate, works with the permit's files, and lets the gate record the end.
"""

from biofm.api.backends import kernels
from biofm.api.configuration import read_configuration
from biofm.api.contact_maps import contacts
from biofm.api.data import prepare
from biofm.api.description import describe
from biofm.api.embed_estimate import estimate_embed
from biofm.api.embedding import embed
from biofm.api.evaluation import evaluate
from biofm.api.finetune_estimate import estimate_finetune
from biofm.api.finetuning import finetune
from biofm.api.merging import merge
from biofm.api.model import DEFAULT_MODEL, Model, info, load, models
from biofm.api.neighbours import neighbours
from biofm.api.perplexity import perplexity
from biofm.api.prediction import predict
from biofm.api.pretrain_estimate import estimate_pretrain
from biofm.api.score_estimate import estimate_score
from biofm.api.scoring import score
from biofm.api.training import pretrain

__all__ = [
    "DEFAULT_MODEL",
    "Model",
    "contacts",
    "describe",
    "embed",
    "estimate_embed",
    "estimate_finetune",
    "estimate_pretrain",
    "estimate_score",
    "evaluate",
    "finetune",
    "info",
    "kernels",
    "load",
    "merge",
    "models",
    "neighbours",
    "perplexity",
    "predict",
    "prepare",
    "pretrain",
    "read_configuration",
    "score",
]
