"""From sequences to token numbers."""

from biofm.tokenizers.protein import ESM_ALPHABET, ESMC_ALPHABET, STANDARD_RESIDUES, ProteinTokenizer

__all__ = ["ESMC_ALPHABET", "ESM_ALPHABET", "STANDARD_RESIDUES", "ProteinTokenizer"]
