"""Digests of texts and bytes, part by part."""

from hashlib import blake2b

KEY_BYTES = 16


def key_of(*parts: str) -> bytes:
    """The key of what these texts, in this order, determine: the first 16 bytes of a digest."""
    digest = blake2b(digest_size=KEY_BYTES)
    for part in parts:
        feed(digest, part.encode(errors="surrogatepass"))
    return digest.digest()


def feed(digest: blake2b, part: bytes) -> None:
    """Add a part with its length before it, so that no two sequences of parts give the same bytes."""
    digest.update(len(part).to_bytes(8, "little"))
    digest.update(part)
