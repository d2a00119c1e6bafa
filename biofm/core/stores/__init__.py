"""Output files of embeddings: one module a format, all written as a stream, block by block."""

from biofm.core.stores.block import EmbeddingBlock, ProvenanceFields, empty_fields, is_empty
from biofm.core.stores.store import Store, check_suffix, open_store, provenance_path

__all__ = [
    "EmbeddingBlock",
    "ProvenanceFields",
    "Store",
    "check_suffix",
    "empty_fields",
    "is_empty",
    "open_store",
    "provenance_path",
]
