"""Times variant effects by masked marginals, biofm beside the plain loop of ``transformers``, in turns.

    python kernels/bench/score.py [--residues 300] [--rounds 3] [--threads 2]

The task is to score all single substitutions of one protein with a random 35M-shaped ESM-2: the
log-probabilities of every token at every position, each masked in turn. The contenders, each in its own
process:

- loop: ``transformers`` in float32, one forward pass for each position, as the published scripts write it.
- biofm in float32, and with ``--dtype auto`` if that is another dtype: masked copies are packed together, and
  the last layer and the head compute masked rows only.

Nothing is printed unless the log-probabilities agree. A speed is variants (19 for each residue) over seconds,
the median of the rounds; a ratio is the median of each round's ratio. The share of the ceiling is the
arithmetic that biofm does (rows that the last layer leaves out are not counted) over that of a large matrix
product of the same dtype measured in the same round.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from biofm_datasets.text import format_count
from contenders import (
    AGREEMENT,
    WIDTH,
    Contender,
    contenders_of_biofm,
    encoder_flops,
    race,
    write_random_esm2,
)

import biofm
from biofm.inference import Query, QueryRunner, place

N_MUTANTS = 19
LogProbabilities = np.ndarray
Scan = Callable[[str], LogProbabilities]


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    sequence = "".join(rng.choice(list("LAGVSERTIDPKQNFYMHWC"), options.residues))
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("XDG_STATE_HOME", folder)
        write_random_esm2(Path(folder, "model"))
        contenders = _contenders(Path(folder, "model"), options.threads)
        _check_agreement(contenders, sequence[:40])
        _race(contenders, sequence, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--residues", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def _contenders(folder: Path, n_threads: int) -> list[Contender]:
    """Start the contenders."""
    name = "transformers, one position a pass"
    loop = Contender(name, torch.float32, transformers_scan, folder, n_threads=n_threads)
    return [loop, *contenders_of_biofm(biofm_scan, folder, n_threads)]


def transformers_scan(folder: Path) -> Scan:
    """Make the function that scores with ``transformers``."""
    from transformers import EsmForMaskedLM, EsmTokenizer

    tokenizer = EsmTokenizer.from_pretrained(folder)
    model = EsmForMaskedLM.from_pretrained(folder).eval()

    @torch.inference_mode()
    def scan(sequence: str) -> LogProbabilities:
        batch = tokenizer(sequence, return_tensors="pt")
        rows = []
        for place_ in range(1, len(sequence) + 1):
            tokens = batch["input_ids"].clone()
            tokens[0, place_] = tokenizer.mask_token_id
            logits = model(tokens, attention_mask=batch["attention_mask"]).logits
            rows.append(logits[0, place_].log_softmax(-1))
        return torch.stack(rows).numpy()

    return scan


def biofm_scan(folder: Path, dtype: str) -> Scan:
    """Make the function that scores with biofm."""
    model = biofm.load(folder, device="cpu", dtype=dtype)
    tokenizer = model.checkpoint.tokenizer
    predictor = QueryRunner(place(model.checkpoint.module, model.compute), tokenizer.mask, model.compute)

    def scan(sequence: str) -> LogProbabilities:
        tokens = tokenizer.encode(sequence)
        places = np.arange(1, len(sequence) + 1)[:, None]
        return np.concatenate(list(predictor.predict(Query(tokens, here, here) for here in places)))

    return scan


def _check_agreement(contenders: list[Contender], sequence: str) -> None:
    """Stop the program if a contender's scores differ from those of the first."""
    _, reference = contenders[0].run(sequence)
    for contender in contenders[1:]:
        difference = np.abs(contender.run(sequence)[1] - reference).max()
        if difference > AGREEMENT[contender.dtype]:
            raise SystemExit(
                f"{contender.name}: scores differ from those of transformers by {difference:.1e}, more than "
                f"{AGREEMENT[contender.dtype]:.0e}: no speed is printed"
            )


def _race(contenders: list[Contender], sequence: str, options: argparse.Namespace) -> None:
    """Time the contenders and print a table."""
    n_variants = N_MUTANTS * len(sequence)
    rounds = race(contenders, sequence, options.rounds)
    print(
        f"{format_count(len(sequence), 'residue')}, {format_count(options.threads, 'thread')}, "
        f"{format_count(options.rounds, 'round')}"
    )
    flops = _flops_a_position(len(sequence) + 2) * len(sequence)
    print(f"{'':40} variants/s   / loop   of ceiling")
    for contender in contenders:
        seconds = rounds.seconds[contender.name]
        is_ours = contender.name.startswith("biofm")
        share = f"{median(flops / seconds / rounds.ceilings[contender.dtype]):10.0%}" if is_ours else ""
        ratio = median(rounds.seconds[contenders[0].name] / seconds)
        print(f"{contender.name:40} {median(n_variants / seconds):10.1f} {ratio:7.2f}x {share}")


def _flops_a_position(length: int) -> float:
    """Count the operations of one masked copy if its last layer computes one row beside keys and values."""
    left_out = (length - 1) * (2 * 10 * WIDTH**2 + 4 * WIDTH * length)
    return encoder_flops(length) - float(left_out)


if __name__ == "__main__":
    main()
