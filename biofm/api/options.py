"""Options that several verbs share: each is declared once, so that the same idea has the same words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from biofm_datasets.choices import FormatWord
from biofm_datasets.protein import Gaps

from biofm.api.declaration import Option
from biofm.api.opening import A_MODEL
from biofm.core.choices import DtypeName, OnError
from biofm.policy import NONE, ConnectsTo, Reads, UsesDevice, Writes

DEFAULT_MODEL = "protein-nano"

MODEL = f"Use this model: {A_MODEL}."
MODEL_OR_DEFAULT = f"{MODEL} By default the kind of input decides: {DEFAULT_MODEL} for proteins."
TABLE = (
    "Write the table into this file. Its suffix chooses the format: .csv, .tsv or .parquet; - is standard "
    "output, as CSV."
)
FIGURE = "Its suffix chooses the format: .png, .svg or .pdf. By default no figure is drawn."
GAPS = (
    "Choose what happens to the gaps of an alignment (- and .): drop removes and counts them, keep reads "
    "them as tokens, refuse stops with an error."
)
DTYPE = "Compute in this precision: float32, bfloat16 or float16."
WINDOW = "Run longer sequences by windows of this many units, such as residues, which overlap by half."
LOOKALIKES = (
    "sequences that look like DNA, of 100 letters or more, or like a molecule are then read all the same"
)
BY_RECIPE = "By default {}, or as the recipe says."

Input = Annotated[
    str | Path,
    Option("Read the sequences from this file: FASTA (also .gz), CSV, TSV or Parquet; - is standard input."),
    Reads("input", once=True),
]
Inputs = Annotated[
    str | Path | Sequence[str | Path],
    Option(
        "Read the sequences from these files (FASTA, also .gz, CSV, TSV, Parquet), or from one store that "
        "`biofm data prepare` wrote."
    ),
    Reads("input"),
]
Table = Annotated[str | Path, Option(TABLE, short="-o", metavar="FILE", group="Output"), Writes("output")]
Picture = Annotated[
    str | Path | None,
    Option(f"Draw the result as a figure into this file. {FIGURE}", metavar="FILE", group="Output"),
    Writes("picture"),
]
ModelName = Annotated[
    str | Path | None,
    Option(MODEL_OR_DEFAULT, short="-m", metavar="MODEL", group="Model"),
    Reads("model"),
    ConnectsTo("hub"),
]
Dtype = Annotated[
    DtypeName,
    Option(
        f"{DTYPE} auto takes bfloat16 where the hardware multiplies it, else float32.",
        metavar="DTYPE",
        group="Model",
    ),
    NONE,
]
Device = Annotated[
    str,
    Option(
        "Run the model on this device, such as cuda, cuda:1, mps or cpu. auto takes a CUDA device if there "
        "is one, else Apple's MPS, else the CPU.",
        metavar="DEVICE",
        group="Run",
    ),
    UsesDevice("compute"),
]
TokensPerBatch = Annotated[
    int | None,
    Option(
        "Put at most this many tokens into a batch: more is faster and takes more memory. By default the "
        "kind of device decides.",
        group="Run",
    ),
    NONE,
]
TrainingTokensPerBatch = Annotated[
    int | None,
    Option(
        "Put at most this many tokens into a batch of one device: more is faster and takes more memory. "
        + BY_RECIPE.format("4,096"),
        group="Training",
    ),
    NONE,
]
Format = Annotated[
    FormatWord | None,
    Option(
        "Read the input as this format: fasta, csv, tsv or parquet. By default the file's suffix decides; a "
        "table on standard input needs this.",
        metavar="FORMAT",
        group="Input",
    ),
    NONE,
]
Column = Annotated[
    str | None,
    Option(
        "Read the sequences from this column, which must be named if the input is a table. Its other columns "
        "are not copied into an output, whose rows have the input's ids and order. By default the input is "
        "FASTA, which has no columns.",
        metavar="COLUMN",
        group="Input",
    ),
    NONE,
]
TableColumn = Annotated[
    str | None,
    Option(
        "Read the sequences from this column, which must be named. By default an error lists the columns.",
        metavar="COLUMN",
        group="Input",
    ),
    NONE,
]
IdColumn = Annotated[
    str | None,
    Option(
        "Read the ids of a table from this column. By default it is `id`; without one, rows are numbered.",
        metavar="COLUMN",
        group="Input",
    ),
    NONE,
]
AtGaps = Annotated[Gaps, Option(GAPS, metavar="WORD", group="Input"), NONE]
As = Annotated[
    str | None,
    Option(
        f"Name what the input holds, such as protein; {LOOKALIKES}. By default the named model decides, else "
        "the file's suffix, else it is protein, and such sequences are refused.",
        flag="--as",
        metavar="NAME",
        group="Input",
    ),
    NONE,
]
AtFault = Annotated[
    OnError,
    Option(
        "Choose what happens at a faulty record: stop ends the run with an error, skip leaves the record out "
        "and counts it.",
        group="Input",
    ),
    NONE,
]
Shard = Annotated[
    str | None,
    Option(
        "Do one of several shards of the input, such as 2/8 for the second of eight, and leave it for "
        "`biofm merge`. By default the whole input is done.",
        metavar="I/N",
        group="Run",
    ),
    NONE,
]
Resume = Annotated[
    bool, Option("Continue the unfinished run that lies beside the output.", group="Run"), NONE
]
ResumeRun = Annotated[
    bool, Option("Continue the run that was interrupted in the output folder.", group="Run"), NONE
]
Overwrite = Annotated[bool, Option("Replace an existing output.", group="Output"), NONE]
_CONFIG = "Read settings from this TOML file, such as the recipe.toml of a run. By default no file is read"
Config = Annotated[
    str | Path | None,
    Option(f"{_CONFIG}.", metavar="FILE", group="Training"),
    Reads("config"),
    ConnectsTo("log"),
]
ConfigOrOwn = Annotated[
    str | Path | None,
    Option(f"{_CONFIG}, but a run that is resumed reads its own.", metavar="FILE", group="Training"),
    Reads("config"),
    ConnectsTo("log"),
]
Sets = Annotated[
    Sequence[str],
    Option(
        "Set any setting of a recipe.toml, as name=value. Repeat it for several. By default none is set.",
        flag="--set",
        metavar="TEXT",
        group="Training",
    ),
    ConnectsTo("log"),
]
BatchesPerStep = Annotated[
    int | None,
    Option(
        "Take this many batches for each step of the optimiser, over all devices together. "
        + BY_RECIPE.format("1"),
        group="Training",
    ),
    NONE,
]
MaxLength = Annotated[
    int | None,
    Option(
        "Train on sequences of at most this many tokens; a longer sequence gives a random crop. "
        + BY_RECIPE.format("512"),
        group="Training",
    ),
    NONE,
]
TrainingSeed = Annotated[
    int | None,
    Option(
        "Set the seed of every random choice (split, order, crops, masks, initial weights). "
        + BY_RECIPE.format("0"),
        group="Training",
    ),
    NONE,
]
Devices = Annotated[
    int | None,
    Option(
        "Train with this many processes on each machine, each on a device of its own. "
        + BY_RECIPE.format("1"),
        group="Run",
    ),
    UsesDevice("compute"),
]
Quiet = Annotated[bool, Option("Show no progress.", short="-q", group="Run"), NONE]
