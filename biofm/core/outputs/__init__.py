"""Output files of embeddings: one module a format, all written as a stream, block by block."""

from biofm.core.outputs.block import EmbeddingBlock, ProvenanceFields, empty_fields, is_empty, is_own_name
from biofm.core.outputs.writer import EmbeddingWriter, check_suffix, open_writer, provenance_path

__all__ = [
    "EmbeddingBlock",
    "EmbeddingWriter",
    "ProvenanceFields",
    "check_suffix",
    "empty_fields",
    "is_empty",
    "is_own_name",
    "open_writer",
    "provenance_path",
]
