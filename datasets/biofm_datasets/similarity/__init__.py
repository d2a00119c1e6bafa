"""Finds proteins that resemble each other, with numpy and Biopython's BLOSUM62 alone."""

from biofm_datasets.similarity.search import Similarity, find_pairs, find_similar

__all__ = ["Similarity", "find_pairs", "find_similar"]
