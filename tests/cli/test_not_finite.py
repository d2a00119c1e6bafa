"""A model whose numbers are not finite for a protein with a W: each verb says so, or leaves the row empty."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save_file

import biofm as biofm_package
from biofm.inference.scoring import rows
from biofm.modalities import ProteinTokenizer
from biofm.models import Checkpoint, write_checkpoint
from biofm.nn import EncoderConfig, MaskedLM, initialise
from tests.cli.tables import CELLS, CHOICE, FEW, write

FASTA = ">a\nMKTAYIAKQR\n>w\nMKWTAYWL\n>c\nMVLSPADKTN\n"
VERBS = {
    "embed": (),
    "contacts": ("--min-separation", "1"),
    "perplexity": (),
    "score": ("--all-singles",),
}
NAN, OVERFLOW = "a weight is NaN", "float16 overflows"
REASONS = {
    NAN: "the model's numbers are not finite in float32",
    OVERFLOW: "the model's numbers are not finite in float16",
}
DTYPES = {NAN: "float32", OVERFLOW: "float16"}

Broken = Callable[[str], Path]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Broken:
    """A folder that holds a tiny model which is sound but for its vector of W. In float16, the largest number
    of which is 65,504, the stream of W overflows when the first block adds to it.
    """
    shape = {"d_model": 16, "n_layers": 2, "n_heads": 2, "d_feedforward": 32, "trained_length": 64}
    config = EncoderConfig(vocab_size=33, tied_head=False, **shape)  # type: ignore[arg-type]
    tokenizer = ProteinTokenizer()

    def make(fault: str) -> Path:
        module = MaskedLM(config, with_contacts=True)
        initialise(module, seed=1)
        with torch.no_grad():
            vector = module.encoder.embedding.tokens.weight[tokenizer.number["W"]]
            if fault == NAN:
                vector[0] = torch.nan
            else:
                vector[:] = torch.tensor([6e4, -6e4]).repeat(8)
                module.encoder.blocks[0].feedforward.down.bias.fill_(1e4)
        folder = tmp_path_factory.mktemp("broken")
        for name, content in write_checkpoint(Checkpoint("biofm protein", module, tokenizer)).items():
            (folder / name).write_bytes(content)
        return folder

    return make


def words_of(verb: str, model: Path, dtype: str, *further: str) -> tuple[Any, ...]:
    path = ("--wild-type", "p.fasta") if verb == "score" else ("p.fasta",)
    return (verb, *path, "-m", model, "--dtype", dtype, "-q", *VERBS[verb], *further)


@pytest.mark.parametrize("fault", REASONS)
@pytest.mark.parametrize("verb", VERBS)
def test_numbers_that_are_not_finite_are_an_error_with_record_dtype_and_remedy(
    verb: str, fault: str, biofm: Any, broken: Broken
) -> None:
    Path("p.fasta").write_text(FASTA)
    model = broken(fault)
    outcome = biofm(*words_of(verb, model, DTYPES[fault], "-o", "out.csv"))
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1, outcome.err
    place = "w, M1A" if verb == "score" else "p.fasta, record 2 (w)"
    remedy = "Pass --dtype float32" if fault == OVERFLOW else "Download the model's files again"
    assert all(part in outcome.err for part in (place, REASONS[fault], remedy)), outcome.err
    assert fault == OVERFLOW or "1 of the 528 numbers of its tensor" in outcome.err
    assert not Path("out.csv").exists()
    if fault == OVERFLOW:
        resume = biofm(*words_of(verb, model, "float32", "-o", "other.csv"))
        assert resume.status == 0, resume.err
        assert "nan" not in Path("other.csv").read_text()


@pytest.mark.parametrize("fault", REASONS)
@pytest.mark.parametrize("verb", VERBS)
def test_skipped_its_row_stays_empty_with_the_reason(
    verb: str, fault: str, biofm: Any, broken: Broken
) -> None:
    Path("p.fasta").write_text(FASTA)
    words = words_of(verb, broken(fault), DTYPES[fault], "--on-error", "skip")
    outcome = biofm(*words, "-o", "out.csv")
    assert outcome.status == 0, outcome.err
    assert "rows left empty, because the model's numbers are not finite" in outcome.err
    table = pd.read_csv("out.csv")
    key = "id" if "id" in table else "protein"
    table = table.set_index(key)
    assert list(dict.fromkeys(table.index)) == ["a", "w", "c"]
    values = table.drop(columns=["reason", "mutant_residue"], errors="ignore").select_dtypes("floating")
    assert values.loc[["a", "c"]].notna().all(axis=None)
    empty = values.loc[["w"]]
    assert empty.isna().all(axis=1).any()
    if verb == "embed":
        provenance = json.loads(Path("out.csv.provenance.json").read_text())["biofm"]
        assert (provenance["empty_rows"], provenance["empty_rows_reason"]) == (1, REASONS[fault])
    else:
        is_empty = values.isna().any(axis=1)
        assert table["reason"].notna().equals(is_empty)
        assert table["reason"][is_empty].str.endswith(REASONS[fault]).all()


def test_a_total_is_nan_if_a_part_is(biofm: Any, broken: Broken) -> None:
    Path("p.fasta").write_text(FASTA)
    words = words_of("perplexity", broken(NAN), "float32", "--on-error", "skip", "-o", "out.parquet")
    outcome = biofm(*words)
    assert "perplexity of all residues is nan" in outcome.err
    outcome = biofm(*words, "--overwrite", "--json")
    assert json.loads(outcome.out, parse_constant=pytest.fail)["perplexity"] is None


@pytest.mark.parametrize("suffix", [".h5ad", ".parquet", ".npz", ".safetensors"])
@pytest.mark.parametrize("pool", ["max", "none"])
def test_every_format_keeps_the_empty_rows_of_a_protein(
    suffix: str, pool: str, biofm: Any, broken: Broken, read_table: Any
) -> None:
    Path("p.fasta").write_text(FASTA)
    words = words_of("embed", broken(NAN), "float32", "--on-error", "skip", "--pool", pool)
    assert biofm(*words, "-o", f"out{suffix}").status == 0
    found = np.isnan(read_table(Path(f"out{suffix}")).values)
    assert (found.all(1) == found.any(1)).all()
    lengths = (10, 8, 10) if pool == "none" else (1, 1, 1)
    np.testing.assert_array_equal(found.any(1), np.repeat([False, True, False], lengths))


def test_what_was_done_before_is_kept_for_resume(biofm: Any, broken: Broken) -> None:
    """Chunks of one batch and more: the first proteins are in the journal when the fault is met."""
    many = "".join(f">p{i}\nMKTAYI{'A' * i}\n" for i in range(40))
    Path("p.fasta").write_text(f"{many}>w\nMW\n>z\nMKT\n")
    words = words_of("embed", broken(NAN), "float32", "--tokens-per-batch", "8", "-o", "out.npz")
    assert biofm(*words).status == 1
    outcome = biofm(*words, "--resume", "--on-error", "skip", "--json")
    assert outcome.status == 0, outcome.err
    assert json.loads(outcome.out)["n_sequences"] == 42
    assert "found no unfinished work" not in outcome.err
    values = np.load("out.npz")["embeddings"]
    np.testing.assert_array_equal(np.isnan(values).all(1), np.arange(42) == 40)


def test_a_protein_that_cannot_be_compared_is_an_error_even_if_skipped(biofm: Any, broken: Broken) -> None:
    Path("p.fasta").write_text(FASTA)
    words = words_of("contacts", broken(NAN), "float32", "--on-error", "skip", "-o", "out.npz")
    outcome = biofm(*words, "--protein", "w", "--picture", "w.png")
    assert outcome.status == 1
    assert "protein w" in outcome.err
    assert not Path("w.png").exists()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("task", CELLS)
def test_a_prediction_that_is_not_finite_is_an_error_or_an_empty_row(
    task: str, suffix: str, biofm: Any, broken: Broken
) -> None:
    model = broken(NAN)
    write("t.csv", CELLS[task])
    Path("t.csv").write_text(Path("t.csv").read_text().replace("W", "L"))
    assert biofm("finetune", "t.csv", *CHOICE, "-o", "run", "-m", model, *FEW).status == 0
    Path("p.fasta").write_text(FASTA)
    words = ("predict", "p.fasta", "-p", "run", "-q")
    outcome = biofm(*words, "-o", f"out{suffix}")
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1, outcome.err
    assert all(part in outcome.err for part in ("p.fasta, record 2 (w)", REASONS[NAN])), outcome.err
    assert not Path(f"out{suffix}").exists()
    outcome = biofm(*words, "-o", f"out{suffix}", "--on-error", "skip", "--json")
    assert outcome.status == 0, outcome.err
    summary = json.loads(outcome.out)
    assert summary["notices"]["rows left empty, because the model's numbers are not finite"] == 1
    assert summary["domain"]["rows"] == 2
    found = pd.read_csv("out.csv") if suffix == ".csv" else pd.read_parquet("out.parquet")
    found = found.set_index("id")
    assert list(found.index) == ["a", "w", "c"]
    assert found["reason"].fillna("").to_dict() == {"a": "", "w": REASONS[NAN], "c": ""}
    assert found.loc["w"].drop(["record", "n_residues", "reason"]).isna().all()
    assert found.loc[["a", "c"], "prediction"].notna().all()
    Path("p.fasta").write_text(">a\nMKTAYIAKQR\n>c\nMVLSPADKTN\n")
    assert biofm(*words, "-o", f"alone{suffix}").status == 0
    alone = pd.read_csv("alone.csv") if suffix == ".csv" else pd.read_parquet("alone.parquet")
    assert alone["prediction"].tolist() == found.loc[["a", "c"], "prediction"].tolist()


def test_a_head_that_overflows_is_an_error_that_says_so(biofm: Any, tiny_esm2: Path) -> None:
    write("t.csv", CELLS["regression"])
    assert biofm("finetune", "t.csv", *CHOICE, "-o", "run", "-m", tiny_esm2, *FEW).status == 0
    (head,) = Path("run/predictor/members").rglob("head.safetensors")
    state = load_file(head)
    state["head.1.bias"][0] = state["targets.scale"][0] = 3e38
    save_file(state, head)
    Path("p.fasta").write_text(FASTA)
    outcome = biofm("predict", "p.fasta", "-p", "run", "-o", "out.csv", "-q")
    assert outcome.status == 1
    assert "p.fasta, record 1 (a): the model's numbers are not finite in float32: its weights" in outcome.err


WILD_TYPES = {"a": "MKTAYIAKQR", "w": "MKWTAYWL"}
OF_WILD_TYPES = ("--sequence-column", "seq", "--method", "wt-marginals")
EMPTY = "rows left empty, because the model's numbers are not finite"


def variants_of_both() -> str:
    """Eight variants of each protein, of which one is sound. A5A of the other needs no model."""
    lines = [f"{one[i]}{i + 1}A,{one}\n" for i in range(8) for one in WILD_TYPES.values()]
    return "mutant,seq\n" + "".join(lines)


def test_merged_scores_say_how_many_rows_are_empty_whatever_the_order(biofm: Any, broken: Broken) -> None:
    Path("v.csv").write_text(variants_of_both())
    words = ("score", "v.csv", *OF_WILD_TYPES, "-m", broken(NAN), "-o", "out.csv", "--on-error", "skip", "-q")
    found = [biofm(*words, "--shard", f"{index}/3", "--json").out for index in (1, 2, 3)]
    of_shards = [json.loads(out)["notices"].get(EMPTY, 0) for out in found]
    assert sum(of_shards) == 7
    assert len(set(of_shards)) > 1, "so that the order could matter"
    shards = sorted(Path().glob("out.csv.shard-*"))
    for order in (shards, shards[::-1]):
        summary = json.loads(biofm("merge", *order, "-o", "out.csv", "--overwrite", "-q", "--json").out)
        assert (summary["n_variants"], summary["n_unscored"]) == (16, 7)
        assert summary["notices"][EMPTY] == 7


def test_empty_rows_keep_their_reasons_when_the_run_goes_on_without_the_option(
    biofm: Any, broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "BATCHES_PER_COMMIT", 1)
    sound = f"K2R,{WILD_TYPES['a']}\n" * 2100  # beyond the first 2,048 rows
    Path("v.csv").write_text(f"{variants_of_both()}{sound}K2R\n")
    small = ("--tokens-per-batch", "16")
    words = ("score", "v.csv", *OF_WILD_TYPES, "-m", broken(NAN), "-o", "out.csv", "-q", *small)
    outcome = biofm(*words, "--on-error", "skip")
    assert (outcome.status, "line 2118: this row has 1 cell," in outcome.err) == (1, True), outcome.err
    Path("v.csv").write_text(f"{variants_of_both()}{sound}K2R,{WILD_TYPES['a']}\n")
    outcome = biofm(*words, "--resume", "--json")
    assert outcome.status == 0, outcome.err
    summary = json.loads(outcome.out)
    assert (summary["n_unscored"], summary["notices"][EMPTY]) == (7, 7)
    table = pd.read_csv("out.csv")
    assert table["reason"].notna().sum() == table["score"].isna().sum() == 7


def test_perplexities_that_python_is_given_are_one_a_sequence(broken: Broken) -> None:
    model = biofm_package.load(broken(NAN), dtype="float32")
    with pytest.warns(UserWarning, match="records skipped: 2"):
        found = model.perplexity(["MKT", "M1T", "MKWT", "", "MKV"], on_error="skip")
    assert np.isnan(found).tolist() == [False, True, True, True, False]
    np.testing.assert_allclose(found[[0, 4]], model.perplexity(["MKT", "MKV"]), rtol=1e-5)
