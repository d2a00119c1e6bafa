"""Times packed attention on the CPU beside the usual ways to do without packing, in turns, in one process.

    python kernels/bench/attention/cpu.py [--tokens 6000] [--rounds 5] [--threads 2]

The task is attention in float32 over proteins of log-normal lengths, in 4 heads of 64 and in 20 of 24: a
forward pass, and a forward pass with the gradients of q, k and v. The contenders:

- biofm: packed, ``biofm_kernels.attention``.
- padded: a batch as long as its longest protein, ``scaled_dot_product_attention`` with a mask of the keys.
  Its tensors come padded; padding them and back is not timed.
- block-diagonal: all proteins as one sequence, with a mask that says which token sees which.
- loop: one call of ``scaled_dot_product_attention`` for each protein.

Nothing is printed unless outputs and gradients agree. A time is the median of the rounds; a ratio is the
median of each round's ratio. On a machine that others use too, threads that spin while they wait cost many
times the work; OMP_WAIT_POLICY=passive in the environment lets them sleep.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import torch
from biofm_kernels import attention
from torch import Tensor
from torch.nn import functional as F
from workloads import PASSES, Batch, Pass, Workload, make_batch, protein_lengths, relative_error

SHAPES = ((4, 64), (20, 24))  # (heads, head dim) of a small model and of ESM-2 35M.
AGREEMENT = 1e-5

Attend = Callable[[], list[Tensor]]


class Contender(NamedTuple):
    """Holds a way to attend, and how its tensors are laid out.

    ``lay`` brings (tokens, heads, head_dim) into its layout, and ``collect`` brings it back.
    """

    name: str
    attend: Callable[[Tensor, Tensor, Tensor], Tensor]
    lay: Callable[[Tensor], Tensor]
    collect: Callable[[Tensor], Tensor]


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    lengths = protein_lengths(options.tokens)
    padding = len(lengths) * max(lengths) / sum(lengths)
    print(f"proteins: {len(lengths):,}, tokens: {sum(lengths):,}, with padding {padding:.1f} times as many")
    print(f"float32, threads: {options.threads}, rounds: {options.rounds}, torch {torch.__version__}")
    for n_heads, head_dim in SHAPES:
        workload = Workload(
            name="proteins", lengths=lengths, n_heads=n_heads, head_dim=head_dim, dtype=torch.float32
        )
        batch = make_batch(workload, torch.device("cpu"))
        contenders = [biofm(batch), padded(batch), block_diagonal(batch), loop(batch)]
        _check_agreement(contenders, batch)
        for which in PASSES:
            _race(contenders, batch, which, options.rounds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def biofm(batch: Batch) -> Contender:
    """Make the contender that attends over the packed batch."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k, v, batch.cu_seqlens, batch.max_seqlen)

    return Contender("biofm, packed", attend, _as_it_is, _as_it_is)


def padded(batch: Batch) -> Contender:
    """Make the contender that pads every protein to the longest."""
    lengths = torch.tensor(batch.workload.lengths)
    inside = torch.arange(batch.max_seqlen) < lengths[:, None]  # (sequences, length)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=inside[:, None, None])

    def lay(x: Tensor) -> Tensor:
        wide = x.new_zeros(*inside.shape, *x.shape[1:])
        wide[inside] = x
        return wide.transpose(1, 2)

    return Contender("padded, key mask", attend, lay, lambda x: x.transpose(1, 2)[inside])


def block_diagonal(batch: Batch) -> Contender:
    """Make the contender that attends over one long sequence with a mask."""
    lengths = torch.tensor(batch.workload.lengths)
    sequence = torch.arange(len(lengths)).repeat_interleave(lengths)
    seen = sequence[:, None] == sequence

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen)

    return Contender("block-diagonal mask", attend, _one_sequence, lambda x: x[0].transpose(0, 1))


def loop(batch: Batch) -> Contender:
    """Make the contender that attends over one protein after the other."""
    lengths = batch.workload.lengths

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        pieces = zip(*(x.split(lengths, 2) for x in (q, k, v)), strict=True)
        return torch.cat([F.scaled_dot_product_attention(*piece) for piece in pieces], 2)

    return Contender("loop over proteins", attend, _one_sequence, lambda x: x[0].transpose(0, 1))


def _as_it_is(x: Tensor) -> Tensor:
    """Return x unchanged."""
    return x


def _one_sequence(x: Tensor) -> Tensor:
    """Reshape (tokens, heads, head_dim) to (1, heads, tokens, head_dim), a view."""
    return x.transpose(0, 1)[None]


def _work(contender: Contender, batch: Batch, which: Pass) -> Attend:
    """Make the function that is timed: it does one pass and returns the output and, where wanted, the
    gradients.
    """
    q, k, v = (contender.lay(x.detach()).requires_grad_() for x in (batch.q, batch.k, batch.v))
    d_out = contender.lay(batch.d_out)

    def work() -> list[Tensor]:
        if which == "forward":
            with torch.no_grad():
                return [contender.attend(q, k, v)]
        out = contender.attend(q, k, v)
        return [out, *torch.autograd.grad(out, (q, k, v), d_out)]

    return work


def _check_agreement(contenders: list[Contender], batch: Batch) -> None:
    """Stop the program if a contender's outputs or gradients differ from those of the first."""
    first, *others = (
        [contender.collect(x).detach() for x in _work(contender, batch, "forward+backward")()]
        for contender in contenders
    )
    for contender, found in zip(contenders[1:], others, strict=True):
        error = relative_error(found, first)
        if not error < AGREEMENT:
            raise SystemExit(
                f"{contender.name}: results differ from biofm's by {error:.1e}, more than {AGREEMENT:.0e}: "
                "no speed is printed"
            )


def _race(contenders: list[Contender], batch: Batch, which: Pass, n_rounds: int) -> None:
    """Time the contenders in turns and print a table."""
    works = [_work(contender, batch, which) for contender in contenders]
    rounds = [[_seconds(work) for work in works] for _ in range(1 + n_rounds)][
        1:
    ]  # The first round is slower.
    print(f"\n{batch.workload.n_heads} heads of {batch.workload.head_dim}, {which}")
    print(f"{'':24} {'ms':>8}   / biofm")
    for number, contender in enumerate(contenders):
        ratio = median(each[number] / each[0] for each in rounds)
        print(f"{contender.name:24} {1e3 * median(each[number] for each in rounds):8.1f} {ratio:8.2f}x")


def _seconds(work: Attend) -> float:
    """Measure the seconds that the work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
