"""Which proteins resemble each other, found without any program beside numpy."""

from biofm_datasets.similarity.search import Similarity, find_pairs, find_similar

__all__ = ["Similarity", "find_pairs", "find_similar"]
