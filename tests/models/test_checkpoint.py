"""What a model's name means, which files are read, and what the hub's cache gives without a network."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import pytest
import torch

from biofm.core import ModelError
from biofm.models import HUB_IDS, Checkpoint, Location, bundled_models, fetch, files_of, locate

ReadFolder = Callable[[Path], Checkpoint]

HUB_ID = "facebook/esm2_t6_8M_UR50D"
COMMIT = "c731040fcd8d73dceaa04b0a8e6329b345b0f5df"
NOBODY = 65534  # the account without rights
REMEDY = "Check the name and the network, or give the path of a folder that you downloaded"


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, empty."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def lay_in_cache(folder: Path, cache: Path, hub_id: str = HUB_ID) -> Path:
    """Put a folder where huggingface_hub keeps a downloaded one: blobs, a snapshot of links, a named ref."""
    kept = cache / f"models--{hub_id.replace('/', '--')}"
    snapshot = kept / "snapshots" / COMMIT
    (kept / "blobs").mkdir(parents=True)
    (kept / "refs").mkdir()
    snapshot.mkdir(parents=True)
    (kept / "refs" / "main").write_text(COMMIT)
    for file in filter(Path.is_file, sorted(folder.rglob("*"))):
        blob = file.rename(kept / "blobs" / f"blob-of-{file.stem}")
        link = snapshot / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    return snapshot


@pytest.mark.parametrize("name", bundled_models())
def test_a_bundled_model_lies_in_the_package(name: str) -> None:
    path = locate(name).path
    assert path is not None
    assert (path / "config.json").is_file()


@pytest.mark.parametrize("alias", HUB_IDS)
def test_an_alias_means_a_published_model(alias: str) -> None:
    assert locate(alias) == Location(alias, hub_id=HUB_IDS[alias])


def test_a_name_with_an_owner_means_the_hub() -> None:
    assert locate("owner/name") == Location("owner/name", hub_id="owner/name")


def test_a_folder_goes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert locate("owner/name") == Location("owner/name", path=Path("owner/name"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take the rights of another account")
def test_a_folder_that_may_not_be_entered_is_not_taken_for_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    (tmp_path / "owner").chmod(0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(ModelError, match=r"owner/name: this account may not look into a folder above it"):
            locate("owner/name")
        assert locate("another/name").hub_id == "another/name"
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    "name",
    [
        "esm3",
        "./owner/name",
        "/no/such/folder",
        "~/model",
        "a/b/c",
        "folder/esm2.pt",
        "folder/esmc.pth",
        "m" * 5000,
        "a\0b",
    ],
    ids=lambda name: ascii(name[:20]),
)
def test_a_name_that_means_nothing_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        locate(name)
    known = ", ".join((*bundled_models(), *HUB_IDS))
    shown = name.replace("\0", r"\x00")
    assert str(caught.value) == (
        f"{shown}: no such model. "
        f"Give one of {known}; or a folder, a .pt or .pth file, or a hub id owner/name"
    )


@pytest.mark.parametrize("name", ["esm2.pt", "esmc.pth"])
def test_a_file_of_fair_esm_or_esm_is_read_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    (tmp_path / "another-contact-regression.pt").touch()
    assert files_of(tmp_path / name) == (tmp_path / name,)


def test_a_contact_head_that_lies_beside_a_fair_esm_file_is_read_too(tmp_path: Path) -> None:
    model, head = tmp_path / "esm2_t6.pt", tmp_path / "esm2_t6-contact-regression.pt"
    for file in (model, head):
        file.touch()
    assert files_of(model) == (model, head)


@pytest.mark.parametrize(
    ("present", "read"),
    [
        (["model.safetensors", "pytorch_model.bin", "vocab.txt"], ["model.safetensors"]),
        (["pytorch_model.bin", "tf_model.h5", "training_args.bin"], ["pytorch_model.bin"]),
        (
            ["model-00001-of-00002.safetensors", "model.safetensors.index.json", "pytorch_model.bin"],
            ["model.safetensors.index.json", "model-00001-of-00002.safetensors"],
        ),
        (
            ["pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"],
            ["pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"],
        ),
    ],
    ids=["safetensors", "pickle", "sharded safetensors", "sharded pickle"],
)
def test_only_the_configuration_and_the_best_weights_are_read(
    present: list[str], read: list[str], tmp_path: Path
) -> None:
    for name in (*present, "config.json"):
        (tmp_path / name).touch()
    assert [file.name for file in files_of(tmp_path)] == ["config.json", *read]


@pytest.mark.parametrize(
    ("present", "message"),
    [
        ([], "the folder has no config.json. Give a model folder"),
        (["model.safetensors"], "the folder has no config.json. Give a model folder"),
        (
            ["config.json"],
            "the folder has neither model.safetensors nor pytorch_model.bin. Download the weights as well",
        ),
    ],
    ids=["empty", "weights alone", "configuration alone"],
)
def test_a_folder_that_is_no_checkpoint_says_what_it_lacks(
    present: list[str], message: str, tmp_path: Path
) -> None:
    for name in present:
        (tmp_path / name).touch()
    with pytest.raises(ModelError) as caught:
        files_of(tmp_path)
    assert str(caught.value) == f"{tmp_path}: {message}"


@pytest.mark.parametrize("name", ["model.safetensors", "proteins.fasta", "weights"])
def test_a_file_that_is_no_pt_is_not_a_checkpoint(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(ModelError) as caught:
        files_of(tmp_path / name)
    assert str(caught.value) == (
        f"{tmp_path / name}: not a checkpoint that biofm knows. "
        "Give the folder that holds config.json and the weights, or a .pt or .pth file"
    )


@pytest.mark.parametrize("name", [HUB_ID, "esm2-8m"])
@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_a_model_in_the_hubs_cache_needs_no_network(
    weights: str,
    name: str,
    hub_cache: Path,
    esm_folder: Path,
    published_state: dict[str, torch.Tensor],
    read_folder: ReadFolder,
) -> None:
    if weights == "pytorch_model.bin":
        (esm_folder / "model.safetensors").unlink()
        torch.save(published_state, esm_folder / weights)
    snapshot = lay_in_cache(esm_folder, hub_cache)
    folder = fetch(locate(name), ())
    assert folder == snapshot
    assert [file.name for file in files_of(folder)] == ["config.json", weights]
    assert read_folder(folder).module.config.d_model == 48


def test_a_repository_of_the_esm_package_in_the_hubs_cache_needs_no_network(
    tmp_path: Path, hub_cache: Path
) -> None:
    weights = Path("data/weights/esmc_300m_2024_12_v0.pth")
    repository = tmp_path / "repository"
    (repository / weights).parent.mkdir(parents=True)
    for name in (weights, "README.md", "LICENSE"):
        (repository / name).touch()
    hub_id = "EvolutionaryScale/esmc-300m-2024-12"
    snapshot = lay_in_cache(repository, hub_cache, hub_id)
    folder = fetch(locate(hub_id), ())
    assert folder == snapshot
    assert files_of(folder) == (snapshot / weights,)


@pytest.mark.usefixtures("hub_cache")
@pytest.mark.parametrize("name", [HUB_ID, "esm2-8m"])
def test_a_model_that_is_not_in_the_cache_says_so_without_a_network(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        fetch(locate(name), ())
    assert caught.value.what.startswith("cannot be fetched from the hub (")
    assert (caught.value.where, caught.value.remedy) == (HUB_ID, REMEDY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ReadTimeout("the read timed out"), "the read timed out"),
        (httpx.ProxyError("no proxy\nat all"), "no proxy"),
        (TimeoutError(), "TimeoutError"),
        (huggingface_hub.errors.HFValidationError("no such name"), "no such name"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_broken_download_says_why(error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ModelError) as caught:
        fetch(locate(HUB_ID), ())
    assert str(caught.value) == f"{HUB_ID}: cannot be fetched from the hub ({reason}). {REMEDY}"


@pytest.mark.parametrize(
    ("offered", "asked"),
    [
        ("model.safetensors", ["model*.safetensors"]),
        ("model-00001-of-00002.safetensors", ["model*.safetensors"]),
        ("pytorch_model.bin", ["model*.safetensors", "pytorch_model*.bin"]),
        (
            "data/weights/esmc_300m_2024_12_v0.pth",
            ["model*.safetensors", "pytorch_model*.bin", "data/weights/esmc_*.pth"],
        ),
    ],
)
def test_pickles_are_downloaded_only_where_there_are_no_safetensors(
    offered: str, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / offered).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / offered).touch()
    patterns: list[str] = []

    def download(hub_id: str, *, allow_patterns: list[str]) -> str:
        assert hub_id == HUB_ID
        assert "config.json" in allow_patterns
        patterns.append(allow_patterns[1])
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    fetch(locate(HUB_ID), ())
    assert patterns == asked
