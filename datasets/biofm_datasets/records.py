"""Records: one sequence each, as it stands in a user's file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Cell = str | int | float
"""What a column of a record may hold: text, a whole number of 64 bits, or a float (NaN if it is missing)."""


@dataclass(frozen=True, slots=True)
class Record:
    """Holds a sequence, its id and its place in a file.

    Attributes:
        id: The name that messages and outputs call it by; a file may repeat it.
        sequence: The text of the sequence, which the reader leaves unchecked.
        description: The rest of the title of a FASTA record.
        number: The number of the record in its file, from 1; 0 for a record that no file holds.
        source: The name of the file, for messages.
        label: The cell of the column of labels, if one was asked for.
        columns: Cells that travel with the record into the output, such as a chromosome and a start. All
            records of a file have the same ones.
        column: The name of the table's column that the sequence stands in, for messages; empty if it stands
            in none.
        has_name: Whether the file names the record; otherwise the reader made up its id.
    """

    id: str
    sequence: str
    description: str = ""
    number: int = 0
    source: str = ""
    label: str = ""
    columns: Mapping[str, Cell] = field(default_factory=dict, hash=False)
    column: str = field(default="", compare=False)
    has_name: bool = field(default=True, compare=False)

    @property
    def where(self) -> str:
        """The place that messages name, as in ``proteins.fasta, record 3 (P69905)``; it is the record's
        number and id.
        """
        place = f"record {self.number} ({self.id})"
        return f"{self.source}, {place}" if self.source else place
