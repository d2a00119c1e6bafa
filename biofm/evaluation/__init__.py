"""How good a model is, always beside the baselines that it must beat."""

from biofm.evaluation.perplexity import HeldOutPerplexity, held_out_perplexity, residue_frequencies

__all__ = ["HeldOutPerplexity", "held_out_perplexity", "residue_frequencies"]
