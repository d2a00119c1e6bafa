"""``prepare``: a data set as a store of tokens."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from biofm_datasets.choices import SplitMethod, SplitTool

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

AMOUNT = "{}: a share below 1, or a number, of the sequences or of the groups."
GROUP = "The name of a group that is held out for {}. Repeat it for several."


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSummary:
    """What was prepared. ``n_residues`` counts the units that ``units`` names. ``sha256`` is the checksum of
    the store's record, which holds the checksums of its files.
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
    """Write sequences as a store of tokens, split and checksummed, in memory that does not grow. Whoever
    trains on the store maps it into memory.

    ``modality`` names what the inputs hold, by default proteins; without it, letters that look like DNA or a
    molecule are refused. The split and its options are those of ``biofm_datasets.splits.SplitOptions``.
    ``resume`` goes on with work that was interrupted there, and the store becomes the same byte by byte.

    Raises InputError, OutputError, OptionError: each says what, where and what to do.
    """

    inputs: Annotated[
        str | Path | Sequence[str | Path],
        Option("The files of sequences: FASTA (also .gz), CSV, TSV or Parquet."),
        Reads("input"),
    ]
    output: Annotated[str | Path, Option("The folder of the store.", short="-o"), Writes("store")]
    _: KW_ONLY
    column: options.Column = None
    id_column: options.IdColumn = None
    gaps: options.AtGaps = "drop"
    modality: Annotated[
        str | None,
        Option(
            "What the inputs hold, such as protein, which is the default. Without it, letters that look like "
            "DNA or a molecule are refused; with it, they are read all the same.",
            flag="--as",
        ),
        NONE,
    ] = None
    weights: Annotated[
        Sequence[float] | None,
        Option(
            "The weight of an input in the mixture that training draws from. Repeat it, once for each input "
            "in their order. By default each input counts by its size.",
            flag="--weight",
        ),
        NONE,
    ] = None
    split: Annotated[
        SplitMethod,
        Option(
            "How sequences are held out. random: at random; identity: at random, and what resembles them "
            "leaves the other parts; cluster: whole clusters of relatives; column: as a column says; group: "
            "whole groups of a column; none: nothing is."
        ),
        NONE,
    ] = "none"
    validation: Annotated[float, Option(AMOUNT.format("How much is held out for validation")), NONE] = 0
    test: Annotated[float, Option(AMOUNT.format("How much is held out for the test")), NONE] = 0
    seed: Annotated[int, Option("The seed by which a split draws what is held out."), NONE] = 0
    split_column: Annotated[
        str,
        Option("In a table: the column of parts (train, validation, test), or of groups."),
        NONE,
    ] = ""
    validation_groups: Annotated[
        Sequence[str],
        Option(GROUP.format("validation"), flag="--validation-group"),
        NONE,
    ] = ()
    test_groups: Annotated[
        Sequence[str],
        Option(GROUP.format("the test"), flag="--test-group"),
        NONE,
    ] = ()
    max_identity: Annotated[
        float,
        Option(
            "Two sequences are relatives where more than this share of their alignment is identical, for the "
            "splits by identity and by cluster: 0.1 to 1."
        ),
        NONE,
    ] = 0.3
    min_coverage: Annotated[
        float,
        Option(
            "The share of the shorter sequence that the alignment of two relatives covers at least: 0.1 to 1."
        ),
        NONE,
    ] = 0.5
    split_tool: Annotated[
        SplitTool,
        Option(
            "What finds relatives. mmseqs: MMseqs2; kmer: the k-mer search of biofm; auto: both, as far as "
            "they can."
        ),
        RunsCode("mmseqs"),
    ] = "auto"
    on_error: options.AtFault = "stop"
    overwrite: Annotated[bool, Option("Replace the store in the output folder."), NONE] = False
    resume: Annotated[
        bool, Option("Go on with the work that was interrupted in the output folder."), NONE
    ] = False
    quiet: options.Quiet = True

    def request(self) -> Request:
        paths = paths_of(self.inputs)
        self._reading()  # which refuses options that do not fit
        self._check_inputs(paths)
        reads: dict[str, tuple[Path, ...]] = {"input": paths}
        if self._is_finished():
            from biofm_datasets.store import store_files  # brings numpy

            return self.asking(reads=reads | {"store": store_files(self._folder)})
        may_hold_files = _may_hold_files(self._folder, self.resume, self.overwrite)
        target = Target(path=self._folder, kind="directory", overwrite=may_hold_files)
        return self.asking(reads=reads, writes={"store": target})

    def run(self, progress: ProgressSink = SILENT) -> "PrepareSummary":
        from biofm.api.finished import ALREADY_WHOLE  # these bring torch
        from biofm.corpus import open_inputs, write_store
        from biofm.gate import ask

        began, request, reading = perf_counter(), self.request(), self._reading()
        if "store" in request.reads:
            return _summary(self._find_finished(request), began, {ALREADY_WHOLE: 1})
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
                    when_read=partial(permit.let_go, "input"),
                )
        self._check_split(store)
        return _summary(store, began, {})

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
        """Return whether a run that resumes finds a whole store. A killed run may have left an empty folder
        of unfinished work beside it.
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
            what = f"{len(weights)} weights for {len(paths)} inputs"
            remedy = "Give one for each input, in their order, or none"
            raise OptionError(what, where="--weight", remedy=remedy)
        for weight in weights or ():
            if not (isfinite(weight) and weight > 0):
                remedy = "Give positive numbers; leave out an input that is not wanted"
                raise OptionError(f"{weight} is no weight", where="--weight", remedy=remedy)

    def _find_finished(self, request: Request) -> "Store":
        """Return the store that this same request made before. Raises OutputError where another request
        made it.
        """
        from biofm_datasets.store import open_store  # these bring numpy and torch

        from biofm.corpus import open_inputs, request_digest
        from biofm.gate import ask

        with ask(request) as permit, input_errors():
            _remove_leftovers(self._folder)
            store = open_store(self._folder)
            opened = open_inputs(permit.readers("input"), request.reads["input"], self.weights)
            if store.record.request != request_digest(opened, self._reading(), self._modality.tokenizer()):
                what = "the store here is finished, and was prepared of other inputs or otherwise"
                remedy = "Pass --overwrite to replace it, or choose another folder"
                raise OutputError(what, where=str(self._folder), remedy=remedy)
        return store

    def _check_split(self, store: "Store") -> None:
        """Raise OutputError where the store is split in another way than was asked for: a run that was killed
        in its last moment was resumed with another split, which comes too late.
        """
        if store.record.split.method != self.split:
            what = f"this store was all but finished, and is split by {store.record.split.method}"
            raise OutputError(what, where=str(store.folder), remedy="Pass --overwrite to prepare it again")


def _summary(store: "Store", began: float, notices: Mapping[str, int]) -> PrepareSummary:
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
    """Return whether the gate may let this run write into a folder with files. Raises OutputError where the
    folder holds files that this run may neither resume nor replace.
    """
    from biofm_datasets.store.files import RECORD, UNFINISHED  # bring numpy

    if (folder / UNFINISHED).exists():
        return True  # whether it is this run's work is the writer's to say
    is_store, is_empty = (folder / RECORD).exists(), not any(folder.glob("*"))
    if resume and not overwrite and not is_empty:
        what, remedy = "this folder holds files, but no work that could be resumed", "Choose another folder"
        raise OutputError(what, where=str(folder), remedy=remedy)
    if not overwrite and is_store:
        remedy = "Pass --overwrite to replace it, or choose another folder"
        raise OutputError("a store lies here already", where=str(folder), remedy=remedy)
    return overwrite or is_empty


def _remove_leftovers(folder: Path) -> None:
    """Remove what a run left that was killed when its store was already whole."""
    from biofm_datasets.store.files import UNFINISHED  # these bring numpy
    from biofm_datasets.store.unfinished import Unfinished

    if (folder / UNFINISHED).exists():
        with data_errors(OutputError):
            Unfinished(folder, {}, resume=False, anew=True).remove()


@contextmanager
def _new_folder_removed(folder: Path) -> Iterator[None]:
    """At a fault remove a folder that was not there before, if it is empty."""
    is_new = not folder.exists()
    try:
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


prepare = verb(Prepare)
