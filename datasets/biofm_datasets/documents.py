"""Documents of settings, read whole: JSON and TOML of a bounded size, with every fault a ``ValueError``.

The parsers of the standard library answer values nested some thousands deep with a ``RecursionError``, and
read whatever a stream holds: ``/dev/zero`` has no end.
"""

import json
import tomllib
from typing import Any, BinaryIO

LARGEST_JSON_BYTES = 16 << 20
"""An index of a checkpoint of a thousand shards has about a tenth of it."""
LARGEST_TOML_BYTES = 256 << 10
"""A recipe has about a hundredth of it."""

_TOO_DEEP = "its values are nested too deep"


def load_json(stream: BinaryIO) -> Any:
    """What a JSON document holds. Raises ValueError, saying why, where it is none or too large."""
    return parse_json(_read(stream, LARGEST_JSON_BYTES))


def parse_json(text: str | bytes) -> Any:
    """What a JSON text in memory holds. Raises ValueError where it is none."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error


def load_toml(stream: BinaryIO) -> dict[str, Any]:
    """What a TOML document holds. Raises ValueError, saying why, where it is none or too large."""
    text = _read(stream, LARGEST_TOML_BYTES).decode()
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error


def _read(stream: BinaryIO, most: int) -> bytes:
    content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most >> 10:,} KiB")
    return content
