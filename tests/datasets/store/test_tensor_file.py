"""Files of tensors: what we write others read, and what others write we map."""

from pathlib import Path

import numpy as np
import pytest
from biofm_datasets import DataError
from biofm_datasets.store.tensor_file import DTYPES, TensorWriter, map_tensors
from safetensors.numpy import load_file, save_file


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_usual_reader_reads_what_was_streamed(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    writer = TensorWriter(path, dtype)
    writer.append(np.arange(5))
    writer.append(np.empty(0, np.int64))
    writer.append(np.arange(5, 200))
    writer.finish({"first": 150, "second": 0, "third": 50})
    ours, theirs = map_tensors(path), load_file(path)
    for name, expected in (("first", range(150)), ("second", range(0)), ("third", range(150, 200))):
        assert ours[name].tolist() == theirs[name].tolist() == list(expected)
        assert ours[name].dtype == theirs[name].dtype == DTYPES[dtype]


def test_what_the_usual_writer_wrote_is_mapped(tmp_path: Path) -> None:
    values = np.arange(17, dtype=np.int64)
    save_file({"x": values}, tmp_path / "x.safetensors", metadata={"by": "others"})
    assert map_tensors(tmp_path / "x.safetensors")["x"].tolist() == values.tolist()


def test_a_map_cannot_be_written(tmp_path: Path) -> None:
    save_file({"x": np.arange(3)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="read-only"):
        map_tensors(tmp_path / "x.safetensors")["x"][0] = 1


@pytest.mark.parametrize("n_kept", [0, 1, 3])
def test_a_writer_goes_on_behind_what_is_kept(n_kept: int, tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    writer = TensorWriter(whole, "I64")
    writer.append(np.arange(5))
    expected = writer.finish({"x": 5})
    first = TensorWriter(resumed, "I64")
    first.append(np.array([*range(n_kept), 99, 98]))
    first.close()
    second = TensorWriter(resumed, "I64", n_bytes=8 * n_kept)
    second.append(np.arange(n_kept, 5))
    assert second.finish({"x": 5}) == expected
    assert whole.read_bytes() == resumed.read_bytes()


def test_a_writer_does_not_go_on_behind_what_is_gone(tmp_path: Path) -> None:
    writer = TensorWriter(tmp_path / "x", "U8")
    writer.append(np.arange(5))
    writer.close()
    with pytest.raises(DataError, match="2 bytes too short"):
        TensorWriter(tmp_path / "x", "U8", n_bytes=7)


def header(text: str, data: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text.encode() + data


ENTRY = '{"x": {"dtype": "U8", "shape": [%s], "data_offsets": [%s, %s]}}'

WRONG = {
    "nothing": (b"", "cannot be read"),
    "a few bytes": (b"abc", "longer than the file"),
    "text": (b">a\nMKT\n" * 50, "longer than the file"),
    "a header beyond the end": (header(ENTRY % (2, 0, 2))[:-5], "longer than the file"),
    "no JSON": (header("{x}"), "header is damaged"),
    "another JSON": (header("[1, 2]"), "header is damaged"),
    "a tensor without a shape": (header('{"x": {"dtype": "U8"}}'), "header is damaged"),
    "another dtype": (header('{"x": {"dtype": "F64", "shape": [0], "data_offsets": [0, 0]}}'), "damaged"),
    "two dimensions": (header(ENTRY % ("1, 2", 0, 2), b"ab"), "header is damaged"),
    "a shape of no number": (header(ENTRY % ("1.5", 0, 2), b"ab"), "header is damaged"),
    "a shape of true": (header(ENTRY % ("true", 0, 1), b"a"), "header is damaged"),
    "a negative shape": (header(ENTRY % (-1, 0, -1)), "place of 'x' is wrong"),
    "another length than the shape": (header(ENTRY % (2, 0, 3), b"abc"), "place of 'x' is wrong"),
    "a gap": (header(ENTRY % (2, 1, 3), b"abc"), "place of 'x' is wrong"),
    "too little": (header(ENTRY % (5, 0, 5), b"abc"), "2 bytes too short"),
    "too much": (header(ENTRY % (2, 0, 2), b"abc"), "1 byte too long"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_damaged_file_is_named(wrong: str, tmp_path: Path) -> None:
    content, message = WRONG[wrong]
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        map_tensors(path)
    assert caught.value.where == str(path)
    assert caught.value.remedy


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing"):
        map_tensors(tmp_path / "x.safetensors")
    with pytest.raises(DataError, match="cannot be read"):
        map_tensors(tmp_path)
