"""The text of a policy file becomes a ``Policy``, or an ``Invalid`` that says what is wrong with it."""

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from biofm.policy.documents import DocumentError, Node, read_yaml
from biofm.policy.policies import Invalid, Policy
from biofm.policy.typed import build

Kind = TypeVar("Kind")

FOLDER = Path(__file__).parent / "shipped"
SHIPPED = ("research", "script", "clinical-agent")
"""The policies that come with biofm, by name."""
DEFAULT = SHIPPED[0]
"""The policy that is in force where none is named."""


@lru_cache(maxsize=32)
def read_policy(data: bytes, source: str) -> Policy | Invalid:
    """Return the policy of a file's content. It never raises: what is wrong is in the ``Invalid``.

    Args:
        data: The content of the file.
        source: The path or name, for messages.
    """
    return read_document(data, source, lambda _: Policy)


def read_document(data: bytes, source: str, kind_of: Callable[[Node], type[Kind]]) -> Kind | Invalid:
    """Return what a file's content says. It never raises: what is wrong is in the ``Invalid``.

    Args:
        data: The content of the file.
        source: The path or name, for messages.
        kind_of: Returns the dataclass whose keys a document has.
    """
    try:
        document = read_yaml(data)
        found: Kind = build(kind_of(document), document)
    except DocumentError as fault:
        return Invalid(source=source, where=fault.where, what=fault.what, remedy=fault.remedy)
    if isinstance(found, Policy):
        object.__setattr__(found, "sha256", hashlib.sha256(data).hexdigest())
    return found


def shipped_text(name: str) -> bytes:
    """Return the content of the file of a policy that comes with biofm.

    Args:
        name: One of ``SHIPPED``.
    """
    assert name in SHIPPED, f"no policy {name!r} comes with biofm"
    return (FOLDER / f"{name}.yaml").read_bytes()


def is_policy_name(word: str) -> bool:
    """Return whether a word names a policy, and not the path of a file.

    Args:
        word: What a user gave as the policy.
    """
    return re.fullmatch(r"[a-z0-9-]+", word) is not None
