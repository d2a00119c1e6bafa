"""From sequences to token numbers."""

from biofm.tokenizers.protein import STANDARD_RESIDUES, ProteinTokenizer

__all__ = ["STANDARD_RESIDUES", "ProteinTokenizer"]
