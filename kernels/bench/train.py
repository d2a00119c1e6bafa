"""Times training, biofm beside the ``transformers`` Trainer: same weights, optimiser, precision and proteins,
in turns, each in its own process.

    python kernels/bench/train.py [--input FASTA] [--steps 3] [--rounds 3] [--threads 2] [--dtype float32]

The contenders train a random 35M-shaped ESM-2 by masked-language modelling (15 %, AdamW) on UniRef90:

- transformers: its Trainer and its collator, batches of 16 proteins in a shuffled order, cut at 1,022
  residues and padded to the longest.
- biofm: ``fit``, packed batches with as many tokens as 16 such proteins have on average.

A speed is real tokens (padding not counted) over the seconds of the whole call that trains, the median of the
rounds; a ratio is the median of each round's ratio. Nothing is printed unless both models have the same
losses over some steps on the same masked tokens.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import TokenStore
from biofm_datasets.text import format_count
from contenders import UNIREF90, Contender, first_sequences, matmul_flops, write_random_esm2
from torch.nn import functional as F

from biofm.core.memory import peak_resident_bytes

LONGEST = 1022  # Residues.
BATCH = 16
MASKED_SHARE = 0.15
LEARNING_RATE = 1e-4
LOSSES_AGREE = 1e-4  # The largest relative difference, in float32.
IGNORED = -100

Train = Callable[[int], "Trained"]


class Trained(NamedTuple):
    """Holds the real tokens that were trained on, the tokens with their padding, and the peak memory of the
    process.
    """

    n_tokens: int
    n_padded: int
    peak_bytes: int


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    sequences = _sequences(options.input, options.sequences)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("XDG_STATE_HOME", folder)
        model = Path(folder, "model")
        write_random_esm2(model)
        _check_losses(model, sequences)
        dtype = getattr(torch, options.dtype)
        make = {"transformers Trainer": trainer, "biofm": biofm_fit}
        contenders = [
            Contender(name, dtype, of, model, sequences, dtype, n_threads=options.threads)
            for name, of in make.items()
        ]
        _race(contenders, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--input", type=Path, help="FASTA file; default: UniRef90 in the folder BIOFM_TEST_DATA"
    )
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    return parser.parse_args()


def _sequences(path: Path | None, n: int) -> list[str]:
    """Read the proteins, cut at the longest length."""
    path = path or Path(os.environ["BIOFM_TEST_DATA"]) / UNIREF90
    found = first_sequences(path, n)
    print(
        f"input: the first {format_count(len(found), 'sequence')} of {path.name}, cut at {LONGEST} residues"
    )
    return [sequence[:LONGEST] for sequence in found]


def trainer(folder: Path, sequences: list[str], dtype: torch.dtype) -> Train:
    """Make the function that trains with the Trainer, as people write it."""
    from transformers import (
        DataCollatorForLanguageModeling,
        EsmForMaskedLM,
        EsmTokenizer,
        Trainer,
        TrainingArguments,
    )
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = EsmTokenizer.from_pretrained(folder)
    encoded = [{"input_ids": ids} for ids in tokenizer(sequences)["input_ids"]]
    collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED_SHARE)

    def train(n_steps: int) -> Trained:
        n_tokens = n_padded = 0

        def collate_and_count(examples: list[dict[str, Any]]) -> Any:
            nonlocal n_tokens, n_padded
            batch = collate(examples)
            n_tokens += int(batch["attention_mask"].sum())
            n_padded += batch["attention_mask"].numel()
            return batch

        with tempfile.TemporaryDirectory() as output:
            arguments = TrainingArguments(
                output, per_device_train_batch_size=BATCH, max_steps=n_steps, learning_rate=LEARNING_RATE,
                optim="adamw_torch", bf16=dtype is torch.bfloat16, use_cpu=True, report_to="none",
                save_strategy="no", logging_strategy="no", disable_tqdm=True,
            )  # fmt: skip
            model = EsmForMaskedLM.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32)
            Trainer(model, arguments, train_dataset=encoded, data_collator=collate_and_count).train()
        return Trained(n_tokens, n_padded, peak_resident_bytes())

    return train


def biofm_fit(folder: Path, sequences: list[str], dtype: torch.dtype) -> Train:
    """Make the function that trains with biofm."""
    import biofm
    from biofm.core.memory import keep_freed_memory
    from biofm.inference import Compute
    from biofm.training import PretrainRecipe
    from biofm.training.data import PackedData
    from biofm.training.fit import fit
    from biofm.training.log import read_log
    from biofm.training.objectives import masked_lm

    keep_freed_memory()
    loaded = biofm.load(folder, device="cpu", dtype="float32")
    tokenizer = loaded.checkpoint.tokenizer
    store = TokenStore.of(tokenizer.encode(sequence) for sequence in sequences)
    everything = np.arange(len(store))
    budget = round(BATCH * float(store.lengths(everything).mean()))
    compute = Compute(torch.device("cpu"), dtype, "as the benchmark asks")

    def train(n_steps: int) -> Trained:
        recipe = PretrainRecipe(
            n_steps=n_steps, tokens_per_batch=budget, max_length=LONGEST + 2, optimizer="adamw",
            learning_rate=LEARNING_RATE, masked_share=MASKED_SHARE, n_warmup=0, log_every=1, seed=n_steps,
        )  # fmt: skip
        objective = masked_lm(tokenizer, recipe)
        model = biofm.load(folder, device="cpu", dtype="float32").checkpoint.module.requires_grad_()
        data = PackedData(store, Mixture([everything], None, recipe.seed), everything[:0], objective, recipe)
        with tempfile.TemporaryDirectory() as run:
            fit(model, objective, data, recipe, compute, Path(run), lambda *_: None)
            n_tokens = int(read_log(Path(run, "metrics.csv"))[-1]["tokens"])
        return Trained(n_tokens, n_tokens, peak_resident_bytes())

    return train


def _check_losses(folder: Path, sequences: list[str], n_steps: int = 3, n_proteins: int = 4) -> None:
    """Train one model padded and one packed for three steps of AdamW on the same masked tokens, and compare.

    Stop the program if their losses differ.
    """
    from transformers import EsmForMaskedLM

    import biofm
    from biofm.nn import pack

    loaded = biofm.load(folder, device="cpu", dtype="float32").checkpoint
    theirs = EsmForMaskedLM.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32).eval()
    ours, mask = loaded.module.requires_grad_(), loaded.tokenizer.mask
    optimizers = [torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE) for model in (theirs, ours)]
    generator = torch.Generator().manual_seed(0)
    for step in range(n_steps):
        proteins = sequences[step * n_proteins : (step + 1) * n_proteins]
        targets = [torch.from_numpy(loaded.tokenizer.encode(one)).long() for one in proteins]
        chosen = [torch.rand(len(one), generator=generator) < MASKED_SHARE for one in targets]
        seen = [one.masked_fill(hidden, mask) for one, hidden in zip(targets, chosen, strict=True)]
        labels = [one.masked_fill(~hidden, IGNORED) for one, hidden in zip(targets, chosen, strict=True)]
        padded = torch.nn.utils.rnn.pad_sequence(seen, batch_first=True, padding_value=1)
        padded_labels = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED)
        their_loss = theirs(padded, attention_mask=(padded != 1).long(), labels=padded_labels).loss
        rows = torch.cat(chosen).nonzero()[:, 0]
        hidden_states = ours.encoder(pack(seen))[rows]
        our_loss = F.cross_entropy(ours.logits(hidden_states), torch.cat(targets)[rows])
        difference = abs(float(our_loss.detach() / their_loss.detach()) - 1)
        print(f"step {step + 1}, loss on the same tokens: {their_loss:.6f} and {our_loss:.6f}", flush=True)
        if not difference < LOSSES_AGREE:
            raise SystemExit(
                f"the losses differ by {difference:.1e}, more than {LOSSES_AGREE:.0e}: no speed is printed"
            )
        for optimizer, loss in zip(optimizers, (their_loss, our_loss), strict=True):
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


def _race(contenders: list[Contender], options: argparse.Namespace) -> None:
    """Train with the Trainer and with biofm in turns, and print a table. The first call of each, one step, is
    not timed.
    """
    for contender in contenders:
        contender.run(1)
    speeds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    paddings, peaks = [], {}
    for number in range(1, options.rounds + 1):
        ceiling = matmul_flops(contenders[0].dtype)
        print(f"  round {number}, matmul in {options.dtype}: {ceiling / 1e9:.0f} GFLOP/s", flush=True)
        for contender in contenders:
            seconds, trained = contender.run(options.steps)
            speeds[contender.name].append(trained.n_tokens / seconds)
            paddings.append(trained.n_padded / trained.n_tokens)
            peaks[contender.name] = trained.peak_bytes
            print(
                f"  round {number}, {contender.name}: {trained.n_tokens:,} tokens in {seconds:.1f} s",
                flush=True,
            )
    theirs, ours = (np.array(each) for each in speeds.values())
    print(
        f"{format_count(options.threads, 'thread')}, {options.dtype}, {format_count(options.steps, 'step')}, "
        f"{format_count(options.rounds, 'round')}"
    )
    for name, each in speeds.items():
        print(f"{name:24} {median(each):8.0f} tokens/s, peak memory {peaks[name] / 1e9:.1f} GB")
    print(
        f"biofm is {median(ours / theirs):.2f}x as fast as the Trainer; "
        f"leaving out the padding accounts for {max(paddings):.2f}x"
    )


if __name__ == "__main__":
    main()
