"""An ESM-1b and an ESM-1v give the same model from every layout, and what else is called ESM-1 is refused."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM, AutoTokenizer, EsmConfig, EsmForMaskedLM, EsmModel

from biofm.core import ModelError
from biofm.models import Checkpoint, describe
from biofm.nn import pack
from tests.models.conftest import FAIR_ESM_NAMES, renamed, write_transformers, write_transformers_shards

ReadFolder = Callable[[Path], Checkpoint]
WriteFolder = Callable[[Checkpoint], Path]
State = dict[str, Tensor]

MASK = 32
TOKENS = torch.tensor([0, 5, 6, MASK, 12, 20, 2])

OPTIONS = {
    "arch": "roberta_large",
    "encoder_embed_dim": 48,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_embed_dim": 100,
    "max_positions": 64,
    "token_dropout": True,
}


@pytest.fixture(params=[True, False], ids=["ESM-1b", "ESM-1v"])
def original(request: pytest.FixtureRequest) -> EsmForMaskedLM:
    """Random in every weight; as in the published ones, the vector of <mask> is empty."""
    config = EsmConfig(
        vocab_size=33,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=100,
        max_position_embeddings=66,
        position_embedding_type="absolute",
        emb_layer_norm_before=request.param,
        token_dropout=True,
        mask_token_id=MASK,
        pad_token_id=1,
        layer_norm_eps=1e-5,
    )
    model = EsmForMaskedLM(config).eval().requires_grad_(False)
    for weight in model.parameters():
        weight += 0.1 * torch.randn(weight.shape)
    model.esm.embeddings.word_embeddings.weight[MASK] = 0
    return model


def write_fair_esm(folder: Path, original: EsmForMaskedLM, **changes: Any) -> Path:
    """As fair-esm publishes it: training left something in the vector of <mask>."""
    state = renamed(original.state_dict(), FAIR_ESM_NAMES)
    for name in ("encoder.sentence_encoder.embed_tokens.weight", "encoder.lm_head.weight"):
        state[name] = state[name].clone()
        state[name][MASK] = 0.5
    options = {name: value for name, value in (OPTIONS | changes).items() if value is not ...}
    torch.save({"args": Namespace(**options), "model": state}, folder / "esm1.pt")
    return folder / "esm1.pt"


def write_pickle(folder: Path, original: EsmForMaskedLM) -> Path:
    original.config.save_pretrained(folder)
    torch.save(original.state_dict(), folder / "pytorch_model.bin")
    return folder


@pytest.mark.parametrize(
    "write", [write_transformers, write_transformers_shards, write_pickle, write_fair_esm]
)
def test_every_layout_gives_the_same_model(
    write: Callable[[Path, EsmForMaskedLM], Path],
    original: EsmForMaskedLM,
    tmp_path: Path,
    read_folder: ReadFolder,
) -> None:
    checkpoint = read_folder(write(tmp_path, original))
    assert checkpoint.family == "ESM-1b/1v"
    assert checkpoint.module.config.max_length == checkpoint.module.config.trained_length == 64
    expected = original(TOKENS[None]).logits[0]
    found = checkpoint.module(pack([TOKENS]))
    assert float((found - expected).abs().max()) < 2e-5 * float(expected.abs().max())
    plain = read_folder(write_transformers(tmp_path / "plain", original)).module.state_dict()
    state = checkpoint.module.state_dict()
    assert state.keys() == plain.keys()
    assert all(torch.equal(state[name], weight) for name, weight in plain.items())


@pytest.mark.parametrize("write", [write_transformers, write_fair_esm])
def test_the_contact_head_of_an_esm1b_is_read_and_an_esm1v_has_none_that_was_trained(
    write: Callable[[Path, EsmForMaskedLM], Path],
    original: EsmForMaskedLM,
    tmp_path: Path,
    read_folder: ReadFolder,
) -> None:
    checkpoint = read_folder(write(tmp_path, original))
    is_esm1b = original.config.emb_layer_norm_before
    assert (checkpoint.module.contacts is not None) == is_esm1b
    unused = [name.removeprefix("esm.") for name in checkpoint.unused]
    head = ["contact_head.regression.bias", "contact_head.regression.weight"]
    assert unused == ([] if is_esm1b else head)


def test_an_encoder_without_its_head_is_read_as_such(
    original: EsmForMaskedLM, tmp_path: Path, read_folder: ReadFolder
) -> None:
    original.esm.save_pretrained(tmp_path)
    checkpoint = read_folder(tmp_path)
    assert not describe("mine", checkpoint, "", ()).has_head
    expected = original.esm(TOKENS[None]).last_hidden_state[0]
    found = checkpoint.module.encoder(pack([TOKENS]))
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_bit_equal_after_writing(
    dtype: torch.dtype,
    original: EsmForMaskedLM,
    tmp_path: Path,
    read_folder: ReadFolder,
    write_folder: WriteFolder,
) -> None:
    checkpoint = read_folder(write_fair_esm(tmp_path, original.to(dtype)))
    again = read_folder(write_folder(checkpoint))
    assert (again.module.config, again.family) == (checkpoint.module.config, checkpoint.family)
    assert {weight.dtype for weight in again.module.parameters()} == {dtype}
    state = checkpoint.module.state_dict()
    assert again.module.state_dict().keys() == state.keys()
    assert all(torch.equal(state[name], weight) for name, weight in again.module.state_dict().items())


def test_transformers_gets_the_same_model_and_tokens_from_what_we_write(
    original: EsmForMaskedLM, tmp_path: Path, read_folder: ReadFolder, write_folder: WriteFolder
) -> None:
    checkpoint = read_folder(write_fair_esm(tmp_path, original))
    folder = write_folder(checkpoint)
    theirs, report = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert torch.equal(theirs.eval()(TOKENS[None]).logits, original(TOKENS[None]).logits)
    assert {name for name in report["missing_keys"] if "contact_head" not in name} == set()
    assert not report["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("MKT<mask>")["input_ids"] == checkpoint.tokenizer.encode("MKT<mask>").tolist()


def test_transformers_reads_an_encoder_that_has_no_head(
    original: EsmForMaskedLM, tmp_path: Path, read_folder: ReadFolder, write_folder: WriteFolder
) -> None:
    original.esm.save_pretrained(tmp_path / "bare")
    theirs = EsmModel.from_pretrained(write_folder(read_folder(tmp_path / "bare"))).eval()
    expected = original.esm(TOKENS[None]).last_hidden_state
    assert torch.equal(theirs(TOKENS[None]).last_hidden_state, expected)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        (
            {"arch": "protein_bert_base"},
            "this is the first ESM-1, which has another architecture, not an ESM-1b or ESM-1v. See",
        ),
        ({"arch": "msa_transformer"}, "this is an MSA Transformer, which reads alignments, not an ESM-1b"),
        ({"arch": "vt_medium_with_invariant_gvp"}, "a fair-esm model of architecture 'vt_medium_with_inv"),
        ({"arch": ...}, "a fair-esm model of architecture None, not an ESM-1b or ESM-1v"),
        ({"arch": [1]}, "a fair-esm model of architecture [1], not an ESM-1b or ESM-1v"),
        ({"encoder_layers": ...}, "the configuration lacks 'layers'. Download it again"),
        ({"encoder_layers": 4}, "tensor layers.3.self_attn_layer_norm.weight is missing"),
        ({"encoder_embed_dim": None}, "not the configuration of an ESM-1b or ESM-1v ("),
        ({"max_positions": "64"}, "not the configuration of an ESM-1b or ESM-1v ("),
        ({"max_positions": -2}, "(trained_length is -2; it must be a whole number, at least 1)"),
        ({"max_positions": 70}, "tensor embed_positions.weight has shape [66, 48] instead of [72, 48]"),
    ],
    ids=str,
)
def test_a_fair_esm_file_of_another_model_says_so(
    changes: dict[str, Any],
    what: str,
    original: EsmForMaskedLM,
    tmp_path: Path,
    read_folder: ReadFolder,
) -> None:
    path = write_fair_esm(tmp_path, original, **changes)
    with pytest.raises(ModelError) as caught:
        read_folder(path)
    assert what in str(caught.value)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("state", "what"),
    [
        (None, "the file holds no named tensors"),
        ({}, "tensor embed_tokens.weight is missing"),
        ({"a": 1}, "its entry 'a' is not a tensor"),
        (
            {"encoder.sentence_encoder.embed_tokens.weight": torch.tensor(1.0)},
            "has shape [1] instead of [33, 48]",
        ),
    ],
    ids=["nothing", "empty", "a number", "a scalar"],
)
def test_a_fair_esm_file_without_the_weights_says_so(
    state: Any, what: str, tmp_path: Path, read_folder: ReadFolder
) -> None:
    torch.save({"args": Namespace(**OPTIONS), "model": state}, tmp_path / "esm1.pt")
    with pytest.raises(ModelError) as caught:
        read_folder(tmp_path / "esm1.pt")
    assert what in str(caught.value)


@pytest.mark.parametrize("shift", [1, -1])
def test_a_token_matrix_that_is_not_tied_is_refused(
    shift: int, original: EsmForMaskedLM, tmp_path: Path, read_folder: ReadFolder
) -> None:
    path = write_fair_esm(tmp_path, original)
    content = torch.load(path, weights_only=False)
    content["model"]["encoder.lm_head.weight"] += shift
    torch.save(content, path)
    with pytest.raises(ModelError, match=r"tensor lm_head\.weight differs from the token vectors"):
        read_folder(path)
