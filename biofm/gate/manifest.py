"""A manifest names the model files that an operator trusts, and the use they are meant for; it is signed.

It is a JSON file::

    {"format": "biofm-models", "version": 1,
     "models": [{"files": {"config.json": "SHA-256", "model.safetensors": "SHA-256"},
                 "intended_use": "Research on ... only."}],
     "signature": {"algorithm": "hmac-sha256", "value": "..."}}

The signature covers everything else, as canonical JSON. The key file says by which algorithm it is checked,
never the manifest: ``hmac-sha256 HEX`` is a secret that also signs, ``ed25519 HEX`` a public key, and
``ed25519-private HEX`` the key that signs for it. Ed25519 needs the package cryptography.
"""

import hmac
import json
import os
import re
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from biofm_datasets.documents import parse_json

from biofm.core.errors import MissingExtraError, ModelError
from biofm.core.provenance import sha256_of

FORMAT = {"format": "biofm-models", "version": 1}
LARGEST = 1_000_000  # bytes of a manifest
SHA256 = re.compile(r"[0-9a-f]{64}")
KEY = re.compile(r"(hmac-sha256|ed25519|ed25519-private) ([0-9a-f]{64,256})\n?")
FILE_NAME = re.compile(r"(?!\.\.?(/|$))[^/\\\0]+(/(?!\.\.?(/|$))[^/\\\0]+)*")
SAFE = (".safetensors", ".json")
"""The kinds of files of a signed model. Others, such as pickles, could run code as they are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedModel:
    """Holds one model of a manifest.

    Attributes:
        files: The checksums of all files that are read, by their paths below the model's folder.
        intended_use: What the operator allows the model to be used for, as a sentence.
    """

    files: Mapping[str, str]
    intended_use: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCheck:
    """Holds what the manifest says of a model's files.

    Attributes:
        is_signed: Whether the files are exactly those of one model of the manifest.
        reason: Why, as a clause for the user and the ledger.
        intended_use: What the model may be used for; empty if it is not signed.
    """

    is_signed: bool
    reason: str
    intended_use: str = ""


def check_model(files: Mapping[str, BinaryIO], models: Sequence[SignedModel]) -> ModelCheck:
    """Return whether opened files are those of a signed model.

    Args:
        files: All files that are read, by their paths below the model's folder.
        models: The models of the manifest (``read_manifest``).
    """
    unsafe = [name for name in files if not name.endswith(SAFE)]
    if unsafe:
        return _unsigned(f"{unsafe[0]} is not a safetensors file, and a file of another kind could run code")
    if not any(name.endswith(SAFE[0]) for name in files):
        return _unsigned("there are no weights among its files")
    candidates = [model for model in models if model.files.keys() == files.keys()]
    if not candidates:
        return _unsigned(f"the manifest has no model with the files {', '.join(sorted(files))}")
    sums = {name: sha256_of([file]) for name, file in files.items()}
    for model in candidates:
        if model.files == sums:
            return ModelCheck(
                is_signed=True, reason="all its files are in the manifest", intended_use=model.intended_use
            )
    other = [name for name in sums if all(model.files[name] != sums[name] for model in candidates)]
    return _unsigned(f"the checksum of {other[0] if other else 'a file'} is not that of the manifest")


def read_manifest(path: Path, key: Path) -> Sequence[SignedModel]:
    """Return the models of a manifest, after its signature was checked.

    Args:
        path: The manifest.
        key: The file of the key.

    Raises:
        ModelError: The manifest or the key cannot be read or is wrong, or the signature does not fit.
        MissingExtraError: The key is one of Ed25519 and cryptography is not installed.
    """
    content = _read(path)
    try:
        parsed = parse_json(content, strict=True)
        models = _models_of(parsed)
    except ValueError as error:
        raise _fault(path, f"this is not a manifest of models ({error})") from error
    algorithm, secret = _key_of(key)
    said = parsed["signature"]
    if said["algorithm"] != algorithm.removesuffix("-private"):
        raise _fault(path, f"it is not signed by the algorithm of the key in {key}")
    body = _body_of(models)
    if algorithm == "hmac-sha256":
        is_right = hmac.compare_digest(_hmac(secret, body).encode(), said["value"].encode("utf-8", "replace"))
    else:
        is_right = _verify(algorithm, secret, body, said["value"])
    if not is_right:
        raise _fault(path, f"its signature does not fit its content and the key in {key}")
    return models


def sign_manifest(models: Sequence[SignedModel], key: Path) -> str:
    """Return a signed manifest as text, for the operator to keep where ``read_manifest`` reads it.

    Args:
        models: The models.
        key: The file of the key: ``hmac-sha256`` or ``ed25519-private``.

    Raises:
        ModelError: The key cannot be read, or is a public one.
        MissingExtraError: The key is one of Ed25519 and cryptography is not installed.
    """
    algorithm, secret = _key_of(key)
    body = _body_of(models)
    if algorithm == "hmac-sha256":
        value = _hmac(secret, body)
    elif algorithm == "ed25519-private":
        value = _ed25519().Ed25519PrivateKey.from_private_bytes(secret).sign(body).hex()
    else:
        raise _fault(key, "this is a public key, which cannot sign")
    signature = {"algorithm": algorithm.removesuffix("-private"), "value": value}
    return json.dumps(parse_json(body) | {"signature": signature}, indent=2) + "\n"


def _unsigned(reason: str) -> ModelCheck:
    return ModelCheck(is_signed=False, reason=reason)


def _fault(path: Path, what: str) -> ModelError:
    remedy = "Ask the operator who signs the models of this machine"
    return ModelError(what, where=str(path), remedy=remedy)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise _fault(path, f"it cannot be read ({error.strerror})") from error
    if len(content) > LARGEST:
        raise _fault(path, f"it is larger than {LARGEST:,} bytes")
    return content


def _key_of(path: Path) -> tuple[str, bytes]:
    """Return the algorithm and the bytes of a key, which nobody else may read if it is a secret."""
    found = KEY.fullmatch(_read(path).decode("ascii", errors="replace"))
    if found is None or len(found[2]) % 2 or (found[1] != "hmac-sha256" and len(found[2]) != 64):
        raise _fault(path, "this is not a key, such as hmac-sha256 and 64 hexadecimal digits")
    if found[1] != "ed25519" and sys.platform != "win32" and stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        remedy = f"Make it private: chmod 600 {path}"
        raise ModelError("other accounts may read this secret key", where=str(path), remedy=remedy)
    return found[1], bytes.fromhex(found[2])


def _body_of(models: Sequence[SignedModel]) -> bytes:
    """Return what is signed: canonical JSON of everything but the signature."""
    entries = [{"files": dict(model.files), "intended_use": model.intended_use} for model in models]
    return json.dumps(FORMAT | {"models": entries}, sort_keys=True, separators=(",", ":")).encode("ascii")


def _models_of(parsed: Any) -> Sequence[SignedModel]:
    """Return the models of a parsed manifest.

    Raises:
        ValueError: A key is missing, unknown or of another type.
    """
    _check_keys(parsed, {*FORMAT, "models", "signature"}, "the manifest")
    _check_keys(parsed["signature"], {"algorithm", "value"}, "the signature")
    if not all(isinstance(value, str) for value in parsed["signature"].values()):
        raise ValueError("the signature holds texts")
    if any(parsed[name] != value or type(parsed[name]) is not type(value) for name, value in FORMAT.items()):
        raise ValueError("its format is not biofm-models, version 1")
    if not isinstance(parsed["models"], list):
        raise ValueError("its models are not a list")
    return tuple(map(_model_of, parsed["models"]))


def _model_of(entry: Any) -> SignedModel:
    _check_keys(entry, {"files", "intended_use"}, "a model")
    files, use = entry["files"], entry["intended_use"]
    if not isinstance(use, str) or not use.strip():
        raise ValueError("a model has no intended use")
    if not isinstance(files, dict) or not files:
        raise ValueError("a model has no files")
    for name, sum_ in files.items():
        if not FILE_NAME.fullmatch(name) or not isinstance(sum_, str) or not SHA256.fullmatch(sum_):
            raise ValueError(f"{name!r} is no file name with a SHA-256 in lower case")
    return SignedModel(files=files, intended_use=use)


def _check_keys(value: Any, keys: set[str], what: str) -> None:
    if not isinstance(value, dict) or value.keys() != keys:
        raise ValueError(f"{what} has not exactly the keys {', '.join(sorted(keys))}")


def _hmac(secret: bytes, body: bytes) -> str:
    return hmac.new(secret, body, "sha256").hexdigest()


def _verify(algorithm: str, key: bytes, body: bytes, signature: str) -> bool:
    module = _ed25519()
    if algorithm == "ed25519":
        public = module.Ed25519PublicKey.from_public_bytes(key)
    else:
        public = module.Ed25519PrivateKey.from_private_bytes(key).public_key()
    invalid = import_module("cryptography.exceptions").InvalidSignature
    try:
        public.verify(bytes.fromhex(signature), body)
    except (invalid, ValueError):
        return False
    return True


def _ed25519() -> Any:
    """Return the module of cryptography for Ed25519, which is optional."""
    try:
        return import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    except ImportError as error:
        remedy = "Install it with: pip install cryptography; or use an hmac-sha256 key"
        raise MissingExtraError("keys of Ed25519 need the package cryptography", remedy=remedy) from error
