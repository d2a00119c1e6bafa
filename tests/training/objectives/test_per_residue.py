"""Classes of residues: the ends have none, and a cropped sequence is judged on the part it shows."""

from collections.abc import Callable
from math import log

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from biofm.modalities import ProteinTokenizer
from biofm.nn import PackedBatch
from biofm.training.objectives import Example, Objective, per_residue

BatchOf = Callable[..., PackedBatch]
Label = Callable[..., Example]
TARGETS = [np.array([0, 1, -1]), np.array([2, 2, 1, 0, 1])]


def cropped(batch: PackedBatch) -> PackedBatch:
    """Make a batch of tokens 2 to 4 of the second of two sequences."""
    return PackedBatch(batch.tokens[7:10], torch.arange(3), torch.tensor([0, 3], dtype=torch.int32), 3)


def test_every_known_residue_has_its_class_and_the_ends_have_none(batch_of: BatchOf, label: Label) -> None:
    example = label(per_residue(TARGETS, ProteinTokenizer()), batch_of(["MKT", "ACDEF"]))
    assert example.rows.tolist() == [1, 2, 6, 7, 8, 9, 10]
    assert example.targets.tolist() == [0, 1, 2, 2, 1, 0, 1]


def test_a_crop_has_the_classes_of_the_residues_that_it_shows(batch_of: BatchOf, label: Label) -> None:
    example = label(
        per_residue(TARGETS, ProteinTokenizer()), cropped(batch_of(["MKT", "ACDEF"])), members=[1], starts=[2]
    )
    assert example.rows.tolist() == [0, 1, 2]
    assert example.targets.tolist() == [2, 1, 0]  # of C, D and E


def test_a_crop_that_ends_in_the_end_has_none_there(batch_of: BatchOf, label: Label) -> None:
    whole = batch_of(["ACDEF"])
    crop = PackedBatch(whole.tokens[5:], torch.arange(2), torch.tensor([0, 2], dtype=torch.int32), 2)
    example = label(per_residue(TARGETS, ProteinTokenizer()), crop, members=[1], starts=[5])
    assert (example.rows.tolist(), example.targets.tolist()) == ([0], [1])


def test_the_loss_is_the_mean_surprise_over_the_known_residues(
    batch_of: BatchOf, label: Label, fixed: Callable[[Tensor], nn.Module]
) -> None:
    objective = per_residue(TARGETS, ProteinTokenizer())
    example = label(objective, batch_of(["MKT", "ACDEF"]))
    outputs = torch.zeros(12, 3)
    outputs[1, 0] = log(4)  # the right class has 4 of 6, in all other rows 1 of 3
    by_hand = -(log(4 / 6) + 6 * log(1 / 3)) / 7
    assert objective.loss(fixed(outputs), example).item() == pytest.approx(by_hand)


def test_one_batch_is_learnt_by_heart(
    make_proteins: Callable[..., list[str]],
    batch_of: BatchOf,
    label: Label,
    small: Callable[..., nn.Module],
    overfit: Callable[[nn.Module, Objective, Example], float],
) -> None:
    proteins = make_proteins(3, shortest=10, longest=20)
    rng = np.random.default_rng(0)
    objective = per_residue([rng.integers(-1, 3, len(protein)) for protein in proteins], ProteinTokenizer())
    assert overfit(small(3, per_residue=True), objective, label(objective, batch_of(proteins))) < 0.02
