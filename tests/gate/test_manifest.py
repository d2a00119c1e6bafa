"""A signed manifest says which model files an operator trusts, and every other file is unsigned."""

import hashlib
import importlib.util
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from biofm.core import MissingExtraError, ModelError
from biofm.gate.manifest import SignedModel, check_model, read_manifest, sign_manifest

FILES = {"config.json": b"{}", "model.safetensors": b"weights"}
USE = "Research on proteins of the lab only."
has_cryptography = importlib.util.find_spec("cryptography") is not None


def sums(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


MODEL = SignedModel(files=sums(FILES), intended_use=USE)
MakeKey = Callable[[str], Path]


@pytest.fixture
def make_key(tmp_path: Path) -> MakeKey:
    """Return a function that writes a private key file."""

    def make(text: str) -> Path:
        path = tmp_path / f"key-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        path.write_text(text)
        path.chmod(0o600)
        return path

    return make


@pytest.fixture
def key(make_key: MakeKey) -> Path:
    """Return a secret key."""
    return make_key(f"hmac-sha256 {'1f' * 32}\n")


@pytest.fixture
def manifest(tmp_path: Path, key: Path) -> Path:
    """Return a signed manifest of one model."""
    path = tmp_path / "manifest.json"
    path.write_text(sign_manifest([MODEL], key))
    return path


def streams(files: dict[str, bytes]) -> dict[str, io.BytesIO]:
    return {name: io.BytesIO(content) for name, content in files.items()}


def test_the_files_of_a_signed_model_are_signed_and_carry_its_intended_use(manifest: Path, key: Path) -> None:
    found = check_model(streams(FILES), read_manifest(manifest, key))
    assert (found.is_signed, found.intended_use) == (True, USE)
    assert found.reason == "all its files are in the manifest"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model.safetensors": b"Weights"}, "the checksum of model.safetensors is not that of the manifest"),
        ({"config.json": b"{ }"}, "the checksum of config.json is not that of the manifest"),
        ({"more.json": b""}, "the manifest has no model with the files"),
        ({"pytorch_model.bin": b""}, "pytorch_model.bin is not a safetensors file"),
        ({"code.py": b""}, "code.py is not a safetensors file"),
    ],
)
def test_other_files_are_unsigned(changes: dict[str, bytes], reason: str) -> None:
    found = check_model(streams(FILES | changes), [MODEL])
    assert (found.is_signed, found.intended_use) == (False, "")
    assert found.reason.startswith(reason)


def test_a_pickle_is_unsigned_even_if_a_manifest_names_it() -> None:
    files = {"config.json": b"{}", "pytorch_model.bin": b"pickle"}
    model = SignedModel(files=sums(files), intended_use=USE)
    assert "could run code" in check_model(streams(files), [model]).reason


def test_files_of_two_models_are_not_mixed() -> None:
    others = {"config.json": b"[]", "model.safetensors": b"other"}
    models = [MODEL, SignedModel(files=sums(others), intended_use=USE)]
    for files in (FILES, others):
        assert check_model(streams(files), models).is_signed
    mixed = check_model(streams(FILES | {"config.json": b"[]"}), models)
    assert (mixed.is_signed, mixed.reason) == (
        False, "the checksum of a file is not that of the manifest",
    )  # fmt: skip


def test_without_models_or_weights_nothing_is_signed() -> None:
    assert not check_model(streams(FILES), []).is_signed
    assert not check_model({}, [MODEL]).is_signed
    assert check_model(streams({"config.json": b"{}"}), [MODEL]).reason == (
        "there are no weights among its files"
    )


def test_every_truncation_of_a_manifest_is_refused(manifest: Path, key: Path) -> None:
    content = manifest.read_bytes()
    for length in range(len(content) - 1):  # the last character is the end of the line
        manifest.write_bytes(content[:length])
        with pytest.raises(ModelError):
            read_manifest(manifest, key)


def test_a_changed_byte_changes_nothing_or_is_refused(manifest: Path, key: Path) -> None:
    content, draw, n_refused = manifest.read_bytes(), random.Random(0), 0
    for _ in range(1000):
        place = draw.randrange(len(content))
        manifest.write_bytes(content[:place] + bytes([draw.randrange(256)]) + content[place + 1 :])
        try:
            assert list(read_manifest(manifest, key)) == [MODEL]  # only the spaces between words differ
        except ModelError:
            n_refused += 1
    assert n_refused > 700


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, "its format is not biofm-models, version 1"),
        ({"version": True}, "its format is not biofm-models, version 1"),
        ({"more": 1}, "the manifest has not exactly the keys"),
        ({"models": {}}, "its models are not a list"),
        ({"models": [{"files": {}, "intended_use": "x"}]}, "a model has no files"),
        ({"models": [{"files": {"a": "0" * 64}, "intended_use": " "}]}, "a model has no intended use"),
        ({"models": [{"files": {"../a": "0" * 64}, "intended_use": "x"}]}, "is no file name"),
        ({"models": [{"files": {"a": "A" * 64}, "intended_use": "x"}]}, "is no file name"),
        (
            {"signature": {"algorithm": "ed25519", "value": ""}},
            "it is not signed by the algorithm",
        ),
        ({"signature": {"algorithm": "none", "value": ""}}, "it is not signed by the algorithm"),
        ({"signature": {"algorithm": "hmac-sha256", "value": "é"}}, ""),
        ({"signature": {"algorithm": "hmac-sha256", "value": 0}}, "the signature holds texts"),
        ({"models": []}, "its signature does not fit its content"),
    ],
)
def test_a_wrong_manifest_is_refused_with_a_reason(
    change: dict[str, object], reason: str, manifest: Path, key: Path
) -> None:
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    with pytest.raises(ModelError) as caught:
        read_manifest(manifest, key)
    assert reason in caught.value.what
    assert caught.value.remedy == "Ask the operator who signs the models of this machine"


def test_a_key_that_stands_twice_is_refused(manifest: Path, key: Path) -> None:
    manifest.write_text(manifest.read_text().replace('"version": 1', '"version": 1, "version": 1'))
    with pytest.raises(ModelError, match="the key 'version' stands there twice"):
        read_manifest(manifest, key)


def test_another_key_does_not_open_the_manifest(manifest: Path, make_key: MakeKey) -> None:
    with pytest.raises(ModelError, match="its signature does not fit"):
        read_manifest(manifest, make_key(f"hmac-sha256 {'2f' * 32}"))


@pytest.mark.parametrize(
    "text", ["", "1f" * 32, "hmac-sha256 1f", f"md5 {'1f' * 32}", f"ed25519 {'1f' * 33}"]
)
def test_what_is_no_key_is_refused(text: str, manifest: Path, make_key: MakeKey) -> None:
    with pytest.raises(ModelError, match="this is not a key"):
        read_manifest(manifest, make_key(text))


def test_a_secret_that_others_may_read_is_refused(manifest: Path, key: Path) -> None:
    key.chmod(0o640)
    with pytest.raises(ModelError) as caught:
        read_manifest(manifest, key)
    assert str(caught.value) == (
        f"{key}: other accounts may read this secret key. Make it private: chmod 600 {key}"
    )


def test_missing_and_huge_manifests_are_refused(tmp_path: Path, manifest: Path, key: Path) -> None:
    with pytest.raises(ModelError, match="it cannot be read"):
        read_manifest(tmp_path / "nothing", key)
    manifest.write_bytes(bytes(1_000_001))
    with pytest.raises(ModelError, match="it is larger than 1,000,000 bytes"):
        read_manifest(manifest, key)


def test_ed25519_signs_with_a_private_key_and_is_checked_with_the_public_one(
    manifest: Path, make_key: MakeKey
) -> None:
    """The keys are those of test 1 of RFC 8032, section 7.1."""
    private = make_key("ed25519-private 9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = make_key("ed25519 d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    if not has_cryptography:
        with pytest.raises(MissingExtraError, match="keys of Ed25519 need the package cryptography"):
            sign_manifest([MODEL], private)
        return
    text = sign_manifest([MODEL], private)
    manifest.write_text(text)
    assert list(read_manifest(manifest, public)) == list(read_manifest(manifest, private)) == [MODEL]
    with pytest.raises(ModelError, match="this is a public key, which cannot sign"):
        sign_manifest([MODEL], public)
    manifest.write_text(text.replace("Research", "Any use"))
    with pytest.raises(ModelError, match="its signature does not fit"):
        read_manifest(manifest, public)
