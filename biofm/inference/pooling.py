"""From a vector a token to a vector a protein.

Special tokens stay out, except where <cls> is what is asked for.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from biofm.core.errors import OptionError
from biofm.modalities import Tokenizer
from biofm.nn import EncoderConfig, PackedBatch


def check_pool(pool: str, config: EncoderConfig, tokenizer: Tokenizer) -> None:
    """Raises OptionError for a pooling that would say nothing about a sequence."""
    if pool == "cls" and not tokenizer.n_before:
        what = "no special token stands before the sequences of this model"
        raise OptionError(what, where="--pool", remedy="Give mean, max or none")
    if pool == "cls" and config.causal:
        words = tokenizer.modality.words
        what = f"in a causal model <cls> sees no {words.unit}, and is the same for every {words.item}"
        raise OptionError(what, where="--pool", remedy="Give mean, max or none")


def sum_of_residues(
    hidden: Float[Tensor, "tokens d"], batch: PackedBatch, kept: Bool[Tensor, " tokens"]
) -> Float[Tensor, "sequences d"]:
    totals = hidden.new_zeros(batch.n_sequences, hidden.shape[1])
    return totals.index_add_(0, batch.sequence_of_token(), hidden * kept[:, None])


def largest_of_residues(
    hidden: Float[Tensor, "tokens d"], batch: PackedBatch, kept: Bool[Tensor, " tokens"]
) -> Float[Tensor, "sequences d"]:
    lowest = hidden.new_full((batch.n_sequences, hidden.shape[1]), -torch.inf)
    return raise_to(lowest, batch.sequence_of_token(), hidden.masked_fill(~kept[:, None], -torch.inf))


def first_token(
    hidden: Float[Tensor, "tokens d"], batch: PackedBatch, kept: Bool[Tensor, " tokens"]
) -> Float[Tensor, "sequences d"]:
    return hidden[batch.cu_seqlens[:-1].long()]


def raise_to(
    highest: Float[Tensor, "owners d"], owners: Int[Tensor, " rows"], rows: Float[Tensor, "rows d"]
) -> Float[Tensor, "owners d"]:
    """Raise every value of ``highest``, in place, to the largest of its owner's rows."""
    return highest.scatter_reduce_(0, owners[:, None].expand_as(rows), rows, "amax")


# What each pooling computes for one piece of a protein on the device; how pieces are joined is in embed.py.
PIECE_POOLS: dict[str, Callable[[Tensor, PackedBatch, Tensor], Tensor]] = {
    "mean": sum_of_residues,
    "max": largest_of_residues,
    "cls": first_token,
}
