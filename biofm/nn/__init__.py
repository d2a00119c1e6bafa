"""The encoder and its parts, on packed batches only."""

from biofm.nn.config import EncoderConfig
from biofm.nn.contacts import ContactHead
from biofm.nn.encoder import Encoder
from biofm.nn.head import MaskedLM, MaskedLMHead
from biofm.nn.initialise import initialise
from biofm.nn.packing import PackedBatch, Rows, by_budget, pack

__all__ = [
    "ContactHead",
    "Encoder",
    "EncoderConfig",
    "MaskedLM",
    "MaskedLMHead",
    "PackedBatch",
    "Rows",
    "by_budget",
    "initialise",
    "pack",
]
