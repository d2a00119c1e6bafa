"""The contenders of ``embed.py``, ``score.py`` and ``train.py``: these scripts share them, the model, the
proteins, and the measured speed of a matrix product, which is the ceiling of each.

Each contender lives in its own process, so that none profits from what another changed in it, and they take
turns: while one works, the others wait for their next task without using the processor.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from biofm_datasets import read_sequences

from biofm.core.memory import give_back_freed_memory

WIDTH, N_LAYERS, N_HEADS = 480, 12, 20
AGREEMENT = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
UNIREF90 = Path("protein", "uniref90_10k.fasta.gz")  # Lies in the folder that BIOFM_TEST_DATA names.

Work = Callable[[Any], Any]


class Contender:
    """Holds a name, the dtype that the contender computes in, and a process that does its work.

    ``make(*arguments)`` runs in that process and returns the function that takes a task and returns its
    result.
    """

    def __init__(
        self, name: str, dtype: torch.dtype, make: Callable[..., Work], *arguments: object, n_threads: int
    ) -> None:
        self.name, self.dtype = name, dtype
        here, there = multiprocessing.get_context("spawn").Pipe()
        self._connection = here
        process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(there, make, arguments, n_threads), daemon=True
        )
        process.start()
        there.close()

    def run(self, task: Any) -> tuple[float, Any]:
        """Do one task and return the seconds that it took, and its result."""
        self._connection.send(task)
        seconds, result = self._connection.recv()
        return seconds, result


def _serve(connection: Connection, make: Callable[..., Work], arguments: Any, n_threads: int) -> None:
    """Do tasks in the contender's process until the connection closes."""
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"  # A random model has no contact head.
    torch.set_num_threads(n_threads)
    work = make(*arguments)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        began = time.perf_counter()
        result = work(task)
        seconds = time.perf_counter() - began
        give_back_freed_memory()  # The next contender needs it.
        connection.send((seconds, result))


def contenders_of_biofm(make: Callable[[Path, str], Work], model: Path, n_threads: int) -> list[Contender]:
    """Make the contenders of biofm: float32, and ``--dtype auto`` if that is another dtype.

    ``make`` takes the folder of the model and the dtype.
    """
    from biofm.inference import choose_compute  # The Trainer's process should not load it.

    found = [Contender("biofm, float32", torch.float32, make, model, "float32", n_threads=n_threads)]
    auto = choose_compute("cpu", "auto")
    print(f"biofm --dtype auto is {auto.dtype_name}: {auto.reason}")
    if auto.dtype is not torch.float32:
        found.append(Contender("biofm, auto", auto.dtype, make, model, "auto", n_threads=n_threads))
    return found


class Rounds(NamedTuple):
    """Holds what was measured in each round.

    ``seconds`` are those of each contender; ``ceilings`` are operations a second of a matrix product in each
    dtype.
    """

    seconds: dict[str, np.ndarray]
    ceilings: dict[torch.dtype, np.ndarray]


def race(contenders: list[Contender], task: Any, n_rounds: int) -> Rounds:
    """Run the contenders in turns, and measure the ceilings before each round."""
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    ceilings: dict[torch.dtype, list[float]] = {contender.dtype: [] for contender in contenders}
    for number in range(1, n_rounds + 1):
        for dtype, measured in ceilings.items():
            measured.append(matmul_flops(dtype))
            print(f"  round {number}, matmul in {dtype_name(dtype)}: {measured[-1] / 1e9:.0f} GFLOP/s")
        for contender in contenders:
            seconds[contender.name].append(contender.run(task)[0])
            print(f"  round {number}, {contender.name}: {seconds[contender.name][-1]:.1f} s", flush=True)
    return Rounds(
        {name: np.array(each) for name, each in seconds.items()},
        {dtype: np.array(each) for dtype, each in ceilings.items()},
    )


def write_random_esm2(folder: Path) -> None:
    """Write a random ESM-2 with the shape of the published 35M model, in the layout of ``transformers``."""
    from transformers import EsmConfig, EsmForMaskedLM
    from transformers.utils import logging

    import biofm

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(0)
    config = EsmConfig(
        vocab_size=33, mask_token_id=32, pad_token_id=1, hidden_size=WIDTH, num_hidden_layers=N_LAYERS,
        num_attention_heads=N_HEADS, intermediate_size=4 * WIDTH, max_position_embeddings=1026,
        position_embedding_type="rotary", token_dropout=True, emb_layer_norm_before=False,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, layer_norm_eps=1e-5,
    )  # fmt: skip
    EsmForMaskedLM(config).save_pretrained(folder)
    biofm.load(str(folder), dtype="float32").save(folder, overwrite=True)  # This adds the tokenizer's files.


def first_sequences(path: Path, n: int) -> list[str]:
    """Return the first ``n`` sequences of a file, or all if it has fewer."""
    with path.open("rb") as file:
        return [record.sequence for record in islice(read_sequences(file, path.name), n)]


def matmul_flops(dtype: torch.dtype, n_tokens: int = 4096) -> float:
    """Measure operations a second of a matrix product of the model's largest shape, the best of five."""
    a, b = torch.randn(n_tokens, WIDTH, dtype=dtype), torch.randn(WIDTH, 4 * WIDTH, dtype=dtype)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - began)
    return 2 * n_tokens * WIDTH * 4 * WIDTH / min(seconds)


def encoder_flops(length: int) -> float:
    """Count the encoder's operations on one sequence of ``length`` tokens.

    They are the projections, and the scores and the mixing of attention.
    """
    return float(2 * 12 * WIDTH**2 * N_LAYERS * length + 4 * WIDTH * N_LAYERS * length**2)


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a dtype."""
    return str(dtype).removeprefix("torch.")
