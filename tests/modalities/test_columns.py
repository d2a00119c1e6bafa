"""Columns that travel with the records of a modality's own format: to every output, and through a journal."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import safetensors
import safetensors.numpy
from biofm_datasets import DataError, Record

import biofm
from biofm.core import InputError
from biofm.core.journal import Journal
from biofm.inference import EmbedOptions
from biofm.inference.runs.survey import survey
from biofm.modalities import SameColumns
from tests.modalities import toy

SUFFIXES = (".h5ad", ".parquet", ".npz", ".safetensors", ".csv")
OPTIONS: dict[str, Any] = {"dtype": "float32", "device": "cpu"}
SMALL: dict[str, Any] = {**OPTIONS, "tokens_per_batch": 5}
"""Chunks of some 80 tokens: several of them in the file."""

pytestmark = pytest.mark.filterwarnings("ignore:Observation names are not unique")


def places_of(records: list[Record], *, per_unit: bool = False) -> list[str]:
    return [
        str(it.columns["place"])
        for it in records
        for _ in range(len(toy.units(it.sequence)) if per_unit else 1)
    ]


def texts_of(utf8: np.ndarray, offsets: np.ndarray) -> list[str]:
    return [bytes(utf8[start:end]).decode() for start, end in pairwise(offsets)]


def read_ids_and(name: str, path: Path) -> tuple[list[str], list[Any]]:
    """The ids of an output and one of its columns, through the format's usual reader."""
    match path.suffix:
        case ".h5ad":
            obs = anndata.read_h5ad(path).obs
            return list(obs.get("protein", obs.index)), obs[name].tolist()
        case ".npz":
            with np.load(path) as arrays:
                return arrays["ids"].tolist(), arrays[f"column.{name}"].tolist()
        case ".safetensors":
            arrays = safetensors.numpy.load_file(path)
            ids = texts_of(arrays["ids_utf8"], arrays["ids_offsets"])
            return ids, texts_of(arrays[f"column.{name}/utf8"], arrays[f"column.{name}/offsets"])
        case ".csv":
            table = pd.read_csv(path, keep_default_na=False)
        case _:
            table = pd.read_parquet(path)
    return table["id"].tolist(), table[name].tolist()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("pool", ["mean", "none"])
def test_a_column_arrives_in_the_order_of_the_input(
    pool: str, suffix: str, model: Path, file: Path, records: list[Record], tmp_path: Path
) -> None:
    """In .npz and .safetensors, as the ids, once a record; in the others once a row."""
    output = tmp_path / f"out{suffix}"
    summary = biofm.embed(file, output, model=model, pool=pool, **OPTIONS)  # type: ignore[arg-type]
    per_unit = pool == "none" and suffix not in (".npz", ".safetensors")
    ids, places = read_ids_and("place", output)
    assert places == places_of(records, per_unit=per_unit)
    assert ids == [it.id for it in records for _ in range(len(toy.units(it.sequence)) if per_unit else 1)]
    n_texts = len({it.sequence for it in records})
    assert summary.notices["sequences that repeat another, embedded once for all of them"] == 60 - n_texts
    assert summary.n_rows == (summary.n_residues if pool == "none" else 60)


def test_safetensors_says_which_columns_there_are(model: Path, file: Path, tmp_path: Path) -> None:
    biofm.embed(file, tmp_path / "out.safetensors", model=model, **OPTIONS)
    with safetensors.safe_open(tmp_path / "out.safetensors", "np") as opened:
        assert json.loads(opened.metadata()["columns"]) == {"place": "text"}


@pytest.fixture
def embed_stopped(model: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs that are stopped when they have done two chunks."""
    commit = Journal.commit

    def embed(output: Path, **options: Any) -> None:
        before = count()

        def commit_twice(journal: Journal, *arguments: Any) -> None:
            if next(before) == 2:
                raise KeyboardInterrupt
            commit(journal, *arguments)

        with monkeypatch.context() as stopping:
            stopping.setattr(Journal, "commit", commit_twice)
            with pytest.raises(KeyboardInterrupt):
                biofm.embed(file, output, model=model, **SMALL, **options)
        assert not output.exists()

    return embed


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("pool", ["mean", "none"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(
    pool: str,
    suffix: str,
    model: Path,
    file: Path,
    records: list[Record],
    embed_stopped: Callable[..., None],
    tmp_path: Path,
) -> None:
    whole, stopped = tmp_path / f"whole{suffix}", tmp_path / f"stopped{suffix}"
    options: dict[str, Any] = {"model": model, "pool": pool, **SMALL}
    biofm.embed(file, whole, **options)
    embed_stopped(stopped, pool=pool)
    summary = biofm.embed(file, stopped, resume=True, **options)
    assert not any("started from the beginning" in notice for notice in summary.notices)
    assert stopped.read_bytes() == whole.read_bytes()
    again = biofm.embed(file, stopped, resume=True, **options)
    assert again.n_tokens == 0


def test_another_place_is_another_input(
    model: Path, file: Path, records: list[Record], embed_stopped: Callable[..., None], tmp_path: Path
) -> None:
    """The tokens are those of before, so by them alone it could not be seen."""
    output = tmp_path / "out.npz"
    embed_stopped(output)
    toy.write([replace(records[0], columns={"place": "moon"}), *records[1:]], file)
    with pytest.raises(InputError, match=r"no longer begins with the \d+ records of the unfinished run"):
        biofm.embed(file, output, model=model, resume=True, **SMALL)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_shards_merge_to_the_bytes_of_one_run(suffix: str, model: Path, file: Path, tmp_path: Path) -> None:
    whole, merged = tmp_path / f"whole{suffix}", tmp_path / f"merged{suffix}"
    biofm.embed(file, whole, model=model, **OPTIONS)
    for shard in ("1/3", "2/3", "3/3"):
        biofm.embed(file, merged, model=model, shard=shard, **OPTIONS)
    biofm.merge([f"{merged}.shard-{i}-of-3" for i in (3, 1, 2)], merged)
    assert merged.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("name", "expected"), [("record", "input_record"), ("e3", "input_e3"), ("e", "e"), ("reason", "reason")]
)
def test_a_column_with_the_name_of_ours_gets_another(
    name: str, expected: str, model: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy, "PLACE", name)
    summary = biofm.embed(file, tmp_path / "out.parquet", model=model, **OPTIONS)
    assert list(pd.read_parquet(tmp_path / "out.parquet")) == ["id", "n_residues", expected, "embedding"]
    told = "input columns renamed to input_..., because the output has columns of the same names"
    assert summary.notices.get(told, 0) == (expected != name)


def test_embeddings_in_memory_have_them_too(model: Path, records: list[Record]) -> None:
    loaded = biofm.load(model, **OPTIONS)
    found = loaded.embed(records, pool="none")
    assert found.columns == {"place": places_of(records)}
    assert loaded.embed(["ab3"]).columns == {}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_perplexities_stand_behind_the_columns(
    suffix: str, model: Path, file: Path, records: list[Record], tmp_path: Path
) -> None:
    output = tmp_path / f"out{suffix}"
    biofm.perplexity(file, output, model=model, device="cpu")
    table = pd.read_csv(output, keep_default_na=False) if suffix == ".csv" else pd.read_parquet(output)
    assert list(table) == ["id", "record", "place", "n_residues", "windowed", "pseudo_perplexity"]
    assert table["place"].tolist() == places_of(records)
    assert table["id"].tolist() == [it.id for it in records]


def test_predictions_stand_behind_the_columns(
    model: Path, file: Path, records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (f"r{i},{it.sequence},{len(it.sequence)}\n" for i, it in enumerate(records))
    (tmp_path / "t.csv").write_text("id,text,y\n" + "".join(rows))
    biofm.finetune(
        tmp_path / "t.csv", tmp_path / "run", target="y", column="text", model=model, method="probe",
        sets=["n_resamples=20"], **OPTIONS,
    )  # fmt: skip
    biofm.predict(file, tmp_path / "out.csv", predictor=tmp_path / "run", device="cpu")
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert list(table)[:5] == ["id", "record", "place", "n_residues", "prediction"]
    assert table["place"].tolist() == places_of(records)

    monkeypatch.setattr(toy, "PLACE", "prediction")
    found = biofm.predict(file, tmp_path / "other.csv", predictor=tmp_path / "run", device="cpu")
    assert list(pd.read_csv(tmp_path / "other.csv"))[2] == "input_prediction"
    told = "input columns renamed to input_..., because the output has columns of the same names"
    assert found.notices[told] == 1


def test_an_estimate_counts_the_columns(model: Path, file: Path, records: list[Record]) -> None:
    embedder = biofm.load(model, **OPTIONS).embedder(EmbedOptions())
    found = survey(embedder.tokenise(records, Counter()), embedder)
    assert found.cell_bytes == sum(len(place.encode()) for place in places_of(records))


def test_records_with_other_columns_are_named(model: Path) -> None:
    loaded = biofm.load(model, device="cpu")
    one = Record("a", "ab3", columns={"place": "x", "start": 4}, number=1)
    for other, message in {
        "none": (Record("b", "ab3", number=2), "the columns none, but the first record has place, start"),
        "another": (
            Record("b", "ab3", columns={"place": "x", "end": 4}, number=2),
            "the columns end, place, but the first record has place, start",
        ),
        "kind": (
            Record("b", "ab3", columns={"place": "x", "start": 4.5}, number=2),
            "column 'start' holds a float, but in the first record a whole number",
        ),
    }.values():
        with pytest.raises(InputError, match=message) as caught:
            loaded.embed([one, other])
        assert caught.value.where == "record 2 (b)"
    turned = Record("b", "cd1", columns={"start": 7, "place": "y"}, number=2)
    assert loaded.embed([one, turned]).columns == {"place": ["x", "y"], "start": [4, 7]}


WRONG: dict[str, tuple[dict[Any, Any], str]] = {
    "a path": ({"a/b": 1}, "outputs cannot have a column named 'a/b'"),
    "nothing": ({"": 1}, "outputs cannot have a column named ''"),
    "dots": ({"..": 1}, "outputs cannot have a column named '..'"),
    "a line end": ({"a\n": 1}, "outputs cannot have a column named"),
    "a truth value": ({"a": True}, "column 'a' holds bool"),
    "a list": ({"a": [1]}, "column 'a' holds list"),
    "a large number": ({"a": 1 << 63}, "a number beyond 64 bits"),
    "a NUL": ({"a": "x\0"}, "holds text with a NUL"),
    "half a pair": ({"a": "\ud800"}, "that is not UTF-8"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_columns_that_no_output_takes_are_refused(wrong: str) -> None:
    columns, message = WRONG[wrong]
    with pytest.raises(DataError, match=message):
        SameColumns().check(columns, "record 1")
