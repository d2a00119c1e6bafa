"""Adapters: they start at zero, learn alone, are written as peft reads them and merged as peft merges."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from biofm.core import MissingExtraError, ModelError
from biofm.inference.prediction.adapters import CONFIG_FILE, WEIGHTS_FILE, merge_adapter
from biofm.models import esm2
from biofm.nn import Encoder, EncoderConfig, MaskedLM, PackedBatch, initialise, pack
from biofm.training.finetuning import gradient
from biofm.training.finetuning.gradient import adapter_files, inject_adapters
from tests.training.finetuning.conftest import MakeModel, MakeRecipe


def some_tokens() -> PackedBatch:
    generator = torch.Generator().manual_seed(3)
    return pack([torch.randint(4, 24, (n,), generator=generator) for n in (5, 9, 3)])


def encoder_of(family: str, make_model: MakeModel) -> Encoder:
    if family == "ours":
        return make_model().encoder.requires_grad_(False)
    config: EncoderConfig = esm2.config(d_model=24, n_layers=2, n_heads=2)
    model = MaskedLM(config)
    initialise(model, seed=1)
    return model.encoder.requires_grad_(False)


def with_adapters(encoder: Encoder, recipe: Any, *, moved: bool = True) -> Encoder:
    """Return an encoder with adapters, which are not zero if ``moved``."""
    inject_adapters(encoder, recipe)
    generator = torch.Generator().manual_seed(5)
    for name, weight in encoder.named_parameters():
        if moved and "lora_B" in name:
            weight.data.normal_(0, 0.3, generator=generator)
    return encoder


def read(files: dict[str, bytes]) -> tuple[bytes, dict[str, Tensor]]:
    return files[CONFIG_FILE], safetensors.torch.load(files[WEIGHTS_FILE])


FAMILIES = ["ours", "ESM-2"]


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_begin_at_nothing_and_learn_alone(
    family: str, make_model: MakeModel, make_recipe: MakeRecipe
) -> None:
    plain = encoder_of(family, make_model)
    adapted = with_adapters(encoder_of(family, make_model), make_recipe(lora_rank=2), moved=False)
    batch = some_tokens()
    torch.testing.assert_close(adapted(batch), plain(batch), rtol=0, atol=0)
    learning = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert len(learning) == 2 * 2 * 4, "A and B of four layers in each of two blocks"
    assert all("lora_" in name for name in learning)


@pytest.mark.parametrize("family", FAMILIES)
def test_merged_weights_predict_what_the_adapters_do(
    family: str, make_model: MakeModel, make_recipe: MakeRecipe
) -> None:
    plain, merged = encoder_of(family, make_model), encoder_of(family, make_model)
    adapted = with_adapters(encoder_of(family, make_model), make_recipe(lora_rank=2, lora_alpha=6))
    merge_adapter(merged, *read(adapter_files(adapted, "it")), "it")
    batch = some_tokens()
    torch.testing.assert_close(merged(batch), adapted(batch), rtol=0, atol=1e-5)
    assert (merged(batch) - plain(batch)).abs().max() > 0.1


def test_peft_reads_what_was_written(make_model: MakeModel, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    from peft import PeftModel

    adapted = with_adapters(encoder_of("ours", make_model), make_recipe(lora_rank=3))
    for name, content in adapter_files(adapted, "it").items():
        (tmp_path / name).write_bytes(content)
    found = PeftModel.from_pretrained(encoder_of("ours", make_model), str(tmp_path))
    batch = some_tokens()
    torch.testing.assert_close(found(batch), adapted(batch), rtol=0, atol=1e-6)


def test_adapters_follow_from_the_seed_and_leave_others_random_numbers_alone(
    make_model: MakeModel, make_recipe: MakeRecipe
) -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    written = []
    for seed, before in ((1, 0), (1, 5), (2, 0)):
        encoder = encoder_of("ours", make_model)
        torch.manual_seed(before)
        written.append(adapter_files(with_adapters(encoder, make_recipe(seed=seed)), "it"))
    encoder = encoder_of("ours", make_model)
    torch.manual_seed(0)
    inject_adapters(encoder, make_recipe())
    assert torch.equal(torch.rand(1), expected)
    assert written[0] == written[1] != written[2]


def test_an_adapter_of_another_model_is_refused(make_model: MakeModel, make_recipe: MakeRecipe) -> None:
    config, weights = read(adapter_files(with_adapters(encoder_of("ours", make_model), make_recipe()), "it"))
    other = encoder_of("ESM-2", make_model)
    with pytest.raises(ModelError, match="x: the adapter does not fit the model"):
        merge_adapter(other, config, weights, "x")
    with pytest.raises(ModelError, match="does not fit"):
        merge_adapter(encoder_of("ours", make_model), b"{}", weights, "x")


def test_without_peft_a_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradient, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"--constraint constraints.txt '\.\[train-extras\]'"):
        gradient.check_peft()
