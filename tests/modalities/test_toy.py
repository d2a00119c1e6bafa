"""A modality of another alphabet, frame and width of tokens passes the verbs, with one line added to the
families.
"""

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from biofm_datasets.store import open_store

import biofm
from biofm.core import InputError, ModelError
from biofm.core.choices import FinetuneMethod, PerplexityMethod
from biofm.corpus import Reading, open_inputs, write_store
from biofm.models import Checkpoint, families, write_checkpoint
from biofm.nn import MaskedLM, initialise, pack_arrays
from biofm.training import PretrainRecipe
from tests.modalities import toy

TOKENIZER = toy.ToyTokenizer()


@pytest.fixture(autouse=True)
def family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(families.FAMILIES, "toy", toy)  # type: ignore[arg-type]


@pytest.fixture
def module() -> MaskedLM:
    model = MaskedLM(toy.config())
    initialise(model, seed=3)
    for weight in model.parameters():
        weight.data += 0.2 * torch.randn(
            weight.shape, generator=torch.Generator().manual_seed(weight.numel())
        )
    return model.eval().requires_grad_(False)


@pytest.fixture
def model(module: MaskedLM, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in write_checkpoint(Checkpoint("toy", module, TOKENIZER)).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def texts() -> list[str]:
    """Some are longer than the 32 units of training; two differ in a value alone, two in nothing."""
    random = Random(1)
    made = [
        "".join(f"{random.choice(toy.PAIRS)}{random.randrange(10)}" for _ in range(n)) for n in (5, 1, 40, 9)
    ]
    return [*made, made[0][:-1] + ("1" if made[0][-1] == "0" else "0"), made[3]]


@pytest.fixture
def file(texts: list[str], tmp_path: Path) -> Path:
    path = tmp_path / "in.fasta"
    path.write_text("".join(f">s{i}\n{text}\n" for i, text in enumerate(texts)))
    return path


def states(module: MaskedLM, text: str) -> np.ndarray:
    """Of one sequence alone, without its special token."""
    encoded = TOKENIZER.encoded(text)
    return module.encoder(pack_arrays([encoded.tokens], [encoded.values])).numpy()[1:]


def test_embeddings_are_those_of_a_plain_loop(module: MaskedLM, model: Path, texts: list[str]) -> None:
    loaded = biofm.load(model, dtype="float32", device="cpu")
    found = loaded.embed(texts, pool="none")
    assert found.n_residues == [5, 1, 40, 9, 5, 9]
    expected = [states(module, text) for text in texts]
    np.testing.assert_allclose(found.values, np.concatenate(expected), atol=2e-6)
    means = loaded.embed(texts).values
    np.testing.assert_allclose(means, [one.mean(0) for one in expected], atol=2e-6)
    assert not np.allclose(means[0], means[4], atol=1e-3), "a value makes a difference"


def test_windows_cut_tokens_and_values_alike(module: MaskedLM, model: Path, texts: list[str]) -> None:
    """Of 40 units in windows of 30, overlapping by half: the seam lies in the middle of the overlap."""
    loaded = biofm.load(model, dtype="float32", device="cpu")
    found = loaded.embed([texts[2]], pool="none", window=30)
    left, right = (states(module, texts[2][3 * start : 3 * (start + 30)]) for start in (0, 10))
    np.testing.assert_allclose(found.values, np.concatenate([left[:20], right[10:]]), atol=2e-6)
    assert found.notices == {"sequences embedded by overlapping windows of 30 pairs": 1}


def test_shards_resume_and_merge_give_the_bytes_of_one_run(model: Path, file: Path, tmp_path: Path) -> None:
    whole, merged = tmp_path / "whole.npz", tmp_path / "merged.npz"
    options: dict[str, Any] = {"model": model, "pool": "none", "dtype": "float32", "device": "cpu"}
    biofm.embed(file, whole, **options)
    for shard in ("1/2", "2/2"):
        biofm.embed(file, merged, shard=shard, **options)
    biofm.merge([f"{merged}.shard-{i}-of-2" for i in (1, 2)], merged)
    assert merged.read_bytes() == whole.read_bytes()
    summary = biofm.embed(file, whole, resume=True, **options)
    assert summary.n_residues == 69


@pytest.mark.parametrize("method", ["pseudo", "single-pass"])
def test_perplexities_are_those_of_a_plain_loop(
    method: PerplexityMethod, module: MaskedLM, model: Path, texts: list[str]
) -> None:
    loaded = biofm.load(model, dtype="float32", device="cpu")
    found = loaded.perplexity(texts[:2], method=method)
    for text, value in zip(texts, found, strict=False):
        tokens, values = TOKENIZER.encoded(text)
        losses = []
        for place in range(1, len(tokens)):
            shown = tokens.copy()
            if method == "pseudo":
                shown[place] = TOKENIZER.mask
            log_p = module(pack_arrays([shown], [values])).log_softmax(-1)
            losses.append(-float(log_p[place, int(tokens[place])]))
        assert value == pytest.approx(np.exp(np.mean(losses)), rel=1e-4)


UNREAD = "this model reads strings, of which biofm cannot score variants"


def test_variants_are_of_proteins(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=UNREAD):
        biofm.load(model, device="cpu").score("MKTAYI", ["K2A"])
    wild, out = tmp_path / "wild.fasta", tmp_path / "out.csv"
    wild.write_text(">a\nMKTAYI\n")
    for asked in (None, "toy"):
        with pytest.raises(ModelError, match=UNREAD):
            biofm.score(None, out, wild_type=wild, all_singles=True, models=[model], modality=asked)
    with pytest.raises(ModelError, match="one reads proteins, another strings"):
        biofm.score(None, out, wild_type=wild, all_singles=True, models=["protein-nano", model])


def test_a_record_of_something_else_is_refused_with_its_place(model: Path) -> None:
    with pytest.raises(InputError, match=r"record 2 .*no pairs with numbers"):
        biofm.load(model, device="cpu").embed(["ab3", "MKTAYI"])


def test_a_store_keeps_wide_tokens_and_values(texts: list[str], file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    with file.open("rb") as stream:
        write_store(open_inputs([stream], [file]), Reading(), TOKENIZER, folder, lambda *_: None)
    store = open_store(folder, verify=True)
    alphabet = store.record.alphabet
    assert (store.record.dtype, alphabet.modality, alphabet.units) == ("U16", "toy", "pairs")
    assert (alphabet.before, alphabet.behind, len(alphabet.scored)) == ((0,), (), 300)
    assert store.record.n_units == 69
    for i, text in enumerate(texts):
        tokens, values = TOKENIZER.encoded(text)
        assert store.tokens[i].tolist() == tokens.tolist()
        assert store.tokens.values_of(i).tolist() == values.tolist()
    assert store.hashes[0] != store.hashes[4], "they differ in a value"
    assert store.hashes[3] == store.hashes[5]


def test_a_store_is_prepared_described_and_trained_on(file: Path, texts: list[str], tmp_path: Path) -> None:
    store, run = tmp_path / "store", tmp_path / "run"
    summary = biofm.prepare(file, store, modality="toy", split="random", validation=1, test=1)
    assert summary.n_residues == 69
    found = biofm.describe(store)
    assert (found.n_residues, found.n_unknown) == (69, 0)
    assert set(found.letters) <= set(toy.PAIRS)
    recipe = PretrainRecipe(
        n_steps=3, tokens_per_batch=40, n_warmup=1, max_length=33, checkpoint_every=3, log_every=1
    )
    how: dict[str, Any] = {"size": "small", "modality": "toy", "device": "cpu"}
    asked = biofm.Pretrain(file, run, replace(recipe, n_held_out=0), **how)
    assert asked.estimate().n_train_tokens > 0
    trained = biofm.pretrain(store, run, recipe, **how)
    (held_out,) = open_store(store).split["test"].tolist()
    assert trained.held_out["in.fasta"].n_residues == len(toy.units(texts[held_out]))
    loaded = biofm.load(run / "model", device="cpu")
    assert loaded.modality is toy.TOY
    assert np.isfinite(loaded.embed(texts).values).all()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The mean of a string's values is to be learned."""
    random, rows = Random(2), ["id,text,y"]
    for i in range(40):
        units = [(random.choice(toy.PAIRS[:9]), random.randrange(10)) for _ in range(random.randrange(4, 20))]
        text = "".join(f"{pair}{value}" for pair, value in units)
        rows.append(f"r{i},{text},{sum(value for _, value in units) / len(units)}")
    path = tmp_path / "t.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("method", ["probe", "full"])
def test_a_predictor_is_fine_tuned_and_predicts(
    method: FinetuneMethod, model: Path, table: Path, tmp_path: Path
) -> None:
    steps: dict[str, Any] = {} if method == "probe" else {"n_steps": 3, "tokens_per_batch": 200}
    summary = biofm.finetune(
        table, tmp_path / "run", target="y", column="text", model=model, method=method, device="cpu",
        dtype="float32", sets=["n_resamples=20", "n_warmup=1"], **steps,
    )  # fmt: skip
    names = {row.name for judged in summary.judged.values() for row in judged.rows}
    assert {"composition ridge", "k-mer ridge", "mean"} < names
    found = biofm.predict(
        table, tmp_path / "out.csv", predictor=tmp_path / "run", column="text", device="cpu"
    )
    assert found.n_sequences == 40
    assert found.provenance["modality"] == "toy"
    predictor = tmp_path / "run" / "predictor" / "predictor.json"
    predictor.write_text(predictor.read_text().replace(TOKENIZER.alphabet.sha256, "0" * 64))
    with pytest.raises(
        ModelError, match="it was trained on toy sequences in another alphabet than the model's"
    ):
        biofm.predict(table, tmp_path / "again.csv", predictor=tmp_path / "run", column="text", device="cpu")


def test_an_estimate_counts_units_and_tokens(model: Path, file: Path, tmp_path: Path) -> None:
    found = biofm.Embed(file, tmp_path / "out.npz", model=model, device="cpu").estimate()
    assert (found.n_residues, found.longest, found.n_tokens) == (69, 40, 5 + 1 + 40 + 9 + 5 + 5)


def test_a_store_of_another_modality_is_refused(file: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    biofm.prepare(file, store, modality="toy")
    recipe = PretrainRecipe(n_steps=1, tokens_per_batch=40)
    with pytest.raises(InputError, match=r"the alphabet toy \(toy\), not in the model's"):
        biofm.pretrain(store, tmp_path / "run", recipe, start_from="protein-nano", device="cpu")
    with pytest.raises(InputError, match="this store holds toy, and protein was asked for"):
        biofm.pretrain(store, tmp_path / "other", recipe, modality="protein", device="cpu")
    with pytest.raises(InputError, match="this store holds toy, and protein was asked for"):
        biofm.describe(store, modality="protein")


@pytest.mark.parametrize("there", [True, False])
def test_a_store_without_the_values_that_a_model_reads_is_refused(
    there: bool, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    with monkeypatch.context() as prepared:
        prepared.setattr(toy.ToyTokenizer, "has_values", there)
        biofm.prepare(file, store, modality="toy")
    monkeypatch.setattr(toy.ToyTokenizer, "has_values", not there)
    message = "this store has a number with each token" if there else "this store has none"
    recipe = PretrainRecipe(n_steps=1, tokens_per_batch=40)
    with pytest.raises(InputError, match=message):
        biofm.pretrain(store, tmp_path / "run", recipe, size="small", device="cpu")


def test_a_store_of_values_is_replaced_by_one_without(file: Path, tmp_path: Path) -> None:
    store, proteins = tmp_path / "store", tmp_path / "p.fasta"
    proteins.write_text(">a\nMKTAYI\n")
    biofm.prepare(file, store, modality="toy")
    biofm.prepare(proteins, store, overwrite=True)
    opened = open_store(store, verify=True)
    assert opened.tokens.values is None
    assert opened.record.n_units == 6


def test_a_model_that_asks_for_values_where_its_family_has_none_is_refused(
    module: MaskedLM, tmp_path: Path
) -> None:
    for name, content in write_checkpoint(Checkpoint("biofm protein", module, TOKENIZER)).items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=r"reads values .continuous."):
        biofm.load(tmp_path, device="cpu")
