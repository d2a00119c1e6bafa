"""Weights are data: a pickle that holds more is refused before any of it runs."""

import os
import pickle
import signal
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch
from torch import Tensor

from biofm.core import ModelError
from biofm.models import Checkpoint
from biofm.models.tensors import read_pickle

ReadFolder = Callable[[Path], Checkpoint]
State = dict[str, Tensor]

REMEDY = "Convert it to safetensors on a machine that may run it, or get the safetensors file"
GARBAGE = {
    "nothing": b"",
    "random": os.urandom(1000),
    "web page": b"<!DOCTYPE html><html>Not found</html>",
    "pointer of git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 31\n",
    "plain pickle": pickle.dumps({"a": 1}, protocol=4),
}
N_FLIPS = 300


class Malice:
    """Unpickled without care, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.marker}'",)


@pytest.fixture
def pickle_folder(esm_folder: Path) -> Path:
    """An ESM-2's folder whose pickle is still to be written."""
    (esm_folder / "model.safetensors").unlink()
    return esm_folder


def fault_of(read_folder: ReadFolder, path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_folder(path)
    return str(caught.value)


@contextmanager
def limited_to(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in what takes longer."""

    def stop(number: int, frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def refusal(name: str, held: str) -> str:
    what = f"refused: this pickle holds more than tensors ({held}), and loading it could run code"
    return f"{name}: {what}. {REMEDY}"


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older format"])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "esm2.pt", "esmc.pth"])
def test_code_in_a_pickle_is_refused_and_does_not_run(
    name: str, zipped: bool, pickle_folder: Path, read_folder: ReadFolder
) -> None:
    marker = pickle_folder / "it-ran"
    path = pickle_folder / name
    torch.save({"model": Malice(marker)}, path, _use_new_zipfile_serialization=zipped)
    fault = fault_of(read_folder, pickle_folder if name.endswith(".bin") else path)
    assert fault == refusal(name, f"{os.system.__module__}.system")
    assert not marker.exists()

    torch.load(path, weights_only=False)
    assert marker.exists(), "the pickle was harmless, so the test showed nothing"


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older format"])
def test_a_long_name_in_a_pickle_does_not_keep_torch_busy(
    zipped: bool, pickle_folder: Path, read_folder: ReadFolder
) -> None:
    """torch alone takes minutes for a name of this length, which is found by chance too."""
    name, path = "nonsense" + 400_000 * "x", pickle_folder / "esm2.pt"
    own = f"{os.system.__module__}\n".encode()
    torch.save({"model": Malice(path)}, path, _use_new_zipfile_serialization=zipped)
    if zipped:
        with ZipFile(path) as archive:
            members = {it: archive.read(it) for it in archive.namelist()}
        with ZipFile(path, "w") as archive:
            for member, held in members.items():
                archive.writestr(member, held.replace(own, f"{name}\n".encode()))
    else:
        path.write_bytes(path.read_bytes().replace(own, f"{name}\n".encode()))
    with limited_to(60):
        fault = fault_of(read_folder, path)
    assert fault == refusal("esm2.pt", name[:200])


def test_the_options_of_fair_esm_are_refused_in_a_bin(
    pickle_folder: Path, published_state: State, read_folder: ReadFolder
) -> None:
    torch.save(published_state | {"cfg": Namespace(layers=3)}, pickle_folder / "pytorch_model.bin")
    assert fault_of(read_folder, pickle_folder) == refusal("pytorch_model.bin", "argparse.Namespace")


def test_any_other_class_is_refused_in_a_fair_esm_file(tmp_path: Path, read_folder: ReadFolder) -> None:
    path = tmp_path / "esm2.pt"
    torch.save({"cfg": {"model": Namespace(ratio=Fraction(1, 3))}, "model": {}}, path)
    assert fault_of(read_folder, path) == refusal("esm2.pt", "fractions.Fraction")


def test_a_namespace_stays_refused_elsewhere_after_a_fair_esm_file_was_read(tmp_path: Path) -> None:
    torch.save(Namespace(layers=3), tmp_path / "options")
    with (tmp_path / "options").open("rb") as handle:
        assert read_pickle(handle, "options", allow=(Namespace,)) == Namespace(layers=3)
        handle.seek(0)
        with pytest.raises(ModelError, match=r"argparse\.Namespace"):
            read_pickle(handle, "options")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_pytorch_file_is_damaged(
    content: bytes, pickle_folder: Path, read_folder: ReadFolder
) -> None:
    (pickle_folder / "pytorch_model.bin").write_bytes(content)
    assert fault_of(read_folder, pickle_folder) == (
        "pytorch_model.bin: damaged, or not a PyTorch file. Download it again"
    )


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older format"])
@pytest.mark.parametrize("kept", [10, 1000, -10])
def test_a_truncated_pickle_is_damaged(
    kept: int, zipped: bool, pickle_folder: Path, published_state: State, read_folder: ReadFolder
) -> None:
    path = pickle_folder / "pytorch_model.bin"
    torch.save(published_state, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:kept])
    assert "damaged, or not a PyTorch file" in fault_of(read_folder, pickle_folder)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_flipped_bytes_never_end_in_anything_but_a_model_error(tmp_path: Path) -> None:
    path = tmp_path / "flipped"
    torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=False)
    good = path.read_bytes()
    n_refused = 0
    for places in torch.randint(len(good), (N_FLIPS, 3)).tolist():
        flipped = bytearray(good)
        for place in places:
            flipped[place] ^= 0x55
        path.write_bytes(flipped)
        try:
            with path.open("rb") as handle:
                read_pickle(handle, "flipped")
        except ModelError:
            n_refused += 1
    assert n_refused > N_FLIPS / 2


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([1, 2], "not a fair-esm checkpoint"),
        ({"model": {}}, "the file holds no options of an ESM-2"),
        ({"cfg": None, "model": {}}, "the file holds no options of an ESM-2"),
        ({"args": {"arch": "roberta_large"}, "model": {}}, "the file holds no options of an ESM-2"),
        (
            {"cfg": {"model": {}}, "model": {}},
            "not a fair-esm file of an ESM-2 ('dict' object has no attribute",
        ),
        ({"cfg": {"model": Namespace(encoder_layers=3)}, "model": {}}, "not a fair-esm file of an ESM-2"),
    ],
    ids=["list", "weights alone", "no options", "args in a dict", "options in a dict", "incomplete"],
)
def test_a_pt_file_of_another_kind_says_so(
    content: Any, what: str, tmp_path: Path, read_folder: ReadFolder
) -> None:
    torch.save(content, tmp_path / "esm2.pt")
    assert what in fault_of(read_folder, tmp_path / "esm2.pt")


@pytest.mark.parametrize("weights", [[1], {"a": 1}])
def test_a_fair_esm_file_without_tensors_says_so(
    weights: Any, tmp_path: Path, read_folder: ReadFolder
) -> None:
    shape = {"encoder_embed_dim": 48, "encoder_layers": 3, "encoder_attention_heads": 2}
    options = Namespace(**shape, token_dropout=True)
    torch.save({"cfg": {"model": options}, "model": weights}, tmp_path / "esm2.pt")
    assert "state_dict" in fault_of(read_folder, tmp_path / "esm2.pt")
