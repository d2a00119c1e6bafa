"""Kernels for cross-entropy behind a linear layer: they keep the logits of one block of rows and words in
registers.

In the forward pass, a program owns some rows and walks a span of the vocabulary; a second step combines the
spans' sums. In the backward pass, a kernel computes the logits of some words again and writes their gradient
to memory, never much more than ``D_LOGITS_AT_ONCE``. The gradients of hidden and weight are matrix products
of it.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from biofm_kernels.linear_cross_entropy.reference import IGNORED
from biofm_kernels.numerics import dot, rounded

SPAN = 2048  # Words that one program of the forward kernel walks: few, so that few rows fill a GPU.
D_LOGITS_AT_ONCE = 2**26  # 128 MiB in half precision
ROW_OF_D_LOGITS = 64  # Each row of the logits' gradient is padded to a multiple of 64 words.


def forward(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the same as ``reference.forward``. The loss of a target outside the vocabulary is NaN."""
    hidden, weight = (x if x.stride(1) == 1 else x.contiguous() for x in (hidden, weight))
    bias = None if bias is None else bias.contiguous()
    n_rows, vocabulary = len(hidden), len(weight)
    n_spans = triton.cdiv(vocabulary, SPAN)
    of_spans = torch.empty(n_spans, n_rows, dtype=torch.float32, device=hidden.device)
    of_targets = torch.full((n_rows,), torch.nan, dtype=torch.float32, device=hidden.device)
    blocks = _blocks(hidden)
    if n_rows:
        with torch.cuda.device_of(hidden):
            linear_cross_entropy_forward[triton.cdiv(n_rows, blocks["ROWS"]), n_spans](
                hidden, weight, bias, targets.contiguous(), of_spans, of_targets, n_rows, vocabulary,
                hidden.shape[1], hidden.stride(0), weight.stride(0), SPAN, **blocks, num_warps=8,
            )  # fmt: skip
    lse = of_spans.logsumexp(0)
    return (lse - of_targets).masked_fill(targets == IGNORED, 0.0), lse


def backward(
    d_losses: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, lse: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Compute the same as ``reference.backward``."""
    hidden, weight = (x if x.stride(1) == 1 else x.contiguous() for x in (hidden, weight))
    bias = None if bias is None else bias.contiguous()
    targets, d_losses = targets.contiguous(), d_losses.masked_fill(targets == IGNORED, 0.0).contiguous()
    n_rows, vocabulary = len(hidden), len(weight)
    d_hidden = torch.zeros(hidden.shape, dtype=torch.float32, device=hidden.device)
    d_weight = torch.empty(weight.shape, dtype=weight.dtype, device=hidden.device)
    d_bias = None if bias is None else torch.empty(vocabulary, dtype=bias.dtype, device=hidden.device)
    blocks = _blocks(hidden)
    n_words = max(D_LOGITS_AT_ONCE // max(n_rows, 1) // blocks["WORDS"], 1) * blocks["WORDS"]
    for start in range(0, vocabulary, n_words):
        stop = min(start + n_words, vocabulary)
        # A vocabulary may have any number of words. With padding, each row begins where wide stores and
        # matrix instructions can begin.
        padded = triton.cdiv(stop - start, ROW_OF_D_LOGITS) * ROW_OF_D_LOGITS
        buffer = torch.empty(n_rows, padded, dtype=hidden.dtype, device=hidden.device)
        grid = triton.cdiv(n_rows, blocks["ROWS"]), triton.cdiv(padded, blocks["WORDS"])
        if n_rows:
            with torch.cuda.device_of(hidden):
                linear_cross_entropy_backward[grid](
                    hidden, weight, bias, targets, lse, d_losses, buffer, n_rows, start, stop,
                    hidden.shape[1], hidden.stride(0), weight.stride(0), padded,
                    **blocks, num_warps=blocks["ROWS"] // 16,
                )  # fmt: skip
        d_logits = buffer[:, : stop - start]
        d_hidden += d_logits @ weight[start:stop]
        torch.mm(d_logits.T, hidden, out=d_weight[start:stop])
        if d_bias is not None:
            d_bias[start:stop] = d_logits.sum(0, dtype=torch.float32)
    return d_hidden.to(hidden.dtype), d_weight, d_bias


def _blocks(hidden: Tensor) -> dict[str, int]:
    """Return sizes at which no register is spilled on any architecture from 8.0 to 12.0.

    They are smaller in float32, which is multiplied without tensor cores.
    """
    if hidden.dtype == torch.float32:
        return {"ROWS": 64, "WORDS": 64, "DEPTH": 32, "num_stages": 3}
    return {"ROWS": 128, "WORDS": 128, "DEPTH": 32, "num_stages": 4}


@triton.jit(do_not_specialize=["n_rows"])
def linear_cross_entropy_forward(
    hidden, weight, bias, targets, of_spans, of_targets, n_rows, vocabulary,
    width, hidden_stride, weight_stride,
    SPAN: tl.constexpr, ROWS: tl.constexpr, WORDS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Compute the log-sum-exp of each row over each span, block by block (Milakov and Gimelshein 2018).

    The program whose span holds a row's target also stores the target's logit.
    """
    row, inside = _numbers(tl.program_id(0) * ROWS, n_rows, ROWS)
    start = tl.program_id(1) * SPAN
    stop = min(start + SPAN, vocabulary)
    target = tl.load(targets + row, mask=inside, other=-1).to(tl.int32)
    of_target = tl.zeros([ROWS], tl.float32)
    highest = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    for first in range(start, stop, WORDS):
        word, known = _numbers(first, stop, WORDS)
        logits = _logits(
            hidden, weight, bias, row, inside, word, known, width, hidden_stride, weight_stride,
            ROWS, WORDS, DEPTH,
        )  # fmt: skip
        higher = tl.maximum(highest, tl.max(logits, 1))
        shift = tl.where(higher == float("-inf"), 0.0, higher)  # A bias of -inf may exclude all words so far.
        total = total * tl.exp(highest - shift) + tl.sum(tl.exp(logits - shift[:, None]), 1)
        highest = higher
        of_target += tl.sum(tl.where(word[None, :] == target[:, None], logits, 0.0), 1)
    tl.store(of_spans + tl.program_id(1).to(tl.int64) * n_rows + row, highest + tl.log(total), mask=inside)
    tl.store(of_targets + row, of_target, mask=inside & (target >= start) & (target < stop))


@triton.jit(do_not_specialize=["n_rows", "start", "stop"])
def linear_cross_entropy_backward(
    hidden, weight, bias, targets, lse, d_losses, d_logits, n_rows, start, stop,
    width, hidden_stride, weight_stride, d_logits_stride,
    ROWS: tl.constexpr, WORDS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Compute the gradient of a block of logits, of the words from ``start`` up to ``stop``; 0 behind
    them.
    """
    row, inside = _numbers(tl.program_id(0) * ROWS, n_rows, ROWS)
    place, there = _numbers(tl.program_id(1) * WORDS, d_logits_stride, WORDS)
    word = start + place
    known = word < stop
    logits = _logits(
        hidden, weight, bias, row, inside, word, known, width, hidden_stride, weight_stride,
        ROWS, WORDS, DEPTH,
    )  # fmt: skip
    target = tl.load(targets + row, mask=inside, other=-1).to(tl.int32)
    probability = tl.exp(logits - tl.load(lse + row, mask=inside, other=0.0)[:, None])
    truth = (word[None, :] == target[:, None]).to(tl.float32)
    gradient = (probability - truth) * tl.load(d_losses + row, mask=inside, other=0.0)[:, None]
    places = row.to(tl.int64)[:, None] * d_logits_stride + place[None, :]
    gradient = rounded(gradient, d_logits.dtype.element_ty)
    # The store goes to the end of the row, not of the words: its length is a multiple of 16, so that the
    # compiler can store wide.
    tl.store(d_logits + places, gradient, mask=inside[:, None] & there[None, :])


@triton.jit
def _numbers(first, stop, COUNT: tl.constexpr):
    """Return ``COUNT`` numbers from ``first`` on, and which of them are before ``stop``."""
    number = first + tl.arange(0, COUNT)
    return number, number < stop


@triton.jit
def _logits(
    hidden, weight, bias, row, inside, word, known, width, hidden_stride, weight_stride,
    ROWS: tl.constexpr, WORDS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Compute hidden weightᵀ + bias of some rows and words in float32; -inf for words that are not
    ``known``.
    """
    logits = tl.zeros([ROWS, WORDS], tl.float32)
    for first in range(0, width, DEPTH):
        column, there = _numbers(first, width, DEPTH)
        of_rows = tl.load(
            hidden + row.to(tl.int64)[:, None] * hidden_stride + column[None, :],
            mask=inside[:, None] & there[None, :],
            other=0.0,
        )
        of_words = tl.load(
            weight + word.to(tl.int64)[None, :] * weight_stride + column[:, None],
            mask=known[None, :] & there[:, None],
            other=0.0,
        )
        logits += dot(of_rows, of_words)
    if bias is not None:
        logits += tl.load(bias + word, mask=known, other=0.0).to(tl.float32)[None, :]
    return tl.where(known[None, :], logits, float("-inf"))
