"""One reader for every file of sequences: name and first bytes say which parser it needs."""

from collections.abc import Iterator
from typing import BinaryIO

from biofm_datasets.errors import DataError
from biofm_datasets.fasta import read_fasta
from biofm_datasets.formats import open_format
from biofm_datasets.parquet import read_parquet
from biofm_datasets.records import Record
from biofm_datasets.tables import DELIMITERS, ColumnNames, read_delimited


def read_sequences(
    stream: BinaryIO,
    name: str,
    *,
    column: str | None = None,
    id_column: str | None = None,
    label_column: str | None = None,
    word: str | None = None,
) -> Iterator[Record]:
    """Yield the records of a FASTA, CSV, TSV or Parquet file in file order, in flat memory.

    ``name`` is the file's name: its suffix (a final ".gz" set aside) says the format, unless ``word`` does
    (fasta, csv, tsv, parquet), and it stands in every message. "-" and names with an unknown suffix are FASTA
    when the first character is ">" or ";".
    gzip is recognised by its first bytes, whatever the name. Tables need ``column``, the name of their
    column of sequences; ``id_column`` and ``label_column`` are explained at ``read_delimited``. The stream is
    left open.

    Raises DataError for every fault of the file as a whole. One record's fault is left to
    ``clean_protein``.
    """
    with open_format(stream, name, word) as (source, kind):
        if kind == "FASTA":
            _refuse_columns(name, column, id_column, label_column)
            yield from read_fasta(source, name)
        elif kind == "Parquet":
            yield from read_parquet(source, name, ColumnNames(column, id_column, label_column))
        else:
            columns = ColumnNames(column, id_column, label_column)
            yield from read_delimited(source, name, columns, delimiter=DELIMITERS[kind])


def _refuse_columns(name: str, *columns: str | None) -> None:
    if any(column is not None for column in columns):
        raise DataError("a column was chosen, but FASTA has none", where=name, remedy="Leave the column out")
