"""Plain values are what requests and the ledger hold of an option. The ledger is no place for data.

Long texts and lists are cut. The SHA-256 of the whole stands for the rest, because a person approves exactly
one request: two that differ anywhere must not be written alike.
"""

import json
from numbers import Integral, Real
from os import PathLike, fsdecode
from typing import Any

from biofm.core.configuration import to_toml
from biofm.policy import Plain, is_plain

LONGEST = 4000
"""How many characters of an option's text a request keeps."""
MOST = 20
"""How many members of an option's list a request keeps."""


def plain(value: Any) -> Plain:
    """Return the value of an option as requests and the ledger hold it.

    Args:
        value: The value. Of one that is no option, such as a table, only the type is kept.
    """
    match value:
        case bytes() | PathLike():
            return plain(fsdecode(value))
        case str():
            return value if len(value) <= LONGEST else value[:LONGEST] + _rest_of(value, LONGEST)
        case list() | tuple():
            members = tuple(map(plain, value))
            return members if len(members) <= MOST else (*members[:MOST], _rest_of(members, MOST))
    if is_plain(value):
        return value  # type: ignore[no-any-return]
    if isinstance(value, Real):  # of numpy, or not finite, which JSON lacks
        number = int(value) if isinstance(value, Integral) else float(value)
        return number if is_plain(number) else str(number)
    if hasattr(type(value), "OPTIONS"):  # a recipe
        return to_toml(value)
    return f"<{type(value).__name__}>"


def _rest_of(whole: str | tuple[Plain, ...], n_kept: int) -> str:
    """Return what stands for the rest of a text or a list that is cut: its size, and the whole's SHA-256.

    The list is spelt as JSON in ASCII. A surrogate of a text, which stands for a byte, is encoded as it is.
    """
    import hashlib  # It loads a library that `biofm --help` does not need.

    text = whole if isinstance(whole, str) else json.dumps(whole)
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return f"... ({len(whole) - n_kept:,} more, SHA-256 of all {digest})"
