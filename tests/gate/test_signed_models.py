"""Under a policy that wants signed models, only a model whose files its manifest has is loaded."""

import json
import secrets
from pathlib import Path

import pytest

import biofm
from biofm.core import ModelError, RefusedError
from biofm.core.provenance import sha256_of
from biofm.gate import policy_in_force
from biofm.gate.manifest import SignedModel, sign_manifest
from biofm.policy.files import shipped_text


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Return the file of the operator's key."""
    path = tmp_path / "models.key"
    path.touch(mode=0o600)
    path.write_text(f"hmac-sha256 {secrets.token_hex(32)}\n")
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the folder of a model."""
    biofm.load("protein-nano").save(tmp_path / "model")
    return tmp_path / "model"


def signed(folder: Path) -> SignedModel:
    """Return the entry of a manifest for all files below a folder."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            files[path.relative_to(folder).as_posix()] = sha256_of([file])
    return SignedModel(files=files, intended_use="Tests only.")


@pytest.fixture
def policy(tmp_path: Path, key: Path, model: Path) -> str:
    """Return a policy like ``research`` that loads only the models of a manifest, which has the model."""
    manifest = tmp_path / "manifest.json"
    manifest.write_text(sign_manifest([signed(model)], key))
    text = shipped_text("research").decode().replace("models: any", "models: signed")
    text = text.replace("manifest: null", f"manifest: {manifest}")
    path = tmp_path / "policy.yaml"
    path.write_text(text.replace("manifest_key: null", f"manifest_key: {key}"))
    return str(path)


def test_a_signed_model_is_loaded(policy: str, model: Path) -> None:
    with policy_in_force(policy):
        assert biofm.load(model).info.n_parameters == biofm.load(model).info.n_parameters


@pytest.mark.parametrize("fault", ["changed", "more files", "the bundled one", "no manifest"])
def test_any_other_model_is_refused(fault: str, policy: str, model: Path) -> None:
    name: str | Path = model
    if fault == "changed":
        weights = model / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    elif fault == "more files":
        config = model / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"more": 1}))
    elif fault == "the bundled one":
        name = "protein-nano"
    else:
        policy = policy.replace("policy.yaml", "without.yaml")
        text = shipped_text("research").decode().replace("models: any", "models: signed")
        Path(policy).write_text(text)
    with policy_in_force(policy), pytest.raises(RefusedError, match="research: models are signed"):
        biofm.load(name)


def test_a_predictor_is_used_only_if_it_is_signed_too(
    policy: str, model: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"MKV{'ACDEFGHIKLMNPQRSTVWY'[i]}LA,0.{i},{'train' if i < 14 else 'test'}" for i in range(20)]
    Path("t.csv").write_text("\n".join(["sequence,y,set", *rows]))
    biofm.finetune(
        "t.csv", "run", target="y", column="sequence", split_column="set", model=model, dtype="float32",
        sets=["n_resamples=5"],
    )  # fmt: skip
    predictor = Path("run", "predictor")
    with policy_in_force(policy):
        with pytest.raises(RefusedError, match="research: models are signed"):
            biofm.predict("t.csv", "out.csv", predictor=predictor)
        Path("manifest.json").write_text(sign_manifest([signed(model), signed(predictor)], key))
        assert biofm.predict("t.csv", "out.csv", predictor=predictor, column="sequence").n_sequences == 20
        (predictor / "predictor.json").open("a").write(" ")
        with pytest.raises(RefusedError, match="research: models are signed"):
            biofm.predict("t.csv", "other.csv", predictor=predictor, column="sequence")


def test_a_manifest_with_another_signature_is_one_clear_error(policy: str, model: Path, key: Path) -> None:
    key.write_text(f"hmac-sha256 {secrets.token_hex(32)}\n")
    with policy_in_force(policy), pytest.raises(ModelError, match=r"manifest\.json: .*signature"):
        biofm.load(model)
