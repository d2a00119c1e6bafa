"""Output files of embeddings: one module a format, all written as a stream, block by block."""

from biofm.core.stores.block import EmbeddingBlock, ProvenanceFields, empty_fields, is_empty, is_own_name
from biofm.core.stores.store import Store, check_suffix, open_store, provenance_path

__all__ = [
    "EmbeddingBlock",
    "ProvenanceFields",
    "Store",
    "check_suffix",
    "empty_fields",
    "is_empty",
    "is_own_name",
    "open_store",
    "provenance_path",
]
