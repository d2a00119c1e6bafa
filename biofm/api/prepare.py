"""The verb ``prepare``: write a data set as a token store."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from biofm_datasets.choices import SplitMethod, SplitTool
from biofm_datasets.text import format_count

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import paths_of
from biofm.core.errors import InputError, OptionError, OutputError, data_errors, input_errors
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import NONE, Reads, Request, RunsCode, Target, Writes

if TYPE_CHECKING:
    from biofm_datasets.store import Source, SplitRecord, Store

    from biofm.corpus import Reading
    from biofm.modalities import Modality

AMOUNT = "Hold out this many sequences or groups for {}, or this share of them if it is below 1."
GROUP = (
    "Hold out the group of this name for {}. Repeat it for several. By default groups are drawn at random."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSummary:
    """Holds what was prepared.

    Attributes:
        store: The folder of the store.
        sha256: The checksum of the store's record, which holds the checksums of its files.
        n_sequences: The number of sequences.
        n_residues: The number of units, such as residues.
        units: What the sequences are made of, such as "residues".
        sources: The inputs, with what each of them holds.
        split: How sequences were held out, and how many.
        notices: What was changed or skipped, counted.
        seconds: The time that it took.
    """

    store: str
    sha256: str
    n_sequences: int
    n_residues: int
    units: str
    sources: tuple["Source", ...]
    split: "SplitRecord"
    notices: dict[str, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class Prepare(Verb["PrepareSummary"]):
    """Write sequences as a token store for training, with a split and checksums.

    Memory does not grow with the inputs. The split and its options are those of
    ``biofm_datasets.splits.SplitOptions``. ``resume`` continues work that was interrupted there; the store is
    then the same, byte by byte, as one that was never interrupted.

    Raises:
        InputError, OutputError, OptionError: The message says what is wrong, where, and what to do.
    """

    inputs: Annotated[
        str | Path | Sequence[str | Path],
        Option("Read the sequences from these files: FASTA (also .gz), CSV, TSV or Parquet."),
        Reads("input"),
    ]
    output: Annotated[
        str | Path,
        Option("Write the store into this folder.", short="-o", metavar="FOLDER", group="Output"),
        Writes("store"),
    ]
    _: KW_ONLY
    column: options.Column = None
    id_column: options.IdColumn = None
    gaps: options.AtGaps = "drop"
    modality: Annotated[
        str | None,
        Option(
            f"Name what the inputs hold, such as protein; {options.LOOKALIKES}. By default the files' suffix "
            "decides, else it is protein, and such sequences are refused.",
            flag="--as",
            metavar="NAME",
            group="Input",
        ),
        NONE,
    ] = None
    weights: Annotated[
        Sequence[float] | None,
        Option(
            "Draw from the inputs in training by these weights: repeat it once for each input, in their "
            "order. By default each input counts by its number of sequences.",
            flag="--weight",
            group="Input",
        ),
        NONE,
    ] = None
    split: Annotated[
        SplitMethod,
        Option(
            "Hold out sequences by this method: random draws them; identity draws them and removes what "
            "resembles them from the other parts; cluster draws whole clusters of relatives; column reads "
            "the parts from a column; group draws or names whole groups of a column; none holds out nothing.",
            metavar="METHOD",
            group="Split",
        ),
        NONE,
    ] = "none"
    validation: Annotated[float, Option(AMOUNT.format("validation"), group="Split"), NONE] = 0
    test: Annotated[float, Option(AMOUNT.format("the test"), group="Split"), NONE] = 0
    seed: Annotated[int, Option("Set the seed of every random choice (the split).", group="Split"), NONE] = 0
    split_column: Annotated[
        str,
        Option(
            "Read the parts (train, validation, test), or the groups, of a table from this column.",
            metavar="COLUMN",
            group="Split",
        ),
        NONE,
    ] = ""
    validation_groups: Annotated[
        Sequence[str],
        Option(GROUP.format("validation"), flag="--validation-group", metavar="NAME", group="Split"),
        NONE,
    ] = ()
    test_groups: Annotated[
        Sequence[str],
        Option(GROUP.format("the test"), flag="--test-group", metavar="NAME", group="Split"),
        NONE,
    ] = ()
    max_identity: Annotated[
        float,
        Option(
            "Count two sequences as relatives if at least this share of their alignment is identical, from "
            "0.1 to 1. It is for the splits by identity and by cluster.",
            group="Split",
        ),
        NONE,
    ] = 0.3
    min_coverage: Annotated[
        float,
        Option(
            "Count two sequences as relatives only if their alignment covers at least this share of the "
            "shorter one, from 0.1 to 1.",
            group="Split",
        ),
        NONE,
    ] = 0.5
    split_tool: Annotated[
        SplitTool,
        Option(
            "Find relatives with this tool: mmseqs is MMseqs2, kmer is biofm's own k-mer search, auto takes "
            "both as far as they can.",
            metavar="TOOL",
            group="Split",
        ),
        RunsCode("mmseqs", of_caller=False),
    ] = "auto"
    on_error: options.AtFault = "stop"
    overwrite: Annotated[bool, Option("Replace the store in the output folder.", group="Output"), NONE] = (
        False
    )
    resume: options.ResumeRun = False
    quiet: options.Quiet = True

    def request(self) -> Request:
        paths = paths_of(self.inputs)
        self._reading()  # refuses options that do not fit
        self._check_inputs(paths)
        reads: dict[str, tuple[Path, ...]] = {"input": paths}
        if self._is_finished():
            from biofm_datasets.store import store_files  # brings numpy

            return self.asking(reads=reads | {"store": store_files(self._folder)})
        may_hold_files = _may_hold_files(self._folder, self.resume, self.overwrite)
        target = Target(path=self._folder, kind="directory", overwrite=may_hold_files)
        return self.asking(reads=reads, writes={"store": target})

    def run(self, progress: ProgressSink = SILENT) -> "PrepareSummary":
        from biofm.api.finished import ALREADY_WHOLE, describe_resumed  # these bring torch
        from biofm.corpus import open_inputs, write_store
        from biofm.gate import ask

        began, request, reading = perf_counter(), self.request(), self._reading()
        if "store" in request.reads:
            return _summary(self._find_finished(request), began, {ALREADY_WHOLE: 1})
        before: list[int] = []  # how many sequences an earlier session has written
        with _new_folder_removed(self._folder), ask(request) as permit:
            opened = open_inputs(permit.readers("input"), request.reads["input"], self.weights)
            with progress.stages() as bar:
                store = write_store(
                    opened,
                    reading,
                    self._modality.tokenizer(),
                    permit.folder("store"),
                    bar.update,
                    resume=self.resume,
                    anew=self.overwrite,
                    when_begun=before.append,
                    when_read=partial(permit.let_go, "input"),
                )
        self._check_split(store)
        if not self.resume:
            return _summary(store, began, {})
        words = "sequence", "sequences"
        return _summary(
            store, began, {describe_resumed(before[0] or None, store.record.n_sequences, words, "read"): 1}
        )

    @property
    def _folder(self) -> Path:
        return Path(self.output)

    def _reading(self) -> "Reading":
        from biofm_datasets.splits import SplitOptions  # these bring numpy

        from biofm.corpus import Reading

        with data_errors(OptionError):
            split = SplitOptions(
                method=self.split,
                validation=self.validation,
                test=self.test,
                seed=self.seed,
                column=self.split_column,
                validation_groups=tuple(self.validation_groups),
                test_groups=tuple(self.test_groups),
                max_identity=self.max_identity,
                min_coverage=self.min_coverage,
                tool=self.split_tool,
                own_groups=self._modality.group is not None,
            )
        return Reading(
            column=self.column,
            id_column=self.id_column,
            gaps=self.gaps,
            on_error=self.on_error,
            modality=self.modality,
            split=split,
        )

    @property
    def _modality(self) -> "Modality":
        from biofm.models import modality_named  # brings torch

        return modality_named(self.modality, paths_of(self.inputs))

    def _is_finished(self) -> bool:
        """Return whether a run that resumes finds a complete store.

        A killed run may have left an empty folder of unfinished work beside it.
        """
        from biofm_datasets.store.files import RECORD, UNFINISHED  # these bring numpy
        from biofm_datasets.store.unfinished import PROGRESS

        is_resumed = self.resume and not self.overwrite
        is_unfinished = (self._folder / UNFINISHED / PROGRESS).exists()
        return is_resumed and (self._folder / RECORD).exists() and not is_unfinished

    def _check_inputs(self, paths: Sequence[Path]) -> None:
        from biofm.corpus import check_not_standard_input  # brings numpy

        weights, items = self.weights, self._modality.words.items
        if not paths:
            raise InputError("no inputs were given", remedy=f"Name one or more files of {items}")
        check_not_standard_input(paths, self.modality)
        if weights and len(weights) != len(paths):
            what = f"there are {format_count(len(weights), 'weight')} for {format_count(len(paths), 'input')}"
            remedy = "Give one for each input, in their order, or none"
            raise OptionError(what, where="--weight", remedy=remedy)
        for weight in weights or ():
            if not (isfinite(weight) and weight > 0):
                remedy = "Give positive numbers; leave out an input that is not wanted"
                raise OptionError(f"{weight} is no positive number", where="--weight", remedy=remedy)

    def _find_finished(self, request: Request) -> "Store":
        """Return the store that this same request made before, or raise OutputError if another made it."""
        from biofm_datasets.store import open_store  # these bring numpy and torch

        from biofm.corpus import open_inputs, request_digest
        from biofm.gate import ask

        with ask(request) as permit, input_errors():
            _remove_leftovers(self._folder)
            store = open_store(self._folder)
            opened = open_inputs(permit.readers("input"), request.reads["input"], self.weights)
            if store.record.request != request_digest(opened, self._reading(), self._modality.tokenizer()):
                what = "the store here is finished, and was prepared from other inputs or with other options"
                remedy = "Pass --overwrite to replace it, or choose another folder"
                raise OutputError(what, where=str(self._folder), remedy=remedy)
        return store

    def _check_split(self, store: "Store") -> None:
        """Raise OutputError if the store is split in another way than was asked for.

        That happens when a run was killed in its last moment and is resumed with another split.
        """
        if store.record.split.method != self.split:
            what = f"this store was nearly finished before, and is split by {store.record.split.method}"
            raise OutputError(what, where=str(store.folder), remedy="Pass --overwrite to prepare it again")


def _summary(store: "Store", began: float, notices: Mapping[str, int]) -> PrepareSummary:
    """Return the summary of a run that started at ``began`` (seconds of ``perf_counter``)."""
    return PrepareSummary(
        store=str(store.folder),
        sha256=store.sha256,
        n_sequences=store.record.n_sequences,
        n_residues=store.record.n_units,
        units=store.record.alphabet.units,
        sources=store.record.sources,
        split=store.record.split,
        notices={**store.record.notices, **notices},
        seconds=perf_counter() - began,
    )


def _may_hold_files(folder: Path, resume: bool, overwrite: bool) -> bool:
    """Return whether the gate may let this run write into a folder with files.

    Raises:
        OutputError: The folder holds files that this run may neither resume nor replace.
    """
    from biofm_datasets.store.files import RECORD, UNFINISHED  # bring numpy

    if (folder / UNFINISHED).exists():
        return True  # the writer checks whether it is this run's work
    is_store, is_empty = (folder / RECORD).exists(), not any(folder.glob("*"))
    if resume and not overwrite and not is_empty:
        what, remedy = "this folder holds files, but no work that could be resumed", "Choose another folder"
        raise OutputError(what, where=str(folder), remedy=remedy)
    if not overwrite and is_store:
        remedy = "Pass --overwrite to replace it, or choose another folder"
        raise OutputError("this folder already holds a store", where=str(folder), remedy=remedy)
    return overwrite or is_empty


def _remove_leftovers(folder: Path) -> None:
    """Remove the unfinished work of a run that was killed when its store was already complete."""
    from biofm_datasets.store.files import UNFINISHED  # these bring numpy
    from biofm_datasets.store.unfinished import Unfinished

    if (folder / UNFINISHED).exists():
        with data_errors(OutputError):
            Unfinished(folder, {}, resume=False, anew=True).remove()


@contextmanager
def _new_folder_removed(folder: Path) -> Iterator[None]:
    """Remove a new folder after an error, if it was made and is empty."""
    is_new = not folder.exists()
    try:
        yield
    except BaseException:
        if is_new and folder.is_dir():
            with suppress(OSError):
                folder.rmdir()
        raise


prepare = verb(Prepare)
