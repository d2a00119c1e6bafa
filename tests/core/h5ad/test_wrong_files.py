"""A file that leads elsewhere, states a false size or holds no embeddings gives one clear line."""

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from biofm.core import InputError
from biofm.core.h5ad import open_embeddings

Write = Callable[..., Path]


def secret(file: h5py.File) -> str:
    return str(Path(file.filename).with_name("secret"))


def with_matrix(**options: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file["X"]
        file.create_dataset("X", **options)

    return change


def external_storage(file: h5py.File) -> None:
    with_matrix(shape=(5, 8), dtype="f4", external=[(secret(file), 0, 160)])(file)


def external_storage_far_from_what_is_read(file: h5py.File) -> None:
    file.create_dataset("uns/a/b", (5, 8), "f4", external=[(secret(file), 0, 160)])


def external_link(file: h5py.File) -> None:
    file["uns/other"] = h5py.ExternalLink(secret(file), "/X")


def soft_link_loop(file: h5py.File) -> None:
    del file["X"]
    file["X"], file["Y"] = h5py.SoftLink("/Y"), h5py.SoftLink("/X")


def hard_link_cycle(file: h5py.File) -> None:
    file["uns/up"] = file["/"]


def virtual_dataset(file: h5py.File) -> None:
    del file["X"]
    layout = h5py.VirtualLayout((5, 8), "f4", maxshape=(None, 8))
    source = h5py.VirtualSource(secret(file), "X", (5, 8), maxshape=(None, 8))
    layout[0 : h5py.h5s.UNLIMITED, :] = source[0 : h5py.h5s.UNLIMITED, :]
    file.create_virtual_dataset("X", layout)


def hidden_reference(file: h5py.File) -> None:
    hidden = file.create_dataset(None, (5, 8), "f4", external=[(secret(file), 0, 160)])
    file["obs/_index"].attrs["categories"] = hidden.ref


def foreign_filter(file: h5py.File) -> None:
    del file["X"]
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((5, 8))
    properties.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((5, 8))
    h5py.h5d.create(file.id, b"X", h5py.h5t.IEEE_F32LE, space, properties)


def many_attributes(file: h5py.File) -> None:
    for i in range(1001):
        file["uns"].attrs[str(i)] = 0


def deep_groups(file: h5py.File) -> None:
    file.create_group("uns" + "/g" * 40)


def shared_text(file: h5py.File) -> None:
    """Make every id the same long text, stored once: 100 kB that unpack into 100 MB."""
    del file["obs/_index"]
    index = file.create_dataset("obs/_index", (1000,), h5py.string_dtype(), chunks=(1000,))
    index[0] = "M" * 100_000
    _, chunk = index.id.read_direct_chunk((0,))
    index.id.write_direct_chunk((0,), chunk[:16] * 1000)
    with_matrix(data=np.ones((1000, 1), "f4"))(file)


def index_of_numbers(file: h5py.File) -> None:
    del file["obs/_index"]
    file["obs/_index"] = np.ones(5)


def no_index(file: h5py.File) -> None:
    del file["obs/_index"]


def no_rows_of_observations(file: h5py.File) -> None:
    del file["obs"]


def old_table(file: h5py.File) -> None:
    del file["obs"]
    file["obs"] = np.zeros(5, [("index", "S1")])


def no_matrix(file: h5py.File) -> None:
    del file["X"]


def no_number(file: h5py.File) -> None:
    file["X"][2, 1] = np.nan


def a_row_a_residue(file: h5py.File) -> None:
    file["obs/residue"] = np.arange(5)


def sparse(**parts: object) -> Callable[[h5py.File], None]:
    whole = {"data": np.ones(2, "f4"), "indices": [0, 1], "indptr": [0, 1, 2, 2, 2, 2], "shape": [5, 8]}

    def change(file: h5py.File) -> None:
        del file["X"]
        group, given = file.create_group("X"), {**whole, **parts}
        group.attrs["encoding-type"], group.attrs["shape"] = "csr_matrix", given.pop("shape")
        for name, values in given.items():
            group[name] = values

    return change


TEXTS = np.array([["a"] * 8] * 5, dtype=h5py.string_dtype())

# Each case has what is done to a sound file, and what the message must say about which object.
WRONG_FILES: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "external storage": (external_storage, "/X: this dataset has external storage: its data are in"),
    "external storage elsewhere": (external_storage_far_from_what_is_read, "/uns/a/b: .* external storage"),
    "an external link": (external_link, "/uns/other: this is a link to another file"),
    "a loop of soft links": (soft_link_loop, "/X: this is a link within the file"),
    "a cycle of hard links": (hard_link_cycle, "/uns/up: two paths lead to this group"),
    "a virtual dataset": (virtual_dataset, "/X: this is a virtual dataset: its data are in other files"),
    "a reference": (hidden_reference, "/obs/_index: it holds a reference to another object"),
    "a filter": (foreign_filter, '/X: its data are compressed by a filter .*32015.*compression="gzip"'),
    "many attributes": (many_attributes, "/uns: it has 1,003 attributes, more than 1,000"),
    "deep groups": (deep_groups, "groups are nested more than 32 levels deep"),
    "a huge shape": (
        with_matrix(shape=(10**12, 128), dtype="f4", chunks=(1000, 128)),
        r"/X: its shape \(1000000000000, 128\) needs 512,000,000,000,000 bytes, but the file holds 0",
    ),
    "a huge packed shape": (
        with_matrix(shape=(10**15, 10**4), dtype="f4", chunks=(9, 9), compression="gzip"),
        "but the file holds 0",
    ),
    "texts": (with_matrix(data=TEXTS), "/X: this is not a matrix of numbers"),
    "one dimension": (with_matrix(data=np.ones(5, "f4")), r"/X: this is not a matrix .* shape is \(5,\)"),
    "no extent": (with_matrix(data=h5py.Empty("f4")), "/X: this is not a matrix .* shape is None"),
    "no X": (no_matrix, "there is no X in this file"),
    "no obs": (no_rows_of_observations, "there is no obs in this file"),
    "no index": (no_index, "/obs: obs names '_index' as its index, but has no such column"),
    "an old table": (old_table, "/obs: obs does not name its index"),
    "rows that disagree": (with_matrix(data=np.ones((6, 8), "f4")), "there are 5 ids for 6 rows of X"),
    "an index of numbers": (index_of_numbers, "/obs/_index: an index cannot have the type float64"),
    "a text that unpacks": (shared_text, "/obs/_index: the texts of the index are longer than the"),
    "no number": (no_number, r"row 3 \(c\) holds inf or nan. Embed again with another --dtype"),
    "a row a residue": (a_row_a_residue, "one row per residue, .* per protein. Embed with --pool mean"),
    "a dictionary as X": (lambda file: file.move("uns", "Y") or file.move("X", "Z") or file.move("Y", "X"),
                          "/X: this is not a matrix"),
    "sparse columns out of range": (sparse(indices=[0, 8]), "/X: .* indices name columns that do not exist"),
    "sparse rows that go back": (sparse(indptr=[0, 2, 1, 2, 2, 2]), "/X: .* indptr is wrong"),
    "sparse rows too long": (sparse(indptr=[0, 0, 0, 0, 0, 99]), "/X: .* indptr is wrong"),
    "sparse parts of two lengths": (sparse(data=np.ones(3, "f4")), "/X: .* the lengths .* do not match"),
    "a sparse shape": (sparse(shape=[-5, 8]), r"/X: .* its shape is \[-5, 8\]"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_FILES)
def test_a_wrong_file_gives_one_clear_line(wrong: str, write: Write) -> None:
    change, message = WRONG_FILES[wrong]
    path = write()
    with h5py.File(path, "r+") as file:
        change(file)

    with (
        pytest.raises(InputError, match=message) as fault,
        path.open("rb") as stream,
        open_embeddings(stream, "in.h5ad") as found,
    ):
        found.rows(0, len(found.ids))

    assert str(fault.value).startswith("in.h5ad")
    assert "\n" not in str(fault.value)
    assert fault.value.remedy


def test_the_number_of_objects_is_bounded(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biofm.core.h5ad.tree.MOST_OBJECTS", 20)  # Writing as many takes a minute.
    with (
        pytest.raises(InputError, match="the file holds more than 20 objects"),
        write().open("rb") as stream,
        open_embeddings(stream, "in.h5ad"),
    ):
        pytest.fail("it was read")


def test_a_file_that_is_no_whole_hdf5_is_an_error_that_says_how_to_make_one(
    write: Write, tmp_path: Path
) -> None:
    whole = write().read_bytes()
    for name, content in {"text": b"MKT\n", "nothing": b"", "half": whole[: len(whole) // 2]}.items():
        (tmp_path / name).write_bytes(content)
        what = "this .h5ad file is incomplete: its end is missing"
        if name != "half":
            what = "this is not an .h5ad file of embeddings"
        with (
            pytest.raises(InputError, match=f"^in: {re.escape(what)}. Create one with `biofm embed`$"),
            (tmp_path / name).open("rb") as stream,
            open_embeddings(stream, "in"),
        ):
            pytest.fail("it was read")


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".csv", ".safetensors"])
def test_another_format_of_embeddings_is_named(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"in{suffix}"
    path.write_bytes(b"PK")
    with (
        pytest.raises(
            InputError, match=rf"are read from \.h5ad files, not from {suffix} files\. Embed again"
        ),
        path.open("rb") as stream,
        open_embeddings(stream, str(path)),
    ):
        pytest.fail("it was read")
