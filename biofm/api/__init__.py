"""The verbs for users: each is declared once, in a file of its own."""

from biofm.api.contacts import Contacts, contacts
from biofm.api.describe import Describe, describe
from biofm.api.embed import Embed, embed
from biofm.api.evaluate import Evaluate, evaluate
from biofm.api.finetune import Finetune, finetune
from biofm.api.loading import info, kernels, load, models
from biofm.api.merge import Merge, merge
from biofm.api.neighbours import Neighbours, neighbours
from biofm.api.perplexity import Perplexity, perplexity
from biofm.api.predict import Predict, predict
from biofm.api.prepare import Prepare, prepare
from biofm.api.pretrain import Pretrain, pretrain
from biofm.api.run_program import RunProgram, run_program
from biofm.api.score import Score, score

__all__ = [
    "Contacts",
    "Describe",
    "Embed",
    "Evaluate",
    "Finetune",
    "Merge",
    "Neighbours",
    "Perplexity",
    "Predict",
    "Prepare",
    "Pretrain",
    "RunProgram",
    "Score",
    "contacts",
    "describe",
    "embed",
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
    "run_program",
    "score",
]
