"""``biofm policy sign`` prints a manifest of a model, and ``check-model`` finds the model in it, or not."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from biofm.gate.manifest import read_manifest
from tests.cli.conftest import Outcome

Run = Callable[..., Outcome]
USE = "Research on the proteins of the lab."
ADD = ("--add", "models.json")


@pytest.fixture
def key(biofm: Run) -> Path:
    path = Path("models.key")
    path.write_text(f"hmac-sha256 {'1f' * 32}\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def model(biofm: Run, tiny_esm2: Path) -> Path:
    return Path(shutil.copytree(tiny_esm2, "model"))


def test_a_signed_model_is_found_and_its_use_is_printed(biofm: Run, key: Path, model: Path) -> None:
    signed = biofm("policy", "sign", model, "--key", key, "--use", USE)
    assert (signed.status, signed.err) == (0, "")
    Path("models.json").write_text(signed.out)
    (one,) = read_manifest(Path("models.json"), key)
    names = ("config.json", "model.safetensors")
    sums = {name: sha256((model / name).read_bytes()).hexdigest() for name in names}
    assert (dict(one.files), one.intended_use) == (sums, USE)
    checked = biofm("policy", "check-model", model, "--manifest", "models.json", "--key", key)
    assert (checked.status, checked.err) == (0, "")
    assert [line.split(maxsplit=1) for line in checked.out.splitlines()] == [
        ["signed", "yes"], ["files", "config.json, model.safetensors"], ["use", USE]
    ]  # fmt: skip


def test_who_has_the_public_key_can_check_and_not_sign(biofm: Run, model: Path) -> None:
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    private = ed25519.Ed25519PrivateKey.generate()
    Path("private").write_text(f"ed25519-private {private.private_bytes_raw().hex()}\n")
    Path("private").chmod(0o600)
    Path("public").write_text(f"ed25519 {private.public_key().public_bytes_raw().hex()}\n")
    Path("models.json").write_text(biofm("policy", "sign", model, "--key", "private", "--use", USE).out)
    words = ("policy", "check-model", model, "--manifest", "models.json", "--key", "public")
    assert biofm(*words).status == 0
    biofm("policy", "sign", model, "--key", "public", "--use", USE).check_refusal(
        ["public: this is a public key, which cannot sign"]
    )


CHANGED: dict[str, Callable[[Path], object]] = {
    "a byte of the weights": lambda model: (model / "model.safetensors").open("r+b").write(b"\xff"),
    "the configuration": lambda model: (model / "config.json").write_text("{}"),
    "pickles and no safetensors": lambda model: (model / "model.safetensors").rename(
        model / "pytorch_model.bin"
    ),
}


@pytest.mark.parametrize("what", CHANGED)
def test_a_model_that_was_changed_is_not_signed(what: str, biofm: Run, key: Path, model: Path) -> None:
    Path("models.json").write_text(biofm("policy", "sign", model, "--key", key, "--use", USE).out)
    CHANGED[what](model)
    outcome = biofm("policy", "check-model", model, "--manifest", "models.json", "--key", key)
    outcome.check_refusal(["model", "could run code" if "pickles" in what else "this model is not signed"])


def test_a_manifest_that_was_changed_is_refused(biofm: Run, key: Path, model: Path) -> None:
    signed = json.loads(biofm("policy", "sign", model, "--key", key, "--use", USE).out)
    signed["models"][0]["intended_use"] = "Anything."
    Path("models.json").write_text(json.dumps(signed))
    biofm("policy", "check-model", model, "--manifest", "models.json", "--key", key).check_refusal(
        ["models.json: its signature does not fit its content and the key in models.key"]
    )


WRONG = {
    "no folder": (("nowhere", "--key", "models.key", "--use", USE), ["nowhere: this is not a folder"]),
    "a file": (("models.key", "--key", "models.key", "--use", USE), ["models.key: this is not a folder"]),
    "an empty folder": (("empty", "--key", "models.key", "--use", USE), ["empty", "no config.json"]),
    "no key": (("model", "--key", "none", "--use", USE), ["none: it cannot be read (No such file"]),
    "a file that is no key": (("model", "--key", "text", "--use", USE), ["text: this is not a key"]),
    "an open key": (("model", "--key", "open", "--use", USE), ["open: other accounts may read", "chmod 600"]),
    "no use": (("model", "--key", "models.key", "--use", "  "), ["--use: the use is empty", "Say what"]),
    "pickles": (("pickles", "--key", "models.key", "--use", USE), ["pytorch_model.bin", "could run code"]),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.usefixtures("model")
def test_a_wrong_input_gives_one_clear_line(what: str, biofm: Run, key: Path, tmp_path: Path) -> None:
    Path("empty").mkdir()
    Path("text").write_text("a text")
    Path("open").write_text(key.read_text())
    Path("open").chmod(0o644)
    shutil.copytree("model", "pickles")
    Path("pickles", "model.safetensors").rename("pickles/pytorch_model.bin")
    before = sorted(tmp_path.rglob("*"))
    words, parts = WRONG[what]
    biofm("policy", "sign", *words).check_refusal(parts)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_manifest_holds_several_models_and_a_model_signed_again_stands_there_once(
    biofm: Run, key: Path, model: Path
) -> None:
    shutil.copytree(model, "other")
    Path("other", "config.json").write_text(Path("other", "config.json").read_text() + " ")
    for folder, use, more in [("model", USE, ()), ("other", USE, ADD), ("model", "New.", ADD)]:
        words = ("policy", "sign", folder, "--key", key, "--use", use, *more)
        Path("models.json").write_text(biofm(*words).out)
    found = read_manifest(Path("models.json"), key)
    assert [one.intended_use for one in found] == [USE, "New."]
    for folder in ("model", "other"):
        assert biofm("policy", "check-model", folder, "--manifest", "models.json", "--key", key).status == 0
    Path("models.json").write_text(Path("models.json").read_text().replace("New.", "All."))
    biofm("policy", "sign", "model", "--key", key, "--use", USE, "--add", "models.json").check_refusal(
        ["models.json: its signature does not fit"]
    )


def test_a_missing_manifest_is_refused(biofm: Run, key: Path, model: Path) -> None:
    biofm("policy", "check-model", model, "--manifest", "none.json", "--key", key).check_refusal(
        ["none.json: it cannot be read"]
    )
