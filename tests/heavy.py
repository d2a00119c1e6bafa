"""Imports all that commands and trainings import, for a process that forks one for each test."""

# ruff: noqa: F401
import sys

import anndata
import Bio.SeqIO.FastaIO
import lightning
import pyarrow.csv
import pyarrow.parquet
import torch._dynamo

from biofm import corpus, evaluation, report
from biofm.api import configuration, finished, model, table
from biofm.cli import main
from biofm.inference import runs
from biofm.inference.prediction import Predictor
from biofm.inference.scoring import Scorer
from biofm.training import checkpoints, finetuning, fit, objectives, processes, run_data


def run_biofm(*words: str) -> None:
    """Run ``biofm`` with these words, and exit as it does."""
    sys.argv = ["biofm", *words]
    main()
