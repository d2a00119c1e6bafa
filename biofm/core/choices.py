"""Choices: options that allow a few words only, and the error for any other word."""

from collections.abc import Sequence
from typing import Literal, get_args

from biofm.core.errors import OptionError

OnError = Literal["stop", "skip"]
"""What a run does at a faulty record: it stops, or skips the record."""
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]
"""The precision in which a model computes."""
PoolName = Literal["mean", "cls", "max", "none"]
"""How the vectors of a sequence's residues are pooled into one; "none" keeps each residue's vector."""
ScoreMethod = Literal["masked-marginals", "wt-marginals", "pseudo-perplexity"]
"""The method that scores variants."""
PerplexityMethod = Literal["pseudo", "single-pass"]
"""How the perplexity of one sequence is measured."""
ObjectiveName = Literal["masked", "causal"]
"""What a language model learns to predict."""
FinetuneMethod = Literal["probe", "lora", "full"]
"""What fine-tuning trains: the head alone ("probe"), low-rank adapters ("lora"), or the whole model."""
Task = Literal["regression", "classification", "multi-label", "per-residue"]
"""What a fine-tuned model predicts."""
AskedTask = Literal["auto", "regression", "classification", "multi-label", "per-residue"]
"""A task, or "auto", which derives the task from the cells of the table."""
HeadPool = Literal["mean", "cls", "max", "attention"]
"""How the residues' vectors of a sequence are pooled into the input of a fine-tuned model's head."""
SigningMethod = Literal["hmac-sha256", "ed25519"]
"""How a head of the ledger is signed."""

WORDS: frozenset[str] = frozenset(
    word
    for kind in (
        OnError, DtypeName, PoolName, ScoreMethod, PerplexityMethod, ObjectiveName, FinetuneMethod, AskedTask,
        HeadPool, SigningMethod,
    )
    for word in get_args(kind)
)  # fmt: skip
"""All words of these choices. They say nothing about a person, whatever option holds them."""
ON_ERROR: tuple[OnError, ...] = get_args(OnError)


def check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    """Raise OptionError, which names the option, if ``value`` is not one of ``choices``."""
    if value not in choices:
        remedy = f"Give {', '.join(choices[:-1])} or {choices[-1]}"
        raise OptionError(f"no such choice: {value}", where=option, remedy=remedy)
