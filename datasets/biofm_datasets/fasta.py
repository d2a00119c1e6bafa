"""FASTA: a title line that begins with ">", then lines of sequence."""

from collections.abc import Iterator
from typing import BinaryIO

from biofm_datasets.errors import DataError
from biofm_datasets.records import Record
from biofm_datasets.text import LONGEST_LINE, read_lines, too_long

_REMEDY = "A FASTA record is a line '>name' and then lines of sequence"


def read_fasta(stream: BinaryIO, name: str) -> Iterator[Record]:
    """Yield the records of a FASTA file in file order.

    The id is the first word of the title and the description is the rest. A title without a word gets the
    id ``record_N``, N being its number, so that every record can be told from the others. Lines that
    begin with ";" are comments; white space inside a sequence is formatting and is dropped. Duplicated
    ids and empty sequences are passed on as they stand.

    Raises DataError for a file that is not text, for text before the first ">", and for no record at all.
    """
    # Bio.SeqIO takes a third of a second to import, which whoever reads no FASTA should not pay.
    from Bio.SeqIO.FastaIO import SimpleFastaParser

    number = 0
    for number, (title, sequence) in enumerate(SimpleFastaParser(_record_lines(stream, name)), start=1):
        words = title.split(maxsplit=1)
        yield Record(
            id=words[0] if words else f"record_{number}",
            sequence="".join(sequence.split()),
            description=words[1] if len(words) == 2 else "",
            number=number,
            source=name,
        )
    if number == 0:
        raise DataError("no records in this file", where=name, remedy=_REMEDY)


def _record_lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """The lines of titles and sequences only: the parser itself would drop leading text in silence."""
    lines = enumerate(read_lines(stream, name), start=1)
    for line_number, line in lines:
        if line.startswith(">"):
            yield line
            break
        if line.strip() and not line.startswith(";"):
            raise DataError("text before the first '>'", where=f"{name}, line {line_number}", remedy=_REMEDY)
    n_characters = 0
    for line_number, line in lines:
        n_characters = 0 if line[0] == ">" else n_characters + len(line)
        if n_characters > LONGEST_LINE:
            raise too_long("record", f"{name}, line {line_number}")
        if line[0] != ";":
            yield line
