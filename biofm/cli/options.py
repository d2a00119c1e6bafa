"""Options that several commands share, each spelled once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

Pool = StrEnum("Pool", ["mean", "cls", "max", "none"])
Dtype = StrEnum("Dtype", ["auto", "float32", "bfloat16", "float16"])
OnError = StrEnum("OnError", ["stop", "skip"])


class Gaps(StrEnum):
    drop = "drop"
    keep = "keep"
    refuse = "refuse"


class Format(StrEnum):
    fasta = "fasta"
    csv = "csv"
    tsv = "tsv"
    parquet = "parquet"


MODEL_HELP = "A name of `biofm models`, a hub id, a folder, a .pt or a .pth file."

GAPS_HELP = "Gaps of an alignment (- and .): drop and count them, keep them as tokens, or refuse them."

Input = Annotated[Path, Argument(help="FASTA (also .gz), CSV, TSV or Parquet; - is standard input.")]
ModelName = Annotated[str, Option("--model", "-m", help=MODEL_HELP)]
DtypeOption = Annotated[Dtype, Option("--dtype", help="auto: bfloat16 where the hardware multiplies it.")]
Device = Annotated[str, Option(help="auto: CUDA, else Apple MPS, else CPU.")]
TokensPerBatch = Annotated[int | None, Option(help="The default follows from the device.")]
Column = Annotated[str | None, Option(help="Of a table: the column of sequences.")]
IdColumn = Annotated[
    str | None, Option(help="Of a table: the column of names; else `id`, else the row's number.")
]
InputFormat = Annotated[
    Format | None, Option("--format", help="Of the input, where no name says it, as of standard input.")
]
AtGaps = Annotated[Gaps, Option("--gaps", help=GAPS_HELP)]
AS_HELP = """What the input holds, such as protein. Without it, what looks like DNA or a molecule is refused;
with it, that is read all the same. [default: what the model reads]"""
As = Annotated[str | None, Option("--as", metavar="NAME", help=AS_HELP)]
AtFault = Annotated[OnError, Option("--on-error", help="At a faulty record: stop, or skip and count it.")]
TABLE_HELP = "The suffix chooses: .csv .tsv .parquet; - is standard output, as CSV."
Overwrite = Annotated[bool, Option("--overwrite", help="Replace an existing output.")]
Resume = Annotated[
    bool, Option("--resume", help="Go on with the unfinished run that lies beside the output.")
]
Shard = Annotated[str | None, Option(help="Such as 2/8: this share of the input alone, for `biofm merge`.")]
Config = Annotated[Path | None, Option(help="A TOML file of settings, such as a run's recipe.toml.")]
Sets = Annotated[list[str] | None, Option("--set", help="Any setting of a recipe.toml, as name=value.")]
Estimate = Annotated[
    bool,
    Option("--estimate", help="Print what the run will take in time, memory and space, and write nothing."),
]
Json = Annotated[bool, Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, Option("--quiet", "-q", help="Show no progress.")]
