"""A checkpoint in parts is read as data, however its files were changed."""

import pickle
import warnings
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.metadata import _MEM_FORMAT_ENCODING, Metadata
from torch.distributed.checkpoint.state_dict_saver import save

from biofm.core import OutputError
from biofm.training.parts import load_parts, read_parts
from tests.models.test_pickles import Malice

STATE: dict[str, Any] = {
    "state_dict": {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)},
    "optimizer_0": {"param_groups": [{"lr": 0.5, "params": ["a"]}, {"lr": 0.25, "params": ["b"]}]},
}
DAMAGED = "this checkpoint is damaged. Remove it: the run then resumes from an older checkpoint"
N_FLIPS = 80


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a checkpoint in parts as torch does."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        save(
            {name: dict(part) for name, part in STATE.items()}, checkpoint_id=tmp_path / "parts", no_dist=True
        )
    return tmp_path / "parts"


def change(folder: Path, make: Callable[[Metadata], Any]) -> Path:
    """Write metadata that ``make`` has changed."""
    metadata = pickle.loads((folder / ".metadata").read_bytes())
    make(metadata)
    (folder / ".metadata").write_bytes(pickle.dumps(metadata))
    return folder


def fault_of(folder: Path) -> str:
    with pytest.raises(OutputError) as caught:
        read_parts(folder)
    return str(caught.value)


def test_what_torch_wrote_is_read_again(folder: Path) -> None:
    state = read_parts(folder)
    assert state["optimizer_0"] == STATE["optimizer_0"]
    assert all(torch.equal(state["state_dict"][name], it) for name, it in STATE["state_dict"].items())

    some = {"state_dict": {"b": torch.zeros(4, dtype=torch.bfloat16)}}
    load_parts(some, folder, alone=True)
    assert torch.equal(some["state_dict"]["b"], STATE["state_dict"]["b"])


@pytest.mark.parametrize(
    "name", ["os.system", "builtins.eval", "torch.load", "torch.hub.load", "pathlib.Path.unlink"]
)
def test_metadata_may_name_the_classes_of_its_format_alone(name: str, folder: Path) -> None:
    module, _, function = name.rpartition(".")
    (folder / ".metadata").write_bytes(f"c{module}\n{function}\n.".encode())
    assert f".metadata: refused: this checkpoint holds more than data ({name})" in fault_of(folder)


class PicklerOfPython3112(pickle._Pickler):
    """Writes an enumeration as Python 3.11.0 to 3.11.3 do (Debian 12 has one of them): by ``getattr``."""

    def reducer_override(self, value: Any) -> Any:
        return (getattr, (type(value), value.name)) if isinstance(value, Enum) else NotImplemented


def test_metadata_that_python_3_11_2_wrote_is_read(folder: Path) -> None:
    with (folder / ".metadata").open("rb") as file:
        about = pickle.load(file)
    with (folder / ".metadata").open("wb") as file:
        PicklerOfPython3112(file).dump(about)
    assert b"getattr" in (folder / ".metadata").read_bytes()
    assert read_parts(folder)["optimizer_0"] == STATE["optimizer_0"]


@pytest.mark.parametrize(("owner", "fault"), [(torch.Size, "refused"), (_MEM_FORMAT_ENCODING, DAMAGED)])
def test_no_other_attribute_is_looked_up(owner: type, fault: str, folder: Path) -> None:
    class Reaching:
        def __reduce__(self) -> Any:
            return getattr, (owner, "__subclasses__")

    change(folder, lambda it: it.planner_data.update(more=Reaching()))
    assert fault in fault_of(folder)


def test_code_amid_good_metadata_does_not_run(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "it-ran"
    change(folder, lambda it: it.planner_data.update(more=Malice(marker)))
    assert "refused" in fault_of(folder)
    assert not marker.exists()


@pytest.mark.parametrize("path", ["../secret.distcp", "/etc/passwd", "__9_9.distcp", "meta.pt"])
def test_no_file_is_opened_that_is_no_part_in_the_folder(path: str, folder: Path) -> None:
    (folder / "../secret.distcp").write_bytes((folder / "__0_0.distcp").read_bytes())
    change(folder, lambda it: vars(next(iter(it.storage_data.values()))).update(relative_path=path))
    assert DAMAGED in fault_of(folder)


@pytest.mark.parametrize(
    "make",
    [
        lambda it: it.planner_data.update(**{"state_dict.a": ("state_dict", 10**9)}),
        lambda it: setattr(it.state_dict_metadata["state_dict.a"], "size", torch.Size((10**6, 10**6))),
        lambda it: setattr(it, "state_dict_metadata", None),
        lambda it: it.storage_data.clear(),
    ],
    ids=["a place far out", "a tensor larger than the files", "no names", "no places"],
)
def test_metadata_that_cannot_be_true_is_damaged(make: Callable[[Metadata], Any], folder: Path) -> None:
    assert DAMAGED in fault_of(change(folder, make))


def test_flipped_bytes_never_end_in_anything_but_an_output_error(folder: Path) -> None:
    n_refused = 0
    torch.manual_seed(0)
    for name in (".metadata", "__0_0.distcp"):
        good = (folder / name).read_bytes()
        for places in torch.randint(len(good), (N_FLIPS, 3)).tolist():
            flipped = bytearray(good)
            for place in places:
                flipped[place] ^= 0x55
            (folder / name).write_bytes(flipped)
            try:
                read_parts(folder)
            except OutputError:
                n_refused += 1
        (folder / name).write_bytes(good)
    assert n_refused > N_FLIPS / 4
