"""Heads: a signed line says how far the ledger went, and is kept where the ledger's owner cannot change it.

With it a verification also finds a tail that was cut, and an earlier copy in the ledger's place.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from biofm_datasets.documents import from_json, load_json

from biofm.core.choices import SigningMethod
from biofm.core.errors import InputError, LedgerError, MissingExtraError
from biofm.gate.ledger import reading
from biofm.gate.ledger.entries import canonical, now
from biofm.gate.ledger.keys import key_file, read_all, write_all

KEY_BYTES = 32
FRESH = os.O_RDWR | os.O_CREAT | os.O_APPEND


@dataclass(frozen=True, slots=True)
class Head:
    """Holds how far a ledger went at some time.

    Attributes:
        ledger: The id of the ledger.
        seq: The number of its last entry.
        hash: The hash of that entry.
        time: When the head was made, in UTC.
        method: How it is signed.
        signature: The signature over the other fields, in hexadecimal.
    """

    ledger: str
    seq: int
    hash: str
    time: str
    method: SigningMethod
    signature: str


def make_head(path: Path, key: Path, method: SigningMethod) -> Head:
    """Make the signed head of a ledger. A missing key is made; a public one then lies beside it.

    Args:
        path: The file of the ledger.
        key: The file of the key.
        method: How to sign.

    Raises:
        LedgerError: There is no ledger, it cannot be read, or the file of the key cannot be used.
        MissingExtraError: The package cryptography is needed and not installed.
    """
    first = last = None
    for entry in reading.entries_of(path):
        first, last = first or entry, entry
    if first is None or last is None:
        raise LedgerError("the ledger has no entries", where=str(path), remedy="Say `biofm audit verify`")
    said = {
        "ledger": str(first.fields.get("ledger", "")), "seq": last.seq, "hash": last.hash, "time": now(),
        "method": method,
    }  # fmt: skip
    sign = _sign_hmac if method == "hmac-sha256" else _sign_ed25519
    signature = sign(canonical(said).encode(), key, path)
    return Head(signature=signature.hex(), **said)  # type: ignore[arg-type]


def read_head(file: Path, key: Path, ledger: Path) -> Head:
    """Read a head and check its signature.

    Args:
        file: The file of the head, in which ``biofm audit head`` was written.
        key: The file of the key: the one that signed, or the public key that belongs to it.
        ledger: The file of the ledger.

    Raises:
        InputError: The file is no head, or another key signed it.
        LedgerError: The file of the key cannot be used.
        MissingExtraError: The package cryptography is needed and not installed.
    """
    try:
        with file.open("rb") as stream:
            head: Head = from_json(Head, load_json(stream), "the head")
        signature = bytes.fromhex(head.signature)
    except OSError as error:
        what, remedy = f"it cannot be read ({error.strerror})", "Check the path and its permissions"
        raise InputError(what, where=str(file), remedy=remedy) from error
    except ValueError as error:
        remedy = "Name a file that `biofm audit head` has filled"
        raise InputError(f"this is no head of a ledger ({error})", where=str(file), remedy=remedy) from error
    said: Mapping[str, Any] = {name: value for name, value in asdict(head).items() if name != "signature"}
    check = _is_hmac if head.method == "hmac-sha256" else _is_ed25519
    if not check(signature, canonical(said).encode(), key, ledger):
        what = f"the key {key} has not signed this head"
        remedy = "Name the key that signed it. If this is the key, the head was changed"
        raise InputError(what, where=str(file), remedy=remedy)
    return head


def _sign_hmac(content: bytes, key: Path, ledger: Path) -> bytes:
    with key_file(key, ledger, FRESH) as descriptor:
        if not os.fstat(descriptor).st_size:
            write_all(descriptor, f"{secrets.token_hex(KEY_BYTES)}\n".encode())
        return hmac.new(_secret(read_all(descriptor), key), content, hashlib.sha256).digest()


def _is_hmac(signature: bytes, content: bytes, key: Path, ledger: Path) -> bool:
    with key_file(key, ledger) as descriptor:
        secret = _secret(read_all(descriptor), key)
    return hmac.compare_digest(signature, hmac.new(secret, content, hashlib.sha256).digest())


def _secret(content: bytes, key: Path) -> bytes:
    try:
        secret = bytes.fromhex(content.decode("ascii"))
    except ValueError:
        secret = b""
    if len(secret) < KEY_BYTES:
        what = f"this file holds no key of {KEY_BYTES} bytes in hexadecimal"
        raise LedgerError(what, where=str(key), remedy="Name another file; a missing one is made")
    return secret


def _sign_ed25519(content: bytes, key: Path, ledger: Path) -> bytes:
    serialization, ed25519 = _cryptography()
    with key_file(key, ledger, FRESH) as descriptor:
        if not os.fstat(descriptor).st_size:
            fresh = ed25519.Ed25519PrivateKey.generate()
            pem, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            public = fresh.public_key().public_bytes(pem, form)
            key.with_name(f"{key.name}.pub").write_bytes(public)
            private, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            write_all(descriptor, fresh.private_bytes(pem, private, none))
        found = _loaded(key, read_all(descriptor))
    if not isinstance(found, ed25519.Ed25519PrivateKey):
        raise LedgerError("this is no private key for Ed25519", where=str(key), remedy="Name another file")
    signature: bytes = found.sign(content)
    return signature


def _is_ed25519(signature: bytes, content: bytes, key: Path, ledger: Path) -> bool:
    from cryptography.exceptions import InvalidSignature

    _, ed25519 = _cryptography()
    with key_file(key, ledger, is_secret=False) as descriptor:
        found = _loaded(key, read_all(descriptor))
    public = found.public_key() if isinstance(found, ed25519.Ed25519PrivateKey) else found
    if not isinstance(public, ed25519.Ed25519PublicKey):
        raise LedgerError("this is no key for Ed25519", where=str(key), remedy="Name another file")
    try:
        public.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _loaded(key: Path, content: bytes) -> Any:
    serialization, _ = _cryptography()
    try:
        if b"PRIVATE KEY" in content:
            return serialization.load_pem_private_key(content, password=None)
        return serialization.load_pem_public_key(content)
    except (ValueError, TypeError) as error:
        what = "this file holds no key in the form PEM"
        raise LedgerError(what, where=str(key), remedy="Name another file; a missing one is made") from error


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        what = "signatures by Ed25519 need the package cryptography, which is not installed"
        remedy = "Run pip install cryptography, or sign with --sign hmac-sha256"
        raise MissingExtraError(what, remedy=remedy) from error
    return serialization, ed25519
