"""The formula of a step's arithmetic beside torch's counter of products, and the machine's best rate."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from biofm.nn import EncoderConfig, MaskedLM, PackedBatch, initialise, pack
from biofm.training import flops
from biofm.training.flops import (
    GPU_TFLOPS,
    Work,
    arithmetic_of,
    arithmetic_of_model,
    language_head_weights,
    peak_flops,
)

LENGTHS = (7, 1, 40, 12)
SHAPES: dict[str, dict[str, Any]] = {
    "gelu": {},
    "swiglu": {"feedforward": "swiglu", "linear_bias": False, "qk_norm": True},
    "relu after the norms": {"feedforward": "relu", "norm_order": "post", "final_norm": False},
}


@pytest.fixture(params=list(SHAPES.values()), ids=list(SHAPES))
def config(request: pytest.FixtureRequest) -> EncoderConfig:
    return EncoderConfig(
        vocab_size=33, d_model=24, n_layers=3, n_heads=2, d_feedforward=40, trained_length=64, **request.param
    )


@pytest.fixture
def model(config: EncoderConfig) -> MaskedLM:
    model = MaskedLM(config)
    initialise(model, seed=1)
    return model


@pytest.fixture
def batch() -> PackedBatch:
    return pack([torch.randint(0, 33, (length,)) for length in LENGTHS])


ROWS = torch.arange(0, 27, 3)  # three of the first sequence, six of the third
WORK = Work(n_tokens=60, n_pairs=49 + 1 + 1600 + 144, n_rows=9, n_row_pairs=3 * 7 + 6 * 40)


def counted(work: Callable[[], object]) -> int:
    from biofm_kernels.flops import FlopCounterMode  # imports Triton, and warns where there is none

    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def logits(model: MaskedLM, batch: PackedBatch) -> Tensor:
    return model.logits(model.encoder(batch)[ROWS])


def test_the_forward_formula_is_what_torch_counts(model: MaskedLM, batch: PackedBatch) -> None:
    formula = arithmetic_of(model.config, head_weights=language_head_weights(model.config))
    assert formula.forward(WORK) == counted(lambda: logits(model, batch))


def test_the_formula_of_a_step_is_what_torch_counts(model: MaskedLM, batch: PackedBatch) -> None:
    formula = arithmetic_of(model.config, head_weights=language_head_weights(model.config))
    assert formula.step(WORK) == counted(lambda: logits(model, batch).sum().backward())


def test_tokens_that_are_not_judged_cost_less_in_the_last_block(model: MaskedLM, batch: PackedBatch) -> None:
    formula = arithmetic_of_model(model)
    assert formula.step(WORK) == counted(lambda: model(batch, batch.rows(ROWS)).sum().backward())
    every_row = Work(n_tokens=60, n_pairs=1794, n_rows=60, n_row_pairs=1794)
    whole = arithmetic_of(model.config, head_weights=language_head_weights(model.config))
    assert formula.step(every_row) == whole.step(every_row) > formula.step(WORK)


def test_the_formula_with_activation_checkpointing_is_what_torch_counts(
    model: MaskedLM, batch: PackedBatch
) -> None:
    for block in model.encoder.blocks:
        plain = block.forward
        block.forward = lambda *arguments, plain=plain: checkpoint(plain, *arguments, use_reentrant=False)
    formula = arithmetic_of(model.config, head_weights=language_head_weights(model.config))
    with set_checkpoint_early_stop(False):  # else a block's last product, which nothing needs, is left out
        step = counted(lambda: logits(model, batch).sum().backward())
    assert formula.step(WORK, recomputed=True) == step


def test_a_frozen_model_passes_gradients_and_takes_none(model: MaskedLM, batch: PackedBatch) -> None:
    model.requires_grad_(False)
    model.encoder.embedding.tokens.register_forward_hook(lambda _, __, vectors: vectors.requires_grad_())
    formula = arithmetic_of(model.config, head_weights=language_head_weights(model.config), frozen=True)
    assert formula.step(WORK) == counted(lambda: logits(model, batch).sum().backward())


def test_a_token_that_sees_only_those_before_it_halves_the_pairs(config: EncoderConfig) -> None:
    both, causal = arithmetic_of(config), arithmetic_of(replace(config, causal=True))
    pairs = Work(n_tokens=0, n_pairs=1000)
    assert causal.step(pairs) == both.step(pairs) / 2 > 0
    assert causal.step(Work(n_tokens=10, n_pairs=0)) == both.step(Work(n_tokens=10, n_pairs=0))


def test_long_sequences_cost_by_the_square_of_their_length(config: EncoderConfig) -> None:
    formula = arithmetic_of(config)
    one_long, ten_short = Work(n_tokens=1000, n_pairs=1000**2), Work(n_tokens=1000, n_pairs=10 * 100**2)
    extra = 4 * 24 * 3 * (1000**2 - 10 * 100**2) * 3.5  # forward, and 2.5 times that backward
    assert formula.step(one_long) - formula.step(ten_short) == extra


def test_matrices_cost_six_operations_a_weight_and_token(model: MaskedLM) -> None:
    """The rule of thumb (Kaplan et al. 2020), with the weights counted in the model itself."""
    linear = [part.weight.numel() for part in model.encoder.blocks.modules() if isinstance(part, nn.Linear)]
    assert arithmetic_of(model.config).step(Work(n_tokens=5, n_pairs=0)) == 6 * 5 * sum(linear)


CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_a_cpu_is_measured_once_and_in_under_a_second() -> None:
    flops._measure_cpu.cache_clear()
    first = peak_flops(CPU, torch.float32)
    assert first is not None
    assert 1e8 < first < 1e15  # from a slow, busy core to more than any CPU has
    assert peak_flops(CPU, torch.float32) == first
    assert flops._measure_cpu.cache_info().misses == 1


def test_the_best_of_the_products_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product that something else delayed is no measure of the machine."""
    flops._measure_cpu.cache_clear()
    ticks = iter([0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 0.14, 0.14, 0.14, 0.5, 0.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    monkeypatch.setattr(flops, "CPU_SIZE", 10)
    assert peak_flops(CPU, torch.float32) == pytest.approx(2 * 10**3 / 0.04)
    flops._measure_cpu.cache_clear()


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("Some GPU of tomorrow", None),
    ],
)
def test_a_gpu_is_looked_up_by_its_name(
    name: str, tflops: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    expected = None if tflops is None else 1e12 * tflops
    assert peak_flops(CUDA, torch.bfloat16) == peak_flops(CUDA, torch.float16) == expected
    assert peak_flops(CUDA, torch.float32) is None


def test_figures_with_sparsity_are_not_taken_for_dense_ones() -> None:
    """Every GPU's figure for dense products is below that of HGX B200."""
    assert max(GPU_TFLOPS, key=GPU_TFLOPS.__getitem__) == "NVIDIA B200"
    assert GPU_TFLOPS["NVIDIA H200"] == GPU_TFLOPS["NVIDIA H100 80GB HBM3"]  # one chip, other memory


def test_another_device_is_not_known() -> None:
    assert peak_flops(torch.device("mps"), torch.float16) is None
