"""Floating-point operations: how many a step of training takes, by formula, and how many a second the machine
does at best. Their ratio is the model FLOPs utilisation (MFU) of a run.
"""

import time
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from biofm.nn import Encoder, EncoderConfig, MaskedLM

# Of attention, in products of the size of q kᵀ: two forward, and five backward, the scores once more among
# them, as in FlashAttention-2's count (Dao 2023, section 4.1).
ATTENTION_FORWARD, ATTENTION_BACKWARD = 2, 5

# Dense products in bfloat16 or float16 with sums in float32, in TFLOP/s, by the name that the driver gives.
# Data sheets of NVIDIA: A100 (2022), A30 (2021), A10 (2021), A40 (2022), L4, L40 and L40S (2023), H100 (2024:
# SXM, PCIe and NVL), H200 (2024: SXM and NVL), GH200 (2024), HGX B200 (2025); where they give the figure with
# sparsity, half of it. GeForce: white papers Ampere GA102 2.1, Ada 2.1 and RTX Blackwell 1.1, appendix A.
GPU_TFLOPS = {
    "NVIDIA A10": 125.0,
    "NVIDIA A100 80GB PCIe": 312.0,
    "NVIDIA A100-PCIE-40GB": 312.0,
    "NVIDIA A100-SXM4-40GB": 312.0,
    "NVIDIA A100-SXM4-80GB": 312.0,
    "NVIDIA A30": 165.0,
    "NVIDIA A40": 149.7,
    "NVIDIA B200": 2250.0,
    "NVIDIA GH200 480GB": 989.4,
    "NVIDIA GeForce RTX 3090": 71.0,
    "NVIDIA GeForce RTX 4090": 165.2,
    "NVIDIA GeForce RTX 5090": 209.5,
    "NVIDIA H100 80GB HBM3": 989.4,
    "NVIDIA H100 NVL": 835.5,
    "NVIDIA H100 PCIe": 756.5,
    "NVIDIA H200": 989.4,
    "NVIDIA H200 NVL": 835.5,
    "NVIDIA L4": 121.0,
    "NVIDIA L40": 181.1,
    "NVIDIA L40S": 362.1,
}

# Large enough for a CPU to reach its best, small enough for a quarter of a second to see it.
CPU_SIZE = 1024
CPU_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What passes through a model: tokens; pairs of tokens that may meet, which is the sum of the squares of
    the lengths; rows, which are the tokens that are judged; and pairs of a row and a token of its sequence.
    """

    n_tokens: int
    n_pairs: int
    n_rows: int = 0
    n_row_pairs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """The matrix products of one model. All else (norms, activations, the optimiser) is left out, as is
    usual.

    matrix_weights: of the blocks' matrices that every token passes. pair_products: d_model x layers, the cost
    of one product for a pair of tokens; half of it where a token sees only those before it. row_weights and
    row_pair_products: the same in the last block, where rows alone pass its end. head_weights: of the head's
    matrices, which rows alone pass.

    backward_products: in place of one product of a matrix forward. Two train it (the gradients of its input
    and of its weights); one passes it while it is frozen, under adapters.
    """

    matrix_weights: int
    pair_products: float
    head_weights: int = 0
    row_weights: int = 0
    row_pair_products: float = 0.0
    backward_products: int = 2

    def forward(self, work: Work) -> float:
        """Operations, a multiplication and an addition each counted as one."""
        return self._blocks(work) + 2 * work.n_rows * self.head_weights

    def step(self, work: Work, *, recomputed: bool = False) -> float:
        """Forward and backward; ``recomputed``: with the blocks forward once more, which is what activation
        checkpointing costs at most. Model FLOPs, of which MFU is made, do not count that (Chowdhery et al.
        2022, PaLM, appendix B).
        """
        matrices = self._matrices(work) + work.n_rows * self.head_weights
        attention = ATTENTION_BACKWARD * self._pairs(work)
        backward = 2 * (self.backward_products * matrices + attention)
        return self.forward(work) + backward + (self._blocks(work) if recomputed else 0.0)

    def _blocks(self, work: Work) -> float:
        return 2 * (self._matrices(work) + ATTENTION_FORWARD * self._pairs(work))

    def _matrices(self, work: Work) -> int:
        return work.n_tokens * self.matrix_weights + work.n_rows * self.row_weights

    def _pairs(self, work: Work) -> float:
        return work.n_pairs * self.pair_products + work.n_row_pairs * self.row_pair_products


def arithmetic_of(
    config: EncoderConfig, *, head_weights: int = 0, frozen: bool = False, rows_alone: bool = False
) -> Arithmetic:
    """The matrix products of an encoder and of a head with ``head_weights`` weights.

    ``frozen``: only adapters beside the encoder's weights are trained. ``rows_alone``: of tokens that are not
    judged, the last block makes queries, keys and values, and no more.
    """
    n_wide = 3 if config.feedforward == "swiglu" else 2
    qkv = 3 * config.d_model**2
    block = qkv + config.d_model**2 + n_wide * config.d_model * config.d_feedforward
    pair = config.d_model * (0.5 if config.causal else 1.0)
    row_weights = block - qkv if rows_alone else 0
    return Arithmetic(
        matrix_weights=config.n_layers * block - row_weights,
        pair_products=(config.n_layers - 1 if rows_alone else config.n_layers) * pair,
        head_weights=head_weights,
        row_weights=row_weights,
        row_pair_products=pair if rows_alone else 0.0,
        backward_products=1 if frozen else 2,
    )


def arithmetic_of_model(model: nn.Module) -> Arithmetic:
    """The matrix products of a model that holds an encoder. Whether the encoder learns is seen from its
    weights; only the judged rows of a masked language model pass the end of its last block.
    """
    encoder = next(part for part in model.modules() if isinstance(part, Encoder))
    config = encoder.config
    is_language_model = isinstance(model, MaskedLM)
    return arithmetic_of(
        config,
        head_weights=language_head_weights(config) if is_language_model else 0,
        frozen=not encoder.embedding.tokens.weight.requires_grad,
        rows_alone=is_language_model and not config.causal,
    )


def language_head_weights(config: EncoderConfig) -> int:
    """How many weights the head has that predicts tokens: a square matrix, then one vector a token."""
    return config.d_model**2 + config.vocab_size * config.d_model


def peak_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """Operations a second in products of ``dtype``; None where it is not known.

    Of a GPU its maker's figure, by name, for the two 16-bit types; a part of one (MIG) has a name of its own
    and is not known. Of a CPU the best of some products with the threads that torch has now, measured once.
    """
    if device.type == "cpu":
        return _measure_cpu(dtype, torch.get_num_threads())
    if device.type == "cuda" and dtype in (torch.bfloat16, torch.float16):
        tflops = GPU_TFLOPS.get(torch.cuda.get_device_name(device))
        return None if tflops is None else 1e12 * tflops
    return None


@cache
def _measure_cpu(dtype: torch.dtype, n_threads: int) -> float:
    """The best rate of some products. ``n_threads`` only keeps the measurements of several numbers apart."""
    a, b = torch.ones(2, CPU_SIZE, CPU_SIZE, dtype=dtype)
    out = torch.mm(a, b)  # the first product of a process is slow
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < CPU_SECONDS or best == float("inf"):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * CPU_SIZE**3 / best
