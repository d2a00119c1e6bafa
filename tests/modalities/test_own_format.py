"""A modality with a file format and groups of its own: found by the suffix, and split by the groups."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from biofm_datasets import Record
from biofm_datasets.store import open_store

import biofm
from biofm.core import InputError, OptionError
from biofm.modalities import PROTEIN
from biofm.models import bundled_models, modality_named
from tests.modalities import toy


def test_a_split_by_groups_goes_by_the_places(file: Path, records: list[Record], tmp_path: Path) -> None:
    records = [it for it in records if it.columns["place"]]
    toy.write(records, file)
    biofm.prepare(file, tmp_path / "store", split="group", test=1)
    split = open_store(tmp_path / "store").split
    places = np.array(list(map(toy.place_of, records)))
    held_out, trained = set(places[split["test"]]), set(places[split["train"]])
    assert (len(held_out), len(trained)) == (1, 2)
    assert not held_out & trained
    biofm.prepare(file, tmp_path / "named", split="group", test_groups=["north"])
    named = open_store(tmp_path / "named")
    assert set(places[named.split["test"]]) == {"north"}
    assert named.record.split.parameters["column"] == ""
    again = biofm.prepare(file, tmp_path / "named", split="group", test_groups=["north"], resume=True)
    assert any("finished before by this same request" in notice for notice in again.notices)
    with pytest.raises(OptionError, match="no record has the group 'moon'"):
        biofm.prepare(file, tmp_path / "other", split="group", test_groups=["moon"])


def test_a_record_of_no_group_is_named_or_left_out(file: Path, records: list[Record], tmp_path: Path) -> None:
    first = next(i for i, it in enumerate(records, start=1) if not it.columns["place"])
    with pytest.raises(InputError, match="this record has no group") as caught:
        biofm.prepare(file, tmp_path / "store", split="group", test=1)
    assert f"record {first} " in caught.value.where
    summary = biofm.prepare(file, tmp_path / "store", split="group", test=1, on_error="skip")
    assert summary.n_sequences == sum(it.columns["place"] != "" for it in records)


def test_proteins_have_no_groups_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "in.fasta").write_text(">a\nMKV\n")
    with pytest.raises(
        OptionError, match="--split group needs a column that names the part or group"
    ) as caught:
        biofm.prepare(tmp_path / "in.fasta", tmp_path / "store", split="group", test=1)
    assert caught.value.where == "--split-column"


def test_a_suffix_says_the_modality(file: Path, records: list[Record], tmp_path: Path) -> None:
    zipped = tmp_path / "in.TOY.gz"
    zipped.write_bytes(gzip.compress(file.read_bytes()))
    assert modality_named(files=["p.fasta", zipped]) is toy.TOY
    assert modality_named("toy", [file, "p.fasta"]) is toy.TOY
    assert modality_named(files=["p.fasta"]) is modality_named() is PROTEIN
    with pytest.raises(OptionError, match=r"in\.toy holds strings, not proteins") as caught:
        modality_named("protein", ["p.fasta", file])
    assert caught.value.where == "--as"
    assert biofm.describe([file, zipped]).n_distinct == len({it.sequence for it in records})
    assert biofm.prepare(zipped, tmp_path / "store").units == "pairs"


def test_two_suffixes_of_two_modalities_clash(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biofm.modalities.protein.PROTEIN", replace(PROTEIN, formats=(".pro",)))
    with pytest.raises(OptionError, match=r"p\.pro holds proteins, not strings") as caught:
        modality_named(files=[file, "p.pro"])
    assert caught.value.where == "--as"


def test_a_column_of_a_table_is_refused_of_another_format(file: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a column was chosen, but this is no table"):
        biofm.embed(file, tmp_path / "out.npz", model=model, column="place", device="cpu")


def test_the_default_model_of_proteins_is_there() -> None:
    assert PROTEIN.default_model in bundled_models()
