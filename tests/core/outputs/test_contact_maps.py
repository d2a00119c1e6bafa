"""Contact maps in every format are read back by the format's usual reader."""

import io
import json
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from biofm.core import OutputError
from biofm.core.outputs import contact_maps
from biofm.core.outputs.contact_maps import PairFilter, check_contact_suffix, open_contact_writer

PROVENANCE = {"model": "esm2-8m", "sha256": "ab"}
IDS = [
    "P69905",
    "sp|P01308|INS_HUMAN",
    "P69905",
    "a/../b",
    "..",
    "ids",
    'β,"1"',
    "x.npy",
    "P69905_2",
    "l" * 300,
]

Maps = list[tuple[str, NDArray[np.float32]]]
Write = Callable[..., Path]


def make_maps() -> Maps:
    generator = np.random.default_rng(20)
    maps = []
    for length, id_ in enumerate(IDS, start=1):
        values = generator.random((length, length), dtype=np.float32)
        maps.append((id_, np.maximum(values, values.T)))
    return maps


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes maps to ``out`` with a suffix and returns the path."""

    def write(suffix: str, maps: Maps, notices: Counter[str] | None = None, **pairs: Any) -> Path:
        path = tmp_path / f"out{suffix}"
        with path.open("w+b") as handle, (tmp_path / "out.json").open("wb") as beside:
            counted = Counter() if notices is None else notices
            writer = open_contact_writer(handle, suffix, PROVENANCE, PairFilter(**pairs), counted, beside)
            for number, (id_, probabilities) in enumerate(maps, start=1):
                writer.append(id_, number, probabilities)
            writer.close()
        return path

    return write


def test_an_archive_holds_every_matrix_whatever_its_protein_is_called(write: Write) -> None:
    notices: Counter[str] = Counter()
    maps = make_maps()
    with np.load(write(".npz", maps, notices)) as file:
        assert file["ids"].tolist() == IDS
        assert len(set(file.files)) == len(file.files) == len(IDS) + 3
        for name, (_, probabilities) in zip(file["arrays"].tolist(), maps, strict=True):
            assert file[name].dtype == np.float32
            np.testing.assert_array_equal(file[name], probabilities)
        np.testing.assert_array_equal(file["sp|P01308|INS_HUMAN"], maps[1][1])
        np.testing.assert_array_equal(file["P69905"], maps[0][1])
        assert json.loads(str(file["provenance"])) == PROVENANCE
    assert list(notices.values()) == [7]


def test_no_member_of_an_archive_leaves_its_folder(write: Write) -> None:
    with zipfile.ZipFile(write(".npz", make_maps())) as archive:
        assert archive.testzip() is None
        assert [name for name in archive.namelist() if "/" in name or "\\" in name or name[0] == "."] == []


def test_an_archive_is_written_as_the_maps_come() -> None:
    handle = io.BytesIO()
    writer = open_contact_writer(handle, ".npz", PROVENANCE, PairFilter(), Counter())
    sizes = []
    for _ in range(3):
        writer.append("p", 1, np.ones((100, 100), np.float32))
        sizes.append(handle.tell())
    assert min(np.diff(sizes)) > 40_000


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {".csv": pd.read_csv, ".parquet": pd.read_parquet}


@pytest.mark.parametrize(
    "pairs", [{}, {"min_separation": 6}, {"threshold": 0.5}, {"min_separation": 2, "threshold": 0.4}]
)
@pytest.mark.parametrize("suffix", READERS)
def test_a_table_holds_every_wanted_pair_once(
    suffix: str, pairs: dict[str, Any], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_maps, "ROWS_AT_ONCE", 7)
    wanted = PairFilter(**pairs)
    maps = make_maps()
    expected = [
        (id_, number, i + 1, j + 1, values[i, j])
        for number, (id_, values) in enumerate(maps, start=1)
        for i in range(len(values))
        for j in range(i + wanted.min_separation, len(values))
        if values[i, j] >= wanted.threshold
    ]
    found = READERS[suffix](write(suffix, maps, **pairs))
    assert list(found) == ["protein", "record", "i", "j", "probability"]
    assert list(found.astype({"probability": np.float32}).itertuples(index=False, name=None)) == expected


@pytest.mark.parametrize("suffix", READERS)
def test_a_table_says_how_it_was_made(suffix: str, write: Write) -> None:
    path = write(suffix, make_maps())
    if suffix == ".csv":
        assert json.loads((path.parent / "out.json").read_bytes()) == {"biofm": PROVENANCE}
    else:
        assert json.loads(pq.read_schema(path).metadata[b"biofm"]) == PROVENANCE


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_no_proteins_make_a_file_that_reads_as_empty(suffix: str, write: Write) -> None:
    path = write(suffix, [])
    if suffix == ".npz":
        with np.load(path) as file:
            assert file["ids"].tolist() == file["arrays"].tolist() == []
    else:
        assert len(READERS[suffix](path)) == 0


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_a_writer_that_is_forgotten_disturbs_nobody(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda fault: faults.append(repr(fault.exc_value)))
    with (tmp_path / "out").open("w+b") as handle, (tmp_path / "beside").open("wb") as beside:
        writer = open_contact_writer(handle, suffix, PROVENANCE, PairFilter(), Counter(), beside)
        writer.append("p", 1, np.ones((9, 9), np.float32))
    del writer
    assert faults == []


@pytest.mark.parametrize(("name", "fault"), [("a.h5ad", ".h5ad"), ("a", "no suffix")])
def test_another_suffix_is_an_error_that_lists_the_right_ones(name: str, fault: str) -> None:
    with pytest.raises(OutputError) as caught:
        check_contact_suffix(Path(name))
    assert fault in caught.value.what
    assert caught.value.remedy == "Give a file name that ends in .npz, .parquet or .csv"
