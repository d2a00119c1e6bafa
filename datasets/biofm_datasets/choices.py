"""The words by which users choose formats and splits. Imports nothing heavy, so that ``--help`` is quick."""

from typing import Literal

FormatWord = Literal["fasta", "csv", "tsv", "parquet"]
"""The format of a file whose name does not say it, such as standard input."""
SplitMethod = Literal["none", "random", "identity", "cluster", "column", "group"]
"""How sequences are held out."""
SplitTool = Literal["auto", "mmseqs", "kmer"]
"""The program that searches for similar sequences."""
