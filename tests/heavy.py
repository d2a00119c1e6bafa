"""What commands import while they run, imported once by a process that forks one for each command."""

# ruff: noqa: F401
import anndata
import Bio.SeqIO.FastaIO
import pyarrow.csv
import pyarrow.parquet
import torch._dynamo

from biofm import corpus, evaluation, report
from biofm.api import configuration, finished, model, table
from biofm.inference import runs
from biofm.inference.prediction import Predictor
from biofm.inference.scoring import Scorer
from biofm.training import finetuning, processes, run_data
