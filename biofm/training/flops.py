"""Floating-point operations: how many a training step takes, and how many a second the machine does at best.

The first is computed by a formula. Their ratio is the model FLOPs utilisation (MFU) of a run.
"""

import time
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from biofm.nn import Encoder, EncoderConfig, MaskedLM

# Attention costs two products of the size of q kᵀ forward and five backward, because the scores are computed
# again (FlashAttention-2's count: Dao 2023, section 4.1).
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

# Matrices of this size are large enough for a CPU to reach its best rate within a quarter of a second.
CPU_SIZE = 1024
CPU_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Counts what passes through a model.

    Attributes:
        n_tokens: Tokens of all sequences.
        n_pairs: Pairs of tokens of one sequence, which is the sum of the squares of the lengths.
        n_rows: Tokens that are judged.
        n_row_pairs: Pairs of a judged token and any token of its sequence.
    """

    n_tokens: int
    n_pairs: int
    n_rows: int = 0
    n_row_pairs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """Counts the matrix products of one model.

    Norms, activations and the optimiser are left out, as is usual.

    Attributes:
        matrix_weights: Weights of those matrices in the blocks that every token passes.
        pair_products: The cost of one product for a pair of tokens: d_model x layers, or half of it in a
            causal model, where a token sees only those before it.
        head_weights: Weights of the head's matrices, which only judged tokens pass.
        row_weights: Weights of those matrices in the last block that only judged tokens pass.
        row_pair_products: As ``pair_products``, in the last block if only judged tokens pass its end.
        backward_products: Products in the backward pass for each product forward: two for a matrix that is
            trained (the gradients of its input and of its weights), one for a frozen matrix under adapters.
    """

    matrix_weights: int
    pair_products: float
    head_weights: int = 0
    row_weights: int = 0
    row_pair_products: float = 0.0
    backward_products: int = 2

    def forward(self, work: Work) -> float:
        """Return the operations of a forward pass; a multiplication and an addition count one each."""
        return self._blocks(work) + 2 * work.n_rows * self.head_weights

    def step(self, work: Work, *, recomputed: bool = False) -> float:
        """Return the operations of a forward and a backward pass.

        With ``recomputed``, the blocks' forward pass counts twice, which is the most that activation
        checkpointing costs. Model FLOPs, from which MFU is computed, leave that out (Chowdhery et al. 2022,
        PaLM, appendix B).
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
    """Return the matrix products of an encoder and of a head with ``head_weights`` weights.

    Args:
        config: The encoder's sizes.
        head_weights: Weights of the head's matrices.
        frozen: Whether the encoder's weights stay fixed and only adapters beside them are trained.
        rows_alone: Whether the last block makes only queries, keys and values for tokens that are not judged.
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
    """Return the matrix products of a model that holds an encoder.

    The encoder's weights tell whether it is trained. In a masked language model, only judged tokens pass the
    end of the last block.
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
    """Return the number of weights of a language-model head: a square matrix, then one vector a token."""
    return config.d_model**2 + config.vocab_size * config.d_model


def peak_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """Return the peak rate of matrix products of ``dtype`` in operations a second; None if it is not known.

    For a GPU this is its maker's figure for the two 16-bit types, found by the GPU's name; a part of a GPU
    (MIG) has another name and is not known. For a CPU it is the best rate of some products with torch's
    present number of threads, measured once.
    """
    if device.type == "cpu":
        return _measure_cpu(dtype, torch.get_num_threads())
    if device.type == "cuda" and dtype in (torch.bfloat16, torch.float16):
        tflops = GPU_TFLOPS.get(torch.cuda.get_device_name(device))
        return None if tflops is None else 1e12 * tflops
    return None


@cache
def _measure_cpu(dtype: torch.dtype, n_threads: int) -> float:
    """Measure the best rate of some products. ``n_threads`` only makes the cache keep one rate for each."""
    a, b = torch.ones(2, CPU_SIZE, CPU_SIZE, dtype=dtype)
    out = torch.mm(a, b)  # the first product of a process is slow
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < CPU_SECONDS or best == float("inf"):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * CPU_SIZE**3 / best
