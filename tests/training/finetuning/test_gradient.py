"""Members that are trained by gradients: each task, pooling and method; the base model stays unchanged."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from biofm_datasets.store import TokenStore

from biofm.inference import Compute
from biofm.inference.prediction.adapters import WEIGHTS_FILE
from biofm.training.finetuning import Base
from biofm.training.finetuning.gradient import Trained, adapter_files, make_member, train_member
from biofm.training.finetuning.plan import MemberPlan
from tests.training.finetuning.conftest import MakeRecipe, MakeTable


def ignore(stage: str, done: int, total: int, detail: str = "") -> None:
    """Ignore the progress."""


@pytest.fixture
def train(make_table: MakeTable, make_recipe: MakeRecipe, base: Base, cpu: Compute, tmp_path: Path) -> Any:
    """Train on eight rows of a task, which are also the validation rows."""

    def run(task: str, **changes: Any) -> tuple[Trained, Any]:
        table = make_table(task, 8, with_split=False)
        rows = np.arange(8)
        plan = MemberPlan(name="it", fold=0, seed=3, train=rows, validation=rows, held_out=rows)
        tokens = TokenStore.of([base.checkpoint.tokenizer.encode(sequence) for sequence in table.sequences])
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        recipe = make_recipe(**changes)
        member = make_member(plan, table.labels, tokens, base.checkpoint, recipe)
        return train_member(member, cpu, folder, ignore), table

    return run


SETTINGS = {"n_steps": 80, "validate_every": 80, "patience": 0, "learning_rate": 3e-2, "n_warmup": 5}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("task", ["regression", "classification", "multi-label", "per-residue"])
def test_every_task_overfits_a_few_rows(task: str, method: str, train: Any) -> None:
    few = {} if method == "full" else {"n_steps": 160, "validate_every": 160}
    found, _ = train(task, method=method, encoder_rate=0.3, lora_rank=16, **SETTINGS | few)
    assert found.summary.validation_loss < (0.05 if method == "full" else 0.3)


@pytest.mark.parametrize("pool", ["mean", "cls", "attention"])
def test_every_pooling_learns(pool: str, train: Any) -> None:
    settings = SETTINGS | {"n_steps": 24, "validate_every": 24}
    found, _ = train("regression", method="full", pool=pool, encoder_rate=0.3, **settings)
    assert found.summary.validation_loss < 0.6, "1 is the mean's"
    assert (found.head.query is not None) == (pool == "attention")
    if pool == "attention":
        assert found.head.query.abs().max() > 0


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_base_model_stays_as_it_is(method: str, train: Any, base: Base) -> None:
    before = deepcopy(base.checkpoint.module.state_dict())
    found, _ = train("regression", method=method)
    after = base.checkpoint.module.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert found.checkpoint.module.head is None
    trained = found.checkpoint.module.encoder
    assert not any(weight.requires_grad for weight in trained.parameters())
    names = [name for name, _ in trained.named_parameters() if "lora_B" in name]
    assert bool(names) == (method == "lora")


def test_numbers_are_learned_on_their_own_scale(train: Any) -> None:
    found, table = train("regression", method="full")
    np.testing.assert_allclose(found.head.shift.numpy(), table.labels.numbers.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.head.scale.numpy(), table.labels.numbers.std(0), rtol=1e-5)


def test_a_slow_encoder_moves_less(train: Any, base: Base) -> None:
    def moved(rate: float) -> float:
        found, _ = train("regression", method="full", encoder_rate=rate, patience=0, validate_every=0)
        after, before = (
            found.checkpoint.module.encoder.state_dict(),
            base.checkpoint.module.encoder.state_dict(),
        )
        return max(float((after[name] - before[name]).abs().max()) for name in before)

    fast, slow = moved(1.0), moved(0.1)
    assert 0 < slow < 0.3 * fast


def test_adapters_learn_at_the_heads_rate(train: Any) -> None:
    def written(rate: float) -> bytes:
        found, _ = train("regression", method="lora", encoder_rate=rate)
        return adapter_files(found.checkpoint.module.encoder, "it")[WEIGHTS_FILE]

    assert written(1.0) == written(0.1)
