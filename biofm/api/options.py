"""Options that several verbs share, each declared once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from biofm_datasets.choices import FormatWord
from biofm_datasets.protein import Gaps

from biofm.api.declaration import Option
from biofm.core.choices import DtypeName, OnError
from biofm.policy import NONE, Contacts, Reads, UsesDevice, Writes

DEFAULT_MODEL = "protein-nano"

MODEL = "A name of `biofm models`, a hub id, a folder, a .pt or a .pth file."
MODEL_OR_DEFAULT = (
    f"{MODEL} By default the one that biofm has for what the input holds: {DEFAULT_MODEL} for proteins."
)
TABLE = "The table to write. Its suffix chooses the format: .csv .tsv .parquet; - is standard output, as CSV."
GAPS = (
    "What becomes of the gaps of an alignment (- and .): drop and count them, keep them as tokens, or refuse."
)

Input = Annotated[
    str | Path,
    Option("The file of sequences: FASTA (also .gz), CSV, TSV or Parquet; - is standard input."),
    Reads("input", once=True),
]
Inputs = Annotated[
    str | Path | Sequence[str | Path],
    Option(
        "The files of sequences (FASTA, also .gz, CSV, TSV, Parquet), or a store of `biofm data prepare`."
    ),
    Reads("input"),
]
Table = Annotated[str | Path, Option(TABLE, short="-o"), Writes("output")]
Picture = Annotated[str | Path | None, Option("Draw a figure of it: .png .svg .pdf"), Writes("picture")]
ModelName = Annotated[
    str | Path | None,
    Option(
        MODEL_OR_DEFAULT,
        short="-m",
    ),
    Reads("model"),
    Contacts("hub"),
]
Dtype = Annotated[
    DtypeName,
    Option("The precision of the model. auto: bfloat16 where the hardware multiplies it, else float32."),
    NONE,
]
Device = Annotated[
    str,
    Option("Where the model runs. auto: a CUDA device, else Apple MPS, else the CPU."),
    UsesDevice("compute"),
]
TokensPerBatch = Annotated[
    int | None,
    Option("How many tokens a batch holds at most. By default the device decides."),
    NONE,
]
Format = Annotated[
    FormatWord | None,
    Option("The format of the input where no name says it, as of standard input."),
    NONE,
]
Column = Annotated[str | None, Option("In a table: the column of sequences."), NONE]
IdColumn = Annotated[
    str | None,
    Option("In a table: the column of names. By default `id`, else the number of the row."),
    NONE,
]
AtGaps = Annotated[Gaps, Option(GAPS), NONE]
As = Annotated[
    str | None,
    Option(
        "What the input holds, such as protein. Without it, letters that look like DNA or a molecule are "
        "refused; with it, they are read all the same. By default it is what the named model reads, else "
        "what the file's suffix says, else protein.",
        flag="--as",
    ),
    NONE,
]
AtFault = Annotated[OnError, Option("What to do at a faulty record: stop, or skip it and count it."), NONE]
Shard = Annotated[
    str | None,
    Option("Such as 2/8: do this share of the input alone, and leave it for `biofm merge`."),
    NONE,
]
Resume = Annotated[bool, Option("Go on with the unfinished run that lies beside the output."), NONE]
ResumeRun = Annotated[bool, Option("Go on with the run that was interrupted in the output folder."), NONE]
Overwrite = Annotated[bool, Option("Replace an existing output."), NONE]
Config = Annotated[
    str | Path | None,
    Option("A TOML file of settings, such as the recipe.toml of a run."),
    Reads("config"),
    Contacts("log"),
]
Sets = Annotated[
    Sequence[str],
    Option("Any setting of a recipe.toml, as name=value; repeat it for several.", flag="--set"),
    Contacts("log"),
]
BatchesPerStep = Annotated[
    int | None, Option("How many batches a step of the optimiser takes, over all devices."), NONE
]
MaxLength = Annotated[
    int | None,
    Option("The longest sequence in training, in tokens: a longer one gives a random crop of so many."),
    NONE,
]
Devices = Annotated[
    int | None,
    Option("How many processes train on each machine, each with a device of its own."),
    UsesDevice("compute"),
]
Quiet = Annotated[bool, Option("Show no progress.", short="-q"), NONE]
