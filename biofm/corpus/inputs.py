"""The files that a token store is made of, and what cannot be one."""

from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import BinaryIO, NamedTuple

from biofm_datasets.store import open_store
from biofm_datasets.store.files import RECORD

from biofm.core import sha256_of
from biofm.core.errors import InputError, input_errors
from biofm.corpus.blocks import Reading
from biofm.gate.inputs import STANDARD_INPUT


class Input(NamedTuple):
    """An opened file. ``weight``: of a mixture, None for its natural share."""

    stream: BinaryIO
    name: str
    sha256: str
    weight: float | None


def open_inputs(
    streams: Sequence[BinaryIO], paths: Sequence[Path], weights: Sequence[float] | None = None
) -> list[Input]:
    """The opened files with their names, sums and weights."""
    named = zip(streams, short_names(paths), weights or repeat(None, len(paths)), strict=True)
    return [Input(stream, name, sha256_of([stream]), weight) for stream, name, weight in named]


def check_not_standard_input(paths: Sequence[Path], modality: str | None = None) -> None:
    """Raises InputError where one of them is standard input. ``modality`` names what it should hold."""
    if STANDARD_INPUT in paths:
        from biofm.models import modality_named  # brings torch, which a fault alone needs

        items = modality_named(modality).words.items
        what, remedy = "data sets are read from files", f"Write the {items} into a file first"
        raise InputError(what, where="-", remedy=remedy)


def check_store_reading(store: Path, reading: Reading) -> None:
    """Raises InputError where ``reading`` asks of a store what was decided when it was prepared."""
    if reading.column is not None:
        what, remedy = "a column was chosen, but a store has none", "Leave the column out"
        raise InputError(what, where=str(store), remedy=remedy)
    if reading.gaps != Reading().gaps:
        what, remedy = "the gaps of a store were treated when it was prepared", "Leave --gaps out"
        raise InputError(what, where=str(store), remedy=remedy)


def modality_of(inputs: Sequence[Path], asked: str | None) -> str:
    """The name of what the inputs are: what a store says of itself, else ``asked``, else the modality of the
    files' suffix.

    Raises InputError: the store holds something else than was asked for, or is damaged.
    """
    if not inputs or not (inputs[0] / RECORD).is_file():
        from biofm.models import modality_named  # brings torch

        return asked or modality_named(files=inputs).name
    with input_errors():
        stored = open_store(inputs[0]).record.alphabet.modality
    if asked not in (None, stored):
        what = f"this store holds {stored}, and {asked} was asked for"
        raise InputError(what, where=str(inputs[0]), remedy="Leave --as out, or give another store")
    return stored


def short_names(paths: Sequence[Path]) -> list[str]:
    """The files' names, with their folders where two files share a name."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
