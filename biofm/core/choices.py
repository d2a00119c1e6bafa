"""Options that are one of a few words: which words, and the error for another one."""

from collections.abc import Sequence
from typing import Literal, get_args

from biofm.core.errors import OptionError

OnError = Literal["stop", "skip"]
"""What is done at a faulty record."""
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]
"""The precision in which a model computes."""
PoolName = Literal["mean", "cls", "max", "none"]
"""How the vectors of the units of a sequence become one."""
ScoreMethod = Literal["masked-marginals", "wt-marginals", "pseudo-perplexity"]
"""How substitutions are scored."""
PerplexityMethod = Literal["pseudo", "single-pass"]
"""How the perplexity of one sequence is measured."""
ObjectiveName = Literal["masked", "causal"]
"""What a language model learns to predict."""
FinetuneMethod = Literal["probe", "lora", "full"]
"""What of a model a fine-tuning changes."""
Task = Literal["regression", "classification", "multi-label", "per-residue"]
"""What a fine-tuned model predicts."""
AskedTask = Literal["auto", "regression", "classification", "multi-label", "per-residue"]
"""The same, or to be found in the cells of the table."""
HeadPool = Literal["mean", "cls", "max", "attention"]
"""What a fine-tuned head sees of a sequence."""

ON_ERROR: tuple[OnError, ...] = get_args(OnError)


def check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    """Raises OptionError for a word that is none of ``choices``."""
    if value not in choices:
        remedy = f"Give {', '.join(choices[:-1])} or {choices[-1]}"
        raise OptionError(f"no such way: {value}", where=option, remedy=remedy)
