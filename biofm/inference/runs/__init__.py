"""Runs: apply a model to an input file and write an output file, or estimate what that takes.

A run may be one of several shards. Its journal keeps what is done, so that a stopped run can be resumed.
"""

from biofm.inference.runs.contacts import ContactsSummary, Focus, StructureSummary, write_contacts
from biofm.inference.runs.estimate import EmbedEstimate, estimate_embedding
from biofm.inference.runs.intake import Intake, share_reader
from biofm.inference.runs.journal import Totals, embed_to_journal, fingerprint, read_through
from biofm.inference.runs.output import Written, damaged, in_order, write_embeddings
from biofm.inference.runs.shards import WHOLE, Shard, check_shards

__all__ = [
    "WHOLE",
    "ContactsSummary",
    "EmbedEstimate",
    "Focus",
    "Intake",
    "Shard",
    "StructureSummary",
    "Totals",
    "Written",
    "check_shards",
    "damaged",
    "embed_to_journal",
    "estimate_embedding",
    "fingerprint",
    "in_order",
    "read_through",
    "share_reader",
    "write_contacts",
    "write_embeddings",
]
