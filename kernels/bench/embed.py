"""Times embedding, biofm beside ``transformers``: same weights, same sequences, in turns, each in its own
process.

    python kernels/bench/embed.py [--input FASTA] [--sequences 200] [--rounds 3] [--threads 2]

The contenders run a random 35M-shaped ESM-2 and take the mean over residues:

- usual: ``transformers`` as people write it: float32, batches of 8 in file order, padded.
- best: ``transformers`` sorted by length, with scaled-dot-product attention, in the best of its dtypes and
  batch sizes (each tried once first).
- biofm in float32, and with ``--dtype auto`` if that is another dtype.

A speed is real tokens (padding not counted) over seconds, the median of the rounds; a ratio is the median of
each round's ratio. Nothing is printed unless the embeddings agree. The share of the ceiling is the model's
arithmetic (projections and attention, 2 operations for each multiply-add) over that of a large matrix product
of the same dtype measured in the same round.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from biofm_datasets.text import format_count
from contenders import (
    AGREEMENT,
    UNIREF90,
    WIDTH,
    Contender,
    contenders_of_biofm,
    dtype_name,
    encoder_flops,
    first_sequences,
    race,
    write_random_esm2,
)

import biofm

Embeddings = np.ndarray
Embed = Callable[[list[str]], Embeddings]


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    sequences = _sequences(options.input, options.sequences)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("XDG_STATE_HOME", folder)
        write_random_esm2(Path(folder, "model"))
        contenders = _contenders(Path(folder, "model"), sequences, options.threads)
        _check_agreement(contenders, sequences)
        _race(contenders, sequences, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--input",
        type=Path,
        help="FASTA file; default: UniRef90 in the folder BIOFM_TEST_DATA, else made-up sequences",
    )
    parser.add_argument("--sequences", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def _sequences(path: Path | None, n: int) -> list[str]:
    """Read the first ``n`` sequences of a file, or make up some with lengths distributed like UniRef90's."""
    if path is None and "BIOFM_TEST_DATA" in os.environ:
        path = Path(os.environ["BIOFM_TEST_DATA"]) / UNIREF90
    if path is None:
        rng = np.random.default_rng(0)
        lengths = np.clip(rng.lognormal(5.56, 0.72, n), 20, 4000).astype(int)
        print(
            f"input: {format_count(n, 'made-up sequence')} "
            f"(log-normal lengths, median {np.median(lengths):.0f})"
        )
        return ["".join(rng.choice(list("LAGVSERTIDPKQNFYMHWC"), length)) for length in lengths]
    sequences = first_sequences(path, n)
    print(f"input: the first {format_count(len(sequences), 'sequence')} of {path.name}")
    return sequences


def _contenders(folder: Path, sequences: list[str], n_threads: int) -> list[Contender]:
    """Start the contenders."""
    contender = partial(Contender, n_threads=n_threads)
    usual = contender(
        "transformers, usual", torch.float32, transformers_embed, folder, torch.float32, 8, False
    )
    best = _best_transformers(folder, sequences, contender)
    return [usual, best, *contenders_of_biofm(biofm_embed, folder, n_threads)]


def biofm_embed(folder: Path, dtype: str) -> Embed:
    """Make the function that embeds with biofm."""
    model = biofm.load(folder, device="cpu", dtype=dtype)
    return lambda sequences: model.embed(sequences).values


def transformers_embed(folder: Path, dtype: torch.dtype, batch_size: int, by_length: bool) -> Embed:
    """Make the function that embeds with ``transformers``."""
    from transformers import EsmModel, EsmTokenizer

    tokenizer = EsmTokenizer.from_pretrained(folder)
    model = EsmModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="sdpa", dtype=dtype)
    model.eval()

    @torch.inference_mode()
    def embed(sequences: list[str]) -> Embeddings:
        order = (
            sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
            if by_length
            else range(len(sequences))
        )
        rows = np.empty((len(sequences), WIDTH), np.float32)
        for start in range(0, len(sequences), batch_size):
            members = list(order[start : start + batch_size])
            batch = tokenizer([sequences[i] for i in members], return_tensors="pt", padding=True)
            hidden = model(**batch).last_hidden_state.float()
            residues = batch["attention_mask"].bool()
            residues[:, 0] = False  # <cls>
            residues[torch.arange(len(members)), batch["attention_mask"].sum(1) - 1] = False  # <eos>
            rows[members] = ((hidden * residues[..., None]).sum(1) / residues.sum(1, keepdim=True)).numpy()
        return rows

    return embed


def _best_transformers(folder: Path, sequences: list[str], contender: Callable[..., Contender]) -> Contender:
    """Choose the fastest of its dtypes and batch sizes, each tried on every tenth sequence."""
    sample = sequences[::10]
    tried = []
    for dtype in (torch.float32, torch.bfloat16):
        for batch_size in (1, 4, 8, 32):
            name = f"transformers, best: sorted, {dtype_name(dtype)}, batches of {batch_size}"
            tried_one = contender(name, dtype, transformers_embed, folder, dtype, batch_size, True)
            tried_one.run(sample[:1])  # The first call is slower.
            tried.append((tried_one.run(sample)[0], tried_one))
            print(f"  tried {name}: {tried[-1][0]:.1f} s", flush=True)
            if tried[-1][0] > 2 * min(tried, key=lambda pair: pair[0])[0]:
                break  # The CPU has no instructions for bfloat16: other batch sizes will not help.
    return min(tried, key=lambda pair: pair[0])[1]


def _check_agreement(contenders: list[Contender], sequences: list[str]) -> None:
    """Stop the program if a contender's embeddings differ from those of the first."""
    sample = sorted(sequences, key=len)[::20]
    _, reference = contenders[0].run(sample)
    for contender in contenders[1:]:
        difference = np.abs(contender.run(sample)[1] - reference).max() / np.abs(reference).max()
        if difference > AGREEMENT[contender.dtype]:
            raise SystemExit(
                f"{contender.name}: embeddings differ from those of transformers by {difference:.1e}, "
                f"more than {AGREEMENT[contender.dtype]:.0e}: no speed is printed"
            )


def _race(contenders: list[Contender], sequences: list[str], options: argparse.Namespace) -> None:
    """Time the contenders and print a table."""
    n_tokens = sum(len(sequence) + 2 for sequence in sequences)
    flops = sum(encoder_flops(len(sequence) + 2) for sequence in sequences)
    rounds = race(contenders, sequences, options.rounds)
    print(
        f"{format_count(len(sequences), 'sequence')}, {format_count(n_tokens, 'token')}, "
        f"{format_count(options.threads, 'thread')}, {format_count(options.rounds, 'round')}"
    )
    usual, best = (rounds.seconds[contender.name] for contender in contenders[:2])
    print(f"{'':60} tokens/s   / usual   / best   of ceiling")
    for contender in contenders:
        seconds = rounds.seconds[contender.name]
        share = median(flops / seconds / rounds.ceilings[contender.dtype])
        ratios = f"{median(usual / seconds):8.2f}x {median(best / seconds):7.2f}x"
        print(f"{contender.name:60} {median(n_tokens / seconds):8.0f} {ratios} {share:10.0%}")


if __name__ == "__main__":
    main()
