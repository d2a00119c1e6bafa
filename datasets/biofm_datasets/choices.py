"""The words by which formats and splits are chosen. Nothing heavy is imported: ``--help`` stays quick."""

from typing import Literal

FormatWord = Literal["fasta", "csv", "tsv", "parquet"]
"""A format that the name of a file does not say, as of standard input."""
SplitMethod = Literal["none", "random", "identity", "cluster", "column", "group"]
"""How sequences are held out."""
SplitTool = Literal["auto", "mmseqs", "kmer"]
"""What finds the relatives of sequences."""
