"""Reads every file of sequences: the name and the first bytes decide which parser it needs."""

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

    gzip is recognised by its first bytes, whatever the name. The stream is left open.

    Args:
        stream: The opened file.
        name: The file's name, for messages. Its suffix (before a final ".gz") says the format if ``word`` is
            None. "-" and names with an unknown suffix are FASTA if the first character is ">" or ";".
        column: The column of sequences; tables need it, FASTA has none.
        id_column: The column of ids of a table; None takes a column named "id", else the numbers of the rows.
        label_column: The column of labels of a table; None reads none.
        word: The format: fasta, csv, tsv or parquet.

    Raises:
        DataError: The file as a whole is faulty. ``clean_protein`` finds the faults of single records.
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
        what = "a column was chosen, but FASTA has no columns"
        raise DataError(what, where=name, remedy="Leave the column out")
