"""Runs: apply a model to a file and write a file, by shards, with a journal and progress, and estimate it
before.
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
