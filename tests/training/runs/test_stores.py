"""A run trains on a store as it was prepared."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import open_store

from biofm import api
from biofm.training import PretrainRecipe

MakeRecipe = Callable[..., PretrainRecipe]
MakeFasta = Callable[..., Path]
CheckEvaluation = Callable[..., None]
N_PROTEINS = 24


SPLIT = {"split": "random", "validation": 6, "test": 5}


def test_a_prepared_store_is_trained_on_as_it_was_split(
    make_store: Callable[..., Path], make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    store, folder = make_store(**SPLIT), tmp_path / "run"
    summary = api.pretrain(store, folder, make_recipe(n_steps=3, validate_every=2, log_every=5))

    assert (summary.n_train, summary.n_removed) == (2 * N_PROTEINS - 11, 0)
    assert sum(result.n_sequences for result in summary.held_out.values()) == 5
    assert not (folder / "data").exists()
    run = json.loads((folder / "run.json").read_text())
    assert (run["data"], run["data_sha256"]) == (str(store), open_store(store).sha256)
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()[1:]]
    assert [row[0] for row in rows] == ["2", "3"]
    assert all(3 < float(row[3]) < 4 for row in rows)  # the validation loss, about ln(33)


def test_the_weights_of_a_store_are_those_of_the_mixture(
    make_store: Callable[..., Path], make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def watch(*given: Any) -> Mixture:
        seen.append(given)
        return Mixture(*given)

    monkeypatch.setattr("biofm.training.run.Mixture", watch)
    api.pretrain(make_store(weights=[1, 3]), tmp_path / "run", make_recipe(n_steps=1))
    ((pools, weights, seed),) = seen
    assert ([len(pool) for pool in pools], weights, seed) == ([N_PROTEINS, N_PROTEINS], [1, 3], 0)


def test_proteins_can_be_kept_to_judge_by_while_it_trains(
    make_fasta: MakeFasta, make_recipe: MakeRecipe, tmp_path: Path, check_evaluation: CheckEvaluation
) -> None:
    recipe = make_recipe(n_steps=2, validate_every=1, n_validation=5)
    summary = api.pretrain(make_fasta(), tmp_path / "run", recipe)
    assert len(open_store(tmp_path / "run" / "data").split["validation"]) == 5
    check_evaluation(summary)
