"""``biofm predict`` end to end: it says what the run judged, whatever stands beside; and what it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from biofm.core.tables import SUFFIXES
from tests.cli.conftest import ForkedBiofm
from tests.cli.tables import CELLS, CHOICE, FEW, FEW_STEPS, GOOD, OILY, oiliness, sequences, write


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("task", CELLS)
def test_predict_says_of_a_row_what_the_run_judged(
    task: str, suffix: str, biofm: Any, tiny_esm2: Path
) -> None:
    write("t.csv", CELLS[task])
    assert biofm("finetune", "t.csv", *CHOICE, "-o", "run", "-m", tiny_esm2, *FEW).status == 0
    judged = pd.read_csv("run/predictions.csv", keep_default_na=False)
    rows = pd.read_csv("t.csv", keep_default_na=False).query("set == 'test'")
    Path("new.fasta").write_text("".join(f">{row.id}\n{row.sequence}\n" for row in rows.itertuples()))
    words = ("predict", "new.fasta", "-p", "run/predictor", "-o", f"found{suffix}", "--json")
    outcome = biofm(*words)
    assert outcome.status == 0, outcome.err
    summary = json.loads(outcome.out)
    assert (summary["task"], summary["n_sequences"], summary["n_members"]) == (task, 12, 1)
    delimiter = {".csv": ",", ".tsv": "\t"}.get(suffix)
    path = f"found{suffix}"
    found = pd.read_csv(path, sep=delimiter, keep_default_na=False) if delimiter else pd.read_parquet(path)
    assert found["id"].tolist() == judged["id"].tolist()
    assert found["record"].tolist() == list(range(1, 13))
    assert found["n_residues"].tolist() == [len(one) for one in rows.sequence]
    if task == "regression":
        for name in ("prediction", "low", "high"):
            np.testing.assert_allclose(found[name].astype(float), judged[name].astype(float), atol=1e-5)
    else:
        assert found["prediction"].tolist() == judged["prediction"].tolist()
    if task == "per-residue" and not delimiter:
        assert found["probability_o"].map(len).tolist() == found["n_residues"].tolist()


def test_what_is_predicted_depends_on_nothing_beside_it(biofm: Any, tiny_esm2: Path) -> None:
    """One at a time, all together, in small batches, twice over, and backwards."""
    write("t.csv", oiliness)
    words = ("-m", tiny_esm2, "--method", "full", "--pool", "attention", *FEW_STEPS)
    assert biofm("finetune", "t.csv", *CHOICE, "-o", "run", *words).status == 0
    new = [*sequences(9, seed=5), "M" * 300]
    orders = {"all": new, "twice": [*new, *new], "backwards": new[::-1], "one": new[3:4]}
    found = {}
    for name, some in orders.items():
        Path(f"{name}.fasta").write_text("".join(f">p{i}\n{one}\n" for i, one in enumerate(some)))
        few = ("--tokens-per-batch", "40") if name == "backwards" else ()
        outcome = biofm("predict", f"{name}.fasta", "-p", "run/predictor", "-o", f"{name}.csv", *few)
        assert outcome.status == 0, outcome.err
        found[name] = pd.read_csv(f"{name}.csv")["prediction"].to_numpy()
    whole = found["all"]
    np.testing.assert_allclose(found["twice"], [*whole, *whole], atol=1e-6)
    np.testing.assert_allclose(found["backwards"], whole[::-1], atol=1e-6)
    np.testing.assert_allclose(found["one"], whole[3:4], atol=1e-6)


def test_intervals_widen_with_the_coverage_and_end_where_no_row_can_promise_it(
    biofm: Any, tiny_esm2: Path
) -> None:
    write("t.csv", oiliness)
    assert biofm("finetune", "t.csv", *CHOICE, "-o", "run", "-m", tiny_esm2, *FEW).status == 0
    Path("new.fasta").write_text(">a\nMKTAYIAK\n>b\nWWWW\n")
    widths = []
    for coverage in ("0.5", "0.9", "0.99"):
        words = ("-p", "run/predictor", "-o", f"{coverage}.csv", "--coverage", coverage)
        outcome = biofm("predict", "new.fasta", *words)
        table = pd.read_csv(f"{coverage}.csv")
        widths.append((table["high"] - table["low"]).tolist())
    assert widths[0] < widths[1]
    assert all(map(np.isnan, widths[2])), "12 rows calibrate"
    assert "too few rows calibrated the predictor for this coverage: 2" in outcome.err
    provenance = json.loads(Path("0.9.csv.provenance.json").read_text())["biofm"]
    assert (provenance["coverage"], provenance["method"], provenance["gaps"]) == (0.9, "probe", "drop")


def test_gaps_are_treated_as_in_training(biofm: Any, tiny_esm2: Path) -> None:
    write("t.csv", oiliness)
    assert biofm("finetune", "t.csv", *CHOICE, "-o", "run", "-m", tiny_esm2, *FEW).status == 0
    description = Path("run/predictor/predictor.json")
    Path("new.fasta").write_text(">a\nMKTA--YIAK\n>b\nMKTAYIAK\n")
    apart = {}
    for gaps in ("drop", "keep", None):  # None: a predictor of before, which kept them without saying so
        content = json.loads(description.read_text())
        description.write_text(
            json.dumps({n: v for n, v in content.items() if n != "gaps"} | ({"gaps": gaps} if gaps else {}))
        )
        assert biofm("predict", "new.fasta", "-p", "run/predictor", "-o", f"{gaps}.csv").status == 0
        first, second = pd.read_csv(f"{gaps}.csv")["prediction"]
        apart[gaps] = abs(first - second)
    assert apart["drop"] < 1e-6 < apart["keep"] == apart[None]


def test_a_predictor_that_was_trained_whole_needs_no_other_model(
    biofm: Any, tiny_esm2: Path, tmp_path: Path
) -> None:
    write("t.csv", oiliness)
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in tiny_esm2.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    for method in ("probe", "full"):
        words = ("-m", "moved", "--method", method, *FEW_STEPS)
        assert biofm("finetune", "t.csv", *CHOICE, "-o", method, *words).status == 0
    moved.rename(tmp_path / "elsewhere")
    predict = ("predict", "t.csv", "--column", "sequence")
    assert biofm(*predict, "-p", "full", "-o", "full.csv").status == 0
    lost = biofm(*predict, "-p", "probe/predictor", "-o", "probe.csv")
    assert lost.status == 1
    assert f"{moved}: the model that was fine-tuned is no longer here" in lost.err, "an absolute path"
    assert "--model" in lost.err
    found = biofm(*predict, "-p", "probe/predictor", "-o", "probe.csv", "--model", "elsewhere")
    assert found.status == 0, found.err
    other = biofm(*predict, "-p", "probe/predictor", "-o", "other.csv", "--model", "protein-nano")
    assert "trained on a model with other weights" in other.err
    assert biofm("info", "full/predictor/members/seed-0").status == 0, (
        "a fine-tuned encoder is a model itself"
    )


SHIFTS: dict[str, Any] = {
    "regression": lambda one, is_shifted: oiliness(one) + 3 * is_shifted,
    "classification": lambda one, is_shifted: CELLS["classification"](one if not is_shifted else "K"),
    "per-residue": lambda one, is_shifted: "".join(
        "o" if (letter in OILY) ^ is_shifted else "-" for letter in one
    ),
}
PROMISES = {
    "regression": "the 90 % intervals of 'y' contained the true value in",
    "classification": "the most probable class was right in",
    "per-residue": "the most probable class was right in",
}


@pytest.mark.parametrize(
    ("task", "words", "is_shifted"),
    [
        ("regression", FEW, True),
        ("regression", FEW, False),
        ("classification", FEW, True),
        ("classification", FEW, False),
        pytest.param("per-residue", ("--method", "full", *FEW_STEPS), True, marks=pytest.mark.slow),
    ],
)
def test_predict_warns_where_a_promise_is_known_to_be_false_and_flags_what_is_unlike_training(
    task: str, words: tuple[str, ...], is_shifted: bool, biofm: Any, tiny_esm2: Path
) -> None:
    rows = ["id,sequence,y,set"]
    for i, one in enumerate(sequences(300)):
        of = ["train", "train", "validation", "test"][i % 4]
        rows.append(f"p{i},{one},{SHIFTS[task](one, is_shifted and of == 'test')},{of}")
    Path("t.csv").write_text("\n".join(rows))
    finetuned = biofm("finetune", "t.csv", *CHOICE, "-o", "run", "-m", tiny_esm2, *words)
    assert finetuned.status == 0, finetuned.err
    evaluation = json.loads(Path("run/evaluation.json").read_text())
    promise = evaluation["remarks"][0][0]
    warning = f"warning: {promise}"
    judged = pd.read_csv("run/predictions.csv")
    if task == "regression":
        held = ((judged["low"] <= judged["truth"]) & (judged["truth"] <= judged["high"])).mean()
        assert f"in {held:.1%} of 75 test rows (95 % interval " in promise
    assert promise.startswith(PROMISES[task])
    strange = {"long": "MKTAYIAK" * 9, "letter": "MKTAYIAKUQISF", "far": "W" * 20}
    Path("strange.fasta").write_text("".join(f">{id_}\n{one}\n" for id_, one in strange.items()))
    Path("like.fasta").write_text("".join(f">{i}\n{one}\n" for i, one in enumerate(sequences(200, seed=7))))
    for name in ("like", "strange"):
        found = biofm("predict", f"{name}.fasta", "-p", "run/predictor", "-o", f"{name}.csv")
        assert found.status == 0, found.err
        assert (warning in found.err) == (warning in finetuned.err) == is_shifted, found.err
        assert promise in found.err
        assert ("Do not rely on the predictions for these rows" in found.err) == (name == "strange"), (
            found.err
        )
    reasons = dict(pd.read_csv("strange.csv", keep_default_na=False)[["id", "out_of_domain"]].values)
    assert "length" in reasons["long"]
    assert "letters" in reasons["letter"]
    assert reasons["far"] == "distance"
    provenance = json.loads(Path("like.csv.provenance.json").read_text())["biofm"]
    assert provenance["tested"] == [promise]


def test_a_predictor_of_an_earlier_biofm_predicts_and_says_what_it_does_not_know(
    biofm: Any, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "old")
    (tmp_path / "old" / "training.safetensors").unlink()
    path = tmp_path / "old" / "predictor.json"
    content = json.loads(path.read_text())
    del content["training"], content["promise"]
    path.write_text(json.dumps(content))
    scores = load_file(tmp_path / "old" / "calibration.safetensors")
    save_file({"scores.0": scores["scores.0"]}, tmp_path / "old" / "calibration.safetensors")
    Path("t.csv").write_text("sequence\nMKT\n")
    for folder in ("old", str(trained)):
        outcome = biofm(
            "predict", "t.csv", "--column", "sequence", "-p", folder, "-o", "t.csv.csv", "--overwrite"
        )
        assert outcome.status == 0, outcome.err
        is_old = folder == "old"
        assert ("warning: an earlier version of biofm made this predictor" in outcome.err) == is_old
        assert ({"out_of_domain", "distance"} <= set(pd.read_csv("t.csv.csv").columns)) != is_old


# what is done to the predictor, further words, what the message must say
def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _truncate(folder: Path) -> None:
    _cut(next(folder.glob("members/*/head.safetensors")))


def _rewrite(**changes: Any) -> Any:
    def change(folder: Path) -> None:
        path = folder / "predictor.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


DAMAGES: dict[str, tuple[Any, tuple[str, ...], list[str]]] = {
    "no description": (lambda folder: (folder / "predictor.json").unlink(), (), ["no predictor.json"]),
    "another JSON": (_rewrite(format="recipe"), (), ["does not describe a predictor"]),
    "no JSON": (lambda folder: (folder / "predictor.json").write_text("{"), (), ["not describe a predictor"]),
    "a newer version": (_rewrite(version=2), (), ["version 2", "Update biofm"]),
    "a task of the future": (_rewrite(task="clustering"), (), ["clustering"]),
    "another way with gaps": (_rewrite(gaps="close"), (), ["gaps is 'close', not one of drop, keep, refuse"]),
    "a truncated head": (_truncate, (), ["head.safetensors is not a complete safetensors file"]),
    "vectors of training that are cut": (
        lambda folder: _cut(folder / "training.safetensors"), (),
        ["training.safetensors is not a complete safetensors file"],
    ),
    "vectors of training that do not fit": (
        lambda folder: save_file({"mean": np.zeros(3)}, folder / "training.safetensors"), (),
        ["training.safetensors", "do not fit each other"],
    ),
    "vectors of training of another width": (
        lambda folder: save_file(
            {"mean": np.zeros(3), "factor": np.zeros(3), "vectors": np.zeros((2, 3), np.float32)},
            folder / "training.safetensors",
        ),
        (), ["its training rows are kept as vectors of 3 dimensions"],
    ),
    "training of no rows": (_rewrite(training={"n": 3}), (), ["does not describe a predictor"]),
    "training of words": (
        _rewrite(training={"n": "a", "shortest": 1, "longest": None, "letters": 3}), (),
        ["does not describe a predictor"],
    ),
    "a missing head": (
        lambda folder: next(folder.glob("members/*/head.safetensors")).unlink(), (),
        ["head.safetensors is missing"],
    ),
    "another number of targets": (_rewrite(targets=["a", "b"]), (), ["1 spread for 2 targets"]),
    "a coverage of everything": (lambda folder: None, ("--coverage", "1"), ["--coverage", "between 0 and 1"]),
    "a window of one": (lambda folder: None, ("--window", "1"), ["--window", "at least 2"]),
    "an output of no format": (lambda folder: None, ("-o", "found.txt"), ["found.txt", ".parquet"]),
    "an input at fault": (
        lambda folder: Path("t.csv").write_text("sequence\nMK7\n"), (), ["t.csv", "position 3"]
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_esm2: Path) -> Path:
    """A probe's predictor."""
    import biofm

    folder = tmp_path_factory.mktemp("trained")
    table = folder / "t.csv"
    table.write_text(GOOD)
    biofm.finetune(
        table, folder / "run", target="y", column="sequence", split_column="set", model=tiny_esm2,
        dtype="float32", sets=["n_resamples=5"],
    )  # fmt: skip
    return folder / "run" / "predictor"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_predictor_gives_one_clear_line_and_no_file(
    damage: str, biofm: Any, trained: Path, tmp_path: Path
) -> None:
    harm, words, message = DAMAGES[damage]
    copy = tmp_path / "predictor"
    for file in trained.rglob("*"):
        if file.is_file():
            (copy / file.relative_to(trained)).parent.mkdir(parents=True, exist_ok=True)
            (copy / file.relative_to(trained)).write_bytes(file.read_bytes())
    Path("t.csv").write_text("sequence\nMKT\n")
    harm(copy)
    output = () if "-o" in words else ("-o", "found.csv")
    outcome = biofm("predict", "t.csv", "--column", "sequence", "-p", "predictor", *output, *words)
    outcome.check_refusal(message)
    assert not list(tmp_path.glob("found*"))


def test_predictions_on_standard_output_are_those_of_a_file(trained: Path, forked: ForkedBiofm) -> None:
    words = ("predict", trained.parents[1] / "t.csv", "--column", "sequence", "-p", trained)
    forked.check(*words, "-o", "found.csv", "--quiet")
    forked.check(*words, "-o", "-")
    assert forked.out == (forked.folder / "found.csv").read_text()
    assert " to standard output." in forked.err


def test_python_takes_settings_as_keywords(trained: Path, tmp_path: Path) -> None:
    import biofm

    with pytest.raises(TypeError, match="unexpected keyword argument 'lora_rnk'"):
        biofm.finetune(tmp_path / "t.csv", tmp_path / "run", target="y", lora_rnk=2)  # type: ignore[call-arg]
    summary = biofm.predict(
        trained.parents[1] / "t.csv", tmp_path / "t.parquet", predictor=trained, column="sequence"
    )
    assert summary.n_sequences == 18
    metadata = pq.read_schema(tmp_path / "t.parquet").metadata[b"biofm"]
    assert json.loads(metadata)["task"] == "regression"
