"""Every published family through the command line: a random model of two layers each."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from biofm.modalities import ProteinTokenizer
from biofm.models import HUB_IDS, Checkpoint, esm1, esm2, esmc, write_checkpoint
from biofm.nn import EncoderConfig, MaskedLM, initialise, pack

SHAPE: dict[str, Any] = {"d_model": 24, "n_layers": 2, "n_heads": 2}
POSITIONS: dict[str, Any] = {"n_positions": 34}  # for 30 residues between <cls> and <eos>
MODELS: dict[str, tuple[str, EncoderConfig, ProteinTokenizer]] = {
    "ESM-1b": ("ESM-1b/1v", esm1.config(**SHAPE, **POSITIONS, embedding_norm=True), esm1.tokenizer()),
    "ESM-1v": ("ESM-1b/1v", esm1.config(**SHAPE, **POSITIONS, embedding_norm=False), esm1.tokenizer()),
    "ESM-2": ("ESM-2", esm2.config(**SHAPE), esm2.tokenizer()),
    "ESM C": ("ESM C", esmc.config(**SHAPE), esmc.tokenizer()),
}
LEARNED = ["ESM-1b", "ESM-1v"]

SEQUENCES = ["MKTAYIAKQRQISFVKSHFSRQ", "MVLSPADKTNVKAAW"]
FASTA = "".join(f">p{i}\n{sequence}\n" for i, sequence in enumerate(SEQUENCES))

Biofm = Callable[..., Any]
MakeModel = Callable[[str], tuple[Path, Checkpoint]]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """A model's folder, and what it holds."""

    def make(name: str) -> tuple[Path, Checkpoint]:
        family, config, tokenizer = MODELS[name]
        module = MaskedLM(config)
        initialise(module, seed=1)
        checkpoint = Checkpoint(family, module.eval(), tokenizer)
        folder = tmp_path / "model"
        folder.mkdir()
        for file, content in write_checkpoint(checkpoint).items():
            (folder / file).write_bytes(content)
        return folder, checkpoint

    return make


@torch.no_grad()
def plain_means(checkpoint: Checkpoint, sequences: list[str]) -> NDArray[np.float32]:
    tokens = [torch.from_numpy(checkpoint.tokenizer.encode(sequence)).long() for sequence in sequences]
    states = [checkpoint.module.encoder(pack([one]))[1:-1].mean(0) for one in tokens]
    return torch.stack(states).numpy()


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_every_family_embeds(
    name: str, make_model: MakeModel, biofm: Biofm, tmp_path: Path
) -> None:
    folder, checkpoint = make_model(name)
    (tmp_path / "p.fasta").write_text(FASTA)
    outcome = biofm(
        "embed", "p.fasta", "--output", "out.npz", "--model", folder, "--dtype", "float32", "--quiet"
    )
    assert outcome.status == 0, outcome.err
    found = np.load("out.npz")["embeddings"]
    np.testing.assert_allclose(found, plain_means(checkpoint, SEQUENCES), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_info_says_what_a_model_of_every_family_is(name: str, make_model: MakeModel, biofm: Biofm) -> None:
    folder, checkpoint = make_model(name)
    outcome = biofm("info", folder, "--json")
    assert outcome.status == 0
    facts = json.loads(outcome.out)
    family, config, _ = MODELS[name]
    assert facts["family"] == family
    assert facts["n_parameters"] == sum(weight.numel() for weight in checkpoint.module.parameters())
    assert facts["trained_length"] == config.trained_length
    assert facts["has_head"]
    assert facts["unused_tensors"] == []


def test_models_lists_every_published_one(biofm: Biofm) -> None:
    names = json.loads(biofm("models", "--json").out)
    assert names == {"protein-nano": "bundled with biofm"} | HUB_IDS
    assert names["esm1v-5"] == "facebook/esm1v_t33_650M_UR90S_5"
    assert names["esmc-6b"] == "biohub/ESMC-6B"


@pytest.mark.parametrize("words", [(), ("--on-error", "skip"), ("--window", "40")])
@pytest.mark.parametrize("name", LEARNED)
def test_a_protein_beyond_the_learned_positions_is_named_and_nothing_written(
    name: str, words: tuple[str, ...], make_model: MakeModel, biofm: Biofm, tmp_path: Path
) -> None:
    folder, _ = make_model(name)
    (tmp_path / "p.fasta").write_text(FASTA + f">long\n{'MK' * 15}A\n")
    outcome = biofm("embed", "p.fasta", "--output", "out.npz", "--model", folder, "--quiet", *words)
    assert outcome.status == 1
    assert not Path("out.npz").exists()
    if "--window" in words:
        expected = "--window: 40 residues are more than the model has learned positions for. Give at most 30"
    else:
        expected = (
            "p.fasta, record 3 (long): 31 residues, but the model has learned positions for 30 only. "
            "Give --window 30"
        )
    assert outcome.err.strip().endswith(expected)
    assert len(outcome.err.strip().splitlines()) == 1


@pytest.mark.parametrize("name", LEARNED)
def test_learned_positions_are_used_to_their_end_and_windows_go_beyond(
    name: str, make_model: MakeModel, biofm: Biofm, tmp_path: Path
) -> None:
    folder, checkpoint = make_model(name)
    whole = "MKTAYIAKQRQISFVKSHFSRQMVLSPADK"
    (tmp_path / "p.fasta").write_text(f">whole\n{whole}\n>long\n{whole * 3}\n")
    words = ("--window", "30", "--dtype", "float32", "--model", folder, "--quiet")
    outcome = biofm("embed", "p.fasta", "--output", "out.npz", *words)
    assert outcome.status == 0, outcome.err
    assert "sequences embedded by overlapping windows of 30 residues: 1" in outcome.err
    found = np.load("out.npz")["embeddings"]
    np.testing.assert_allclose(found[:1], plain_means(checkpoint, [whole]), rtol=0, atol=1e-5)
    assert np.isfinite(found[1]).all()


def test_a_chain_break_is_a_token_of_esm_c_and_unknown_to_others(
    make_model: MakeModel, biofm: Biofm, tmp_path: Path
) -> None:
    folder, checkpoint = make_model("ESM C")
    (tmp_path / "p.fasta").write_text(">two chains\nMKTAYI|VLSPADK\n")
    words = ("--output", "out.npz", "--dtype", "float32", "--quiet", "--overwrite")
    outcome = biofm("embed", "p.fasta", *words, "--model", folder)
    assert outcome.status == 0, outcome.err
    assert "<unk>" not in outcome.err
    expected = plain_means(checkpoint, ["MKTAYI|VLSPADK"])
    np.testing.assert_allclose(np.load("out.npz")["embeddings"], expected, rtol=0, atol=1e-5)
    assert "residues read as <unk>: 1" in biofm("embed", "p.fasta", *words).err


@pytest.mark.parametrize("method", ["probe", "lora", "full"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_every_family_is_fine_tuned_and_predicts(
    name: str, method: str, make_model: MakeModel, biofm: Biofm
) -> None:
    """Also a protein beyond the learned positions, by windows."""
    folder, _ = make_model(name)
    rows = [f"MKT{'ACDEFGHIKLMNPQRSTVWY'[i]}YIAKQ,{i + 0.5}" for i in range(20)]
    Path("t.csv").write_text("sequence,y\n" + "\n".join([*rows, f"{'MKTAYIAK' * 8},3.5"]) + "\n")
    words = (
        "--target", "y", "--column", "sequence", "-m", folder, "--method", method, "--steps", "2",
        "--window", "30", "--max-length", "32", "--tokens-per-batch", "64", "--set", "n_warmup=0",
        "--set", "validate_every=1", "--dtype", "float32", "--quiet",
    )  # fmt: skip
    outcome = biofm("finetune", "t.csv", "-o", "run", *words)
    assert outcome.status == 0, outcome.err
    predict = ("predict", "t.csv", "--column", "sequence", "-p", "run/predictor", "-o", "found.csv")
    outcome = biofm(*predict)
    assert outcome.status == 0, outcome.err
    assert Path("found.csv").read_text().count("\n") == 22
    assert "windows of 30 residues: 1" in outcome.err


@pytest.mark.parametrize("name", LEARNED)
def test_a_fine_tuning_beyond_the_learned_positions_is_refused_before_it_begins(
    name: str, make_model: MakeModel, biofm: Biofm
) -> None:
    folder, _ = make_model(name)
    rows = [f"MKT{'ACDEFGHIKLMNPQRSTVWY'[i]}YIAKQ,{i + 0.5}" for i in range(20)]
    Path("t.csv").write_text("sequence,y\n" + "\n".join([*rows, f"{'MKTAYIAK' * 8},3.5"]) + "\n")
    words = ("--target", "y", "--column", "sequence", "-m", folder, "--method", "full")
    crops = biofm("finetune", "t.csv", "-o", "crops", *words, "--window", "30")
    assert "--max-length: 512 tokens are more than the model has learned positions for" in crops.err
    whole = biofm("finetune", "t.csv", "-o", "whole", *words, "--max-length", "32")
    assert "record 21 (21)" in whole.err
    assert "Give --window 30" in whole.err
    assert not Path("whole").exists()
