"""Networks that compute on packed batches. This room holds the encoder, its parts and the models built on
it.
"""

from biofm.nn.blockwise import compile_blocks, recompute_blocks, restore_blocks, shard
from biofm.nn.config import EncoderConfig
from biofm.nn.contacts import ContactHead, attention_maps, queries_and_keys
from biofm.nn.encoder import Encoder
from biofm.nn.head import MaskedLM, MaskedLMHead
from biofm.nn.initialise import initialise, initialise_head
from biofm.nn.packing import PackedBatch, Rows, by_budget, pack, pack_arrays
from biofm.nn.rotary import NoRotaryAngles, RotaryAngles
from biofm.nn.supervised import ResidueModel, SequenceModel, SequencePool, prediction_head

__all__ = [
    "ContactHead",
    "Encoder",
    "EncoderConfig",
    "MaskedLM",
    "MaskedLMHead",
    "NoRotaryAngles",
    "PackedBatch",
    "ResidueModel",
    "RotaryAngles",
    "Rows",
    "SequenceModel",
    "SequencePool",
    "attention_maps",
    "by_budget",
    "compile_blocks",
    "initialise",
    "initialise_head",
    "pack",
    "pack_arrays",
    "prediction_head",
    "queries_and_keys",
    "recompute_blocks",
    "restore_blocks",
    "shard",
]
