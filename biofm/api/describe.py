"""The verb ``describe``: count what a data set holds, and what its parts have in common."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import paths_of
from biofm.core.bounds import check_bound
from biofm.core.errors import InputError, input_errors
from biofm.core.progress import SILENT, ProgressSink, StageProgress
from biofm.policy import NONE, Reads, Request, Target

if TYPE_CHECKING:
    from biofm.corpus import Description, Reading


@dataclass(frozen=True, slots=True)
class Describe(Verb["Description"]):
    """Describe a store or files of sequences: lengths, letters, copies, and overlap between the parts.

    Copies are counted within and between inputs. For each pair of parts of a store this counts the copies of
    the held-out sequences in the other part, and how many of ``n_sampled`` held-out sequences, drawn by
    ``seed``, have relatives there.

    Raises:
        InputError, OutputError, OptionError: The message says what is wrong, where, and what to do.
    """

    inputs: Annotated[
        str | Path | Sequence[str | Path],
        Option(
            "Describe this store that `biofm data prepare` wrote, or these files of sequences (FASTA, also "
            ".gz, CSV, TSV, Parquet)."
        ),
        Reads("data"),
    ]
    _: KW_ONLY
    column: options.Column = None
    gaps: options.AtGaps = "drop"
    modality: Annotated[
        str | None,
        Option(
            f"Name what the inputs hold, such as protein; {options.LOOKALIKES}. By default the store says "
            "it, else it is protein, and such sequences are refused.",
            flag="--as",
            metavar="NAME",
            group="Input",
        ),
        NONE,
    ] = None
    on_error: options.AtFault = "stop"
    n_sampled: Annotated[
        int,
        Option(
            "Draw this many sequences of each held-out part at random, and look for their relatives in the "
            "other parts; 0 looks for none.",
            flag="--sample",
            group="Run",
        ),
        NONE,
    ] = 100
    seed: Annotated[
        int, Option("Set the seed of every random choice (the sampled sequences).", group="Run"), NONE
    ] = 0
    picture: options.Picture = None
    overwrite: options.Overwrite = False
    quiet: options.Quiet = True

    def request(self) -> Request:
        from biofm_datasets.store import store_files  # brings numpy

        paths = paths_of(self.inputs)
        check_bound("n_sampled", self.n_sampled, "--sample")
        check_bound("seed", self.seed, "--seed")
        _check(paths, self._reading())
        writes = {}
        if self.picture:
            from biofm.report import check_figure_suffix  # brings numpy

            check_figure_suffix(Path(self.picture))
            writes["picture"] = Target(path=Path(self.picture), overwrite=self.overwrite)
        files = store_files(paths[0]) if _is_store(paths) else paths
        return self.asking(reads={"data": files}, writes=writes)

    def run(self, progress: ProgressSink = SILENT) -> "Description":
        from biofm.gate import ask  # brings numpy

        request, paths = self.request(), paths_of(self.inputs)
        with ask(request) as permit, progress.stages() as bar, input_errors():
            if _is_store(paths):
                found = self._of_store(paths[0], bar)
            else:
                found = _describe_files(permit.readers("data"), paths, self._reading(), bar)
            if self.picture:
                from biofm.report import draw_dataset  # brings numpy

                draw_dataset(found, permit.writer("picture"), Path(self.picture).suffix)
        return found

    def _reading(self) -> "Reading":
        from biofm.corpus import Reading  # brings numpy

        return Reading(column=self.column, gaps=self.gaps, on_error=self.on_error, modality=self.modality)

    def _of_store(self, folder: Path, bar: StageProgress) -> "Description":
        from biofm_datasets.store import open_store  # these bring numpy

        from biofm.corpus import describe_store, modality_of

        modality_of([folder], self.modality)  # refuses a store of another modality
        return describe_store(
            open_store(folder), str(folder), n_sampled=self.n_sampled, seed=self.seed, progress=bar.update
        )


def _is_store(paths: Sequence[Path]) -> bool:
    """Return whether one of the inputs is a folder, which must be a store."""
    return any(path.is_dir() for path in paths)


def _check(paths: Sequence[Path], reading: "Reading") -> None:
    """Raise InputError if there is no input, a folder is no token store, or a store is not the only input."""
    from biofm_datasets.store import open_store  # these bring numpy
    from biofm_datasets.store.files import RECORD

    from biofm.corpus import check_not_standard_input, check_store_reading
    from biofm.models import modality_named

    items = modality_named(reading.modality).words.items
    if not paths:
        raise InputError("no inputs were given", remedy=f"Name a store, or one or more files of {items}")
    check_not_standard_input(paths, reading.modality)
    folders = [path for path in paths if path.is_dir()]
    if not folders:
        return
    if len(paths) > 1:
        what = "a store must be the only input"
        remedy = f"Give one store, or files of {items}"
        raise InputError(what, where=str(folders[0]), remedy=remedy)
    check_store_reading(folders[0], reading)
    if not (folders[0] / RECORD).exists():
        with input_errors():
            open_store(folders[0])  # raises the error that says what is there instead


def _describe_files(
    streams: Sequence[BinaryIO], paths: Sequence[Path], reading: "Reading", bar: StageProgress
) -> "Description":
    """Read files of sequences and return their description."""
    from biofm_datasets.store.writer import hash_sequences  # these bring numpy and torch

    from biofm.corpus import BlockReader, Tally, describe_sources, short_names
    from biofm.models import modality_named

    tokenizer, notices = modality_named(reading.modality, paths).tokenizer(), Counter[str]()
    names = short_names(paths)
    reader = BlockReader(reading, names, tokenizer, notices)
    tallies = []
    for number, (stream, name) in enumerate(zip(streams, names, strict=True)):
        bar.update("reading", number, len(names))
        tally = Tally(name, len(tokenizer.vocabulary))
        for block in reader.read(stream, name):
            tally.add(block.tokens, block.lengths, hash_sequences(block.tokens, block.lengths, block.values))
        tallies.append(tally)
    return describe_sources(tallies, tokenizer.alphabet, ", ".join(names), notices)


describe = verb(Describe)
