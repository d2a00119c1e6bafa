"""FASTA: reads files of title lines that begin with ">", each followed by lines of sequence."""

from collections.abc import Iterator
from typing import BinaryIO

from biofm_datasets.errors import DataError
from biofm_datasets.records import Record
from biofm_datasets.text import LONGEST_LINE, read_lines, too_long

_REMEDY = "A FASTA record is a line '>name' and then lines of sequence"


def read_fasta(stream: BinaryIO, name: str) -> Iterator[Record]:
    """Yield the records of a FASTA file in file order.

    The id is the first word of the title, and the description is the rest. A title without a word gets the id
    ``record_N``, where N is its number, so that every record can be told from the others. Lines that begin
    with ";" are comments; white space inside a sequence is dropped. Repeated ids and empty sequences are
    yielded as they are.

    Args:
        stream: The opened file.
        name: Its name, for messages.

    Raises:
        DataError: The file is not text, has text before the first ">", or has no record.
    """
    # Bio.SeqIO takes a third of a second to import, so only readers of FASTA import it.
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
            has_name=bool(words),
        )
    if number == 0:
        raise DataError("no records in this file", where=name, remedy=_REMEDY)


def _record_lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """Yield the lines of titles and sequences. The parser would drop text before the first title silently."""
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
