"""Untrained models whose predictions depend on what they see, and the official splits of GB1."""

import io
from pathlib import Path
from zipfile import ZipFile

import torch

from biofm.modalities import ProteinTokenizer
from biofm.nn import EncoderConfig, MaskedLM, initialise

# Spearman on the test sets, alpha 1: from a dense solution of the normal equations, apart from this code.
GB1 = {
    "one_vs_rest": 0.279,
    "two_vs_rest": 0.594,
    "three_vs_rest": 0.755,
    "low_vs_high": 0.343,
    "sampled": 0.788,
}


def open_gb1(real_data: Path, split: str) -> io.BytesIO:
    """The table of a split."""
    with ZipFile(real_data / "protein" / "flip" / "gb1_splits.zip") as archive:
        return io.BytesIO(archive.read(f"splits/{split}.csv"))


def make_model(*, causal: bool = False) -> MaskedLM:
    """An untrained model with weights large enough that its predictions depend on what it sees."""
    config = EncoderConfig(
        vocab_size=len(ProteinTokenizer().vocabulary), d_model=16, n_layers=2, n_heads=2, d_feedforward=24,
        trained_length=64, causal=causal,
    )  # fmt: skip
    model = MaskedLM(config)
    initialise(model, seed=0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(10 if weight.dim() == 2 else 1)
    return model.eval()
