"""One sequence as it stands in a user's file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Cell = str | int | float
"""What a column of a record may hold: text, a whole number of 64 bits, or a float, of which NaN says that it
is missing.
"""


@dataclass(frozen=True, slots=True)
class Record:
    """A sequence with its name and its place.

    ``number`` counts the records of one file from 1; it is 0 for a record that no file holds.
    ``source`` is the name of that file, for messages. ``label`` is the cell of a column of labels, where one
    was asked for. ``columns`` travel with the record into what is made of it, such as a chromosome and a
    start: all records of a file have the same ones.
    """

    id: str
    sequence: str
    description: str = ""
    number: int = 0
    source: str = ""
    label: str = ""
    columns: Mapping[str, Cell] = field(default_factory=dict, hash=False)

    @property
    def where(self) -> str:
        """The place of this record for an error message: ``proteins.fasta, record 3 (P69905)``."""
        place = f"record {self.number} ({self.id})"
        return f"{self.source}, {place}" if self.source else place
