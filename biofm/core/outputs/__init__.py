"""Output files of embeddings: one module writes each format, as a stream, block by block."""

from biofm.core.outputs.block import EmbeddingBlock, ProvenanceFields, empty_fields, is_empty, is_own_name
from biofm.core.outputs.provenance import RECORDS, files_with_provenance, has_provenance, provenance_path
from biofm.core.outputs.writer import SUFFIXES, EmbeddingWriter, check_suffix, open_writer

__all__ = [
    "RECORDS",
    "SUFFIXES",
    "EmbeddingBlock",
    "EmbeddingWriter",
    "ProvenanceFields",
    "check_suffix",
    "empty_fields",
    "files_with_provenance",
    "has_provenance",
    "is_empty",
    "is_own_name",
    "open_writer",
    "provenance_path",
]
