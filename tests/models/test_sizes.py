"""The published sizes, weighed against ``transformers`` without memory for their weights."""

import pytest
import torch
from transformers import EsmcConfig, EsmcForMaskedLM, EsmConfig, EsmForMaskedLM

from biofm.core import OptionError
from biofm.modalities import ProteinTokenizer
from biofm.models import HUB_IDS, Checkpoint, describe, esm1, esm2, esmc, new_model, protein
from biofm.nn import MaskedLM

# Lin et al. 2023, table S1: layers, width, heads; and the round number in the model's name.
PUBLISHED = {
    "esm2-8m": (6, 320, 20, 8e6),
    "esm2-35m": (12, 480, 20, 35e6),
    "esm2-150m": (30, 640, 20, 150e6),
    "esm2-650m": (33, 1280, 20, 650e6),
    "esm2-3b": (36, 2560, 40, 3e9),
    "esm2-15b": (48, 5120, 40, 15e9),
}


# ESM Team 2024; that the 6B is so, ``transformers`` says too: its configuration's defaults.
PUBLISHED_ESMC = {
    "esmc-300m": (30, 960, 15, 300e6),
    "esmc-600m": (36, 1152, 18, 600e6),
    "esmc-6b": (80, 2560, 40, 6e9),
}

# Rives et al. 2021; ESM-1v has the same shape (Meier et al. 2021).
PUBLISHED_ESM1 = dict.fromkeys(esm1.HUB_IDS, (33, 1280, 20, 650e6))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_size_has_the_weights_of_the_original(name: str) -> None:
    n_layers, width, n_heads, about = PUBLISHED[name]
    with torch.device("meta"):
        ours = MaskedLM(esm2.config(d_model=width, n_layers=n_layers, n_heads=n_heads))
        theirs = EsmForMaskedLM(EsmConfig(**esm2.config_to_transformers(ours.config, with_head=True)))
    contact_head = n_layers * n_heads + 1  # which reads attention maps; we have none
    info = describe(name, Checkpoint("ESM-2", ours, ProteinTokenizer()), "", ())
    assert info.n_parameters == sum(weight.numel() for weight in theirs.parameters()) - contact_head
    assert info.n_parameters == pytest.approx(about, rel=0.07)
    assert (info.n_layers, info.d_model, info.n_heads) == (n_layers, width, n_heads)
    assert info.trained_length == 1024


@pytest.mark.parametrize("name", PUBLISHED_ESMC)
def test_a_published_esm_c_has_the_weights_of_the_original(name: str) -> None:
    n_layers, width, n_heads, about = PUBLISHED_ESMC[name]
    with torch.device("meta"):
        ours = MaskedLM(esmc.config(d_model=width, n_layers=n_layers, n_heads=n_heads))
        theirs = EsmcForMaskedLM(EsmcConfig(**esmc.to_settings(ours)))
    info = describe(name, Checkpoint("ESM C", ours, esmc.tokenizer()), "", ())
    assert info.n_parameters == sum(weight.numel() for weight in theirs.parameters())
    assert info.n_parameters == pytest.approx(about, rel=0.12)
    assert (info.n_layers, info.d_model, info.n_heads) == (n_layers, width, n_heads)
    assert info.trained_length == 2048


def test_the_default_of_transformers_is_an_esm_c_of_6b() -> None:
    assert esmc.config(d_model=2560, n_layers=80, n_heads=40).d_feedforward == EsmcConfig().intermediate_size


@pytest.mark.parametrize("name", ["esm1b", "esm1v-1"])
def test_an_esm1_of_650m_has_the_weights_of_the_original(name: str) -> None:
    n_layers, width, n_heads, about = PUBLISHED_ESM1[name]
    with torch.device("meta"):
        config = esm1.config(
            d_model=width, n_layers=n_layers, n_heads=n_heads, embedding_norm=name == "esm1b"
        )
        ours = MaskedLM(config)
        theirs = EsmForMaskedLM(EsmConfig(**esm1.to_settings(ours)))
    info = describe(name, Checkpoint("ESM-1b/1v", ours, esm1.tokenizer()), "", ())
    contact_head = n_layers * n_heads + 1
    assert info.n_parameters == sum(weight.numel() for weight in theirs.parameters()) - contact_head
    assert info.n_parameters == pytest.approx(about, rel=0.01)
    assert theirs.esm.embeddings.position_embeddings.weight.shape == (1026, width)
    assert (info.trained_length, config.max_length) == (1024, 1024)


def test_every_published_size_has_an_alias() -> None:
    assert set(esm2.HUB_IDS) == set(PUBLISHED)
    assert set(esmc.HUB_IDS) == set(PUBLISHED_ESMC)
    assert esm1.HUB_IDS | esm2.HUB_IDS | esmc.HUB_IDS == HUB_IDS


def test_a_hub_id_of_esm2_and_esm1_tells_its_layers() -> None:
    hub_ids = esm2.HUB_IDS | esm1.HUB_IDS
    layers = {name: int(hub_id.split("_t")[1].split("_")[0]) for name, hub_id in hub_ids.items()}
    assert layers == {name: shape[0] for name, shape in (PUBLISHED | PUBLISHED_ESM1).items()}


def test_our_sizes_grow() -> None:
    with torch.device("meta"):
        models = [MaskedLM(protein.config(size, trained_length=512)) for size in protein.SIZES]
    counts = [sum(weight.numel() for weight in model.parameters()) for model in models]
    assert counts == sorted(counts)
    assert counts[0] < 1.5e6  # at most 6 MB in float32


def test_a_new_model_depends_on_the_seed_alone() -> None:
    first, again, other = (new_model("nano", trained_length=64, seed=seed) for seed in (1, 1, 2))
    weights = [checkpoint.module.encoder.embedding.tokens.weight for checkpoint in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_an_unknown_size_names_the_known_ones() -> None:
    with pytest.raises(OptionError) as caught:
        new_model("huge", trained_length=64, seed=1)
    assert str(caught.value) == "--size: no such size: huge. Give nano, small, medium"
