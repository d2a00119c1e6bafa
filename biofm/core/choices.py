"""Choices: the options that are one of a few words, and the error for any other word."""

from collections.abc import Sequence
from typing import Literal, get_args

from biofm.core.errors import OptionError

OnError = Literal["stop", "skip"]
"""What a run does at a faulty record: stop, or leave it out and go on."""
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]
"""The precision in which a model computes."""
PoolName = Literal["mean", "cls", "max", "none"]
"""How the vectors of a sequence's residues become one; with "none" each is kept."""
ScoreMethod = Literal["masked-marginals", "wt-marginals", "pseudo-perplexity"]
"""By which method variants are scored."""
PerplexityMethod = Literal["pseudo", "single-pass"]
"""How the perplexity of one sequence is measured."""
ObjectiveName = Literal["masked", "causal"]
"""What a language model learns to predict."""
FinetuneMethod = Literal["probe", "lora", "full"]
"""Which part of a model a fine-tuning trains: a head alone, adapters, or all of it."""
Task = Literal["regression", "classification", "multi-label", "per-residue"]
"""What a fine-tuned model predicts."""
AskedTask = Literal["auto", "regression", "classification", "multi-label", "per-residue"]
"""A task, or "auto": the task is found from the cells of the table."""
HeadPool = Literal["mean", "cls", "max", "attention"]
"""Which vector of a sequence the head of a fine-tuned model is given."""

ON_ERROR: tuple[OnError, ...] = get_args(OnError)


def check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    """Raise OptionError, which names the option, for a word that is none of ``choices``."""
    if value not in choices:
        remedy = f"Give {', '.join(choices[:-1])} or {choices[-1]}"
        raise OptionError(f"no such way: {value}", where=option, remedy=remedy)
