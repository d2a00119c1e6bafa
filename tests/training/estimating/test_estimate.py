"""Estimates of a run: some numbers are counted exactly, others are computed from a trial and compared."""

import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import TokenStore

from biofm.core import OptionError, find_bf16
from biofm.inference import Compute
from biofm.modalities import ProteinTokenizer
from biofm.nn import MaskedLM
from biofm.training import PretrainRecipe
from biofm.training.data import PackedData
from biofm.training.estimating import TrainingEstimate, Trial, estimate, estimate_training, trial
from biofm.training.objectives import masked_lm
from biofm.training.processes import Processes

MakeModel = Callable[..., MaskedLM]
MakeRecipe = Callable[..., PretrainRecipe]
Estimate = Callable[..., TrainingEstimate]

N_VALIDATION = 10


@pytest.fixture
def data_of(
    make_proteins: Callable[..., list[str]], tokenizer: ProteinTokenizer
) -> Callable[[PretrainRecipe], PackedData]:
    """Make data of forty proteins that train and ten that validate; some are longer than 64 tokens."""

    def make(recipe: PretrainRecipe) -> PackedData:
        store = TokenStore.of(tokenizer.encode(protein) for protein in make_proteins(50))
        train, validation = np.split(np.arange(50), [50 - N_VALIDATION])
        mixture, objective = Mixture([train], None, 0), masked_lm(tokenizer, recipe)
        return PackedData(store, mixture, validation, objective, recipe)

    return make


@pytest.fixture
def estimate_with(
    make_model: MakeModel, data_of: Callable[[PretrainRecipe], PackedData], cpu: Compute
) -> Estimate:
    def estimate(recipe: PretrainRecipe) -> TrainingEstimate:
        data = data_of(recipe)
        return estimate_training(make_model(), data.maker.objective, data, recipe, cpu)

    return estimate


@pytest.fixture(autouse=True)
def _short_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a trial have the least number of steps."""
    monkeypatch.setattr(trial, "SECONDS", 0.0)


@pytest.fixture
def _quick_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the trial by one with 1 second for 1,000 tokens and half a second for an update."""

    def tried(*arguments: object) -> Trial:
        return Trial(n_tokens=1000, seconds=1.0, update_seconds=0.5, used_bytes=0, largest_batch=128)

    monkeypatch.setattr(estimate, "try_steps", tried)


def test_what_can_be_counted_is_counted(estimate_with: Estimate, make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(n_steps=7, batches_per_step=3)
    found = estimate_with(recipe)
    assert 0.9 * 7 * 3 * 128 < found.n_tokens <= 7 * 3 * 128, "batches are nearly full"
    assert 40 * 33 < found.n_train_tokens < 40 * 64
    assert found.n_parameters == found.n_trained > 0
    assert found.memory_bytes == sum(found.memory_parts.values())
    assert found.memory_parts["weights"] == 4 * found.n_parameters
    assert found.seconds is not None
    assert found.seconds > 0
    assert (found.dtype, found.device, found.dtype_reason) == ("float32", "cpu", "as the test asks")
    assert found.output_bytes["model"] == 4 * found.n_parameters


@pytest.mark.usefixtures("_quick_trial")
def test_time_is_that_of_all_steps_and_judgements(
    estimate_with: Estimate, make_recipe: MakeRecipe, data_of: Callable[[PretrainRecipe], PackedData]
) -> None:
    plain = estimate_with(make_recipe(n_steps=10, batches_per_step=2))
    expected = plain.n_tokens / 1000 + 10 * 0.5
    assert plain.seconds == pytest.approx(expected)
    recipe = make_recipe(n_steps=10, batches_per_step=2, validate_every=4)
    data = data_of(recipe)
    n_judged = 2 * int(np.minimum(data.store.lengths(data.validation), 64).sum())
    assert estimate_with(recipe).seconds == pytest.approx(expected + n_judged / 1000 / 3)


@pytest.mark.usefixtures("_quick_trial")
def test_batches_of_little_data_are_never_full(estimate_with: Estimate, make_recipe: MakeRecipe) -> None:
    found = estimate_with(make_recipe(n_steps=10, tokens_per_batch=100_000))
    assert found.n_tokens == 10 * found.n_train_tokens, "an epoch a batch"


@pytest.mark.usefixtures("_quick_trial")
def test_processes_on_one_cpu_share_it(
    estimate_with: Estimate, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(n_steps=10, batches_per_step=4)
    alone = estimate_with(recipe)
    monkeypatch.setattr(estimate, "find_processes", lambda _: Processes(0, 2, 2))
    together = estimate_with(recipe)
    assert together.seconds == alone.seconds
    assert together.memory_parts["gradients"] == 2 * alone.memory_parts["gradients"]
    assert together.output_bytes == alone.output_bytes
    monkeypatch.setattr(estimate, "find_processes", lambda _: Processes(0, 2, 1))
    apart = estimate_with(recipe).seconds
    assert apart is not None
    assert alone.seconds is not None
    assert apart - 10 * 0.5 == pytest.approx((alone.seconds - 10 * 0.5) / 2)


@pytest.mark.usefixtures("_quick_trial")
def test_a_judged_run_keeps_a_checkpoint_more(estimate_with: Estimate, make_recipe: MakeRecipe) -> None:
    plain, judged = (estimate_with(make_recipe(validate_every=n)).output_bytes["checkpoints"] for n in (0, 2))
    assert judged == 1.5 * plain


def test_without_the_memory_for_a_step_none_is_tried(
    estimate_with: Estimate, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "training_room", lambda *_: 1 << 20)
    found = estimate_with(make_recipe())
    assert (found.seconds, found.sample_tokens) == (None, 0)
    assert found.largest_tokens_per_batch == 0
    assert found.memory_bytes > 1 << 20


@pytest.mark.usefixtures("_quick_trial")
def test_where_the_system_says_nothing_nothing_is_said(
    estimate_with: Estimate, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "training_room", lambda *_: None)
    found = estimate_with(make_recipe())
    assert (found.room_bytes, found.largest_tokens_per_batch) == (None, None)
    assert found.seconds is not None


def test_the_largest_batch_grows_with_the_memory(
    estimate_with: Estimate, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    for room in (1 << 20, 1 << 28, 1 << 29):
        monkeypatch.setattr(estimate, "training_room", lambda *_, room=room: room)
        sizes.append(estimate_with(make_recipe()).largest_tokens_per_batch)
    none, some, more = sizes
    assert none == 0
    assert some is not None
    assert more is not None
    assert 0 < some < more / 2


@pytest.mark.parametrize("fault", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_no_memory_for_a_copy_of_the_model_is_one_line(
    fault: Exception,
    estimate_with: Estimate,
    make_recipe: MakeRecipe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(estimate, "measure_step", fail)
    with pytest.raises(OptionError, match="--device: the memory of cpu is too small for a copy of the model"):
        estimate_with(make_recipe())


def test_the_model_is_left_as_it_is(
    make_model: MakeModel,
    data_of: Callable[[PretrainRecipe], PackedData],
    make_recipe: MakeRecipe,
    cpu: Compute,
) -> None:
    model, recipe = make_model(), make_recipe()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    data = data_of(recipe)
    estimate_training(model, data.maker.objective, data, recipe, cpu)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


PROGRAM = """
import sys
import numpy as np
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import TokenStore
from biofm.core.memory import peak_resident_bytes
from biofm.inference import choose_compute
from biofm.models import new_model
from biofm.training import PretrainRecipe
from biofm.training.estimating import trial
from biofm.training.data import PackedData
from biofm.training.estimating import estimate_training
from biofm.training.fit import fit
from biofm.training.objectives import masked_lm
from pathlib import Path

what, n_tokens, again, dtype = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "again", sys.argv[4]
folder, compute = Path(sys.argv[5]), choose_compute("cpu", dtype)
trial.SECONDS, trial.LEAST_STEPS = 0.0, 28_000 // n_tokens  # as an idle machine, however busy this is
recipe = PretrainRecipe(n_steps=20, tokens_per_batch=n_tokens, activation_checkpointing=again)
checkpoint = new_model("nano", trained_length=512, seed=0)
model = checkpoint.module.requires_grad_()
rng = np.random.default_rng(0)
store = TokenStore.of(rng.integers(4, 24, n).astype(np.uint8) for n in rng.integers(50, 600, 1000))
members, objective = np.arange(1000), masked_lm(checkpoint.tokenizer, recipe)
data = PackedData(store, Mixture([members], None, 0), members[:0], objective, recipe)
if what == "estimate":
    print(estimate_training(model, objective, data, recipe, compute).memory_bytes)
else:
    fit(model, objective, data, recipe, compute, folder, lambda *_: None)
    print(peak_resident_bytes())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the allocator's share is that of glibc")
@pytest.mark.parametrize(
    ("n_tokens", "again", "dtype"),
    [("1024", "kept", "float32"), ("4096", "again", "float32"), ("4096", "kept", "bfloat16")],
)
def test_a_run_takes_the_memory_that_was_estimated(
    n_tokens: str, again: str, dtype: str, python_run: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    if dtype == "bfloat16" and not find_bf16().in_hardware:
        pytest.skip("this processor does not multiply bfloat16")
    estimated, taken = (
        int(python_run("-c", PROGRAM, what, n_tokens, again, dtype, str(tmp_path)).stdout)
        for what in ("estimate", "run")
    )
    assert estimated == pytest.approx(taken, rel=0.2)
