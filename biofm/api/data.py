"""``prepare``: a data set as a store of tokens."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from time import perf_counter

from biofm_datasets.protein import Gaps
from biofm_datasets.splits import SplitOptions
from biofm_datasets.store import Source, SplitRecord, Store, open_store, store_files
from biofm_datasets.store.files import RECORD, UNFINISHED
from biofm_datasets.store.unfinished import PROGRESS, Unfinished

from biofm.api.finished import ALREADY_WHOLE
from biofm.api.paths import paths_of
from biofm.api.request import request_of
from biofm.core import StageProgress
from biofm.core.errors import InputError, OptionError, OutputError, data_errors, input_errors
from biofm.corpus.blocks import Reading
from biofm.corpus.inputs import check_not_standard_input, open_inputs
from biofm.corpus.writing import request_digest, write_store
from biofm.gate import ask
from biofm.modalities import Tokenizer
from biofm.models import modality_named
from biofm.policy import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSummary:
    """What was prepared: ``n_residues`` are of what ``units`` says. ``sha256`` is the store's: of its record,
    which holds the sums of its files.
    """

    store: str
    sha256: str
    n_sequences: int
    n_residues: int
    units: str
    sources: tuple[Source, ...]
    split: SplitRecord
    notices: dict[str, int]
    seconds: float


def prepare(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    column: str | None = None,
    id_column: str | None = None,
    gaps: Gaps = "drop",
    modality: str | None = None,
    weights: Sequence[float] | None = None,
    split: str = "none",
    validation: float = 0,
    test: float = 0,
    seed: int = 0,
    split_column: str = "",
    validation_groups: Sequence[str] = (),
    test_groups: Sequence[str] = (),
    max_identity: float = 0.3,
    min_coverage: float = 0.5,
    split_tool: str = "auto",
    on_error: str = "stop",
    overwrite: bool = False,
    resume: bool = False,
    quiet: bool = True,
) -> PrepareSummary:
    """Write the proteins of ``inputs`` (FASTA, CSV, TSV, Parquet) into the folder ``output`` as a store of
    tokens, in memory that does not grow. Whoever trains on it maps it into memory.

    ``gaps`` of alignments are to "drop", to "keep" as tokens, or to "refuse". ``modality`` names what the
    inputs hold, by default proteins; without it, letters that look like DNA or a molecule are refused.
    ``weights``: of a mixture, one for each input; without, each counts by its size. The split and its options
    are those of ``biofm_datasets.splits.SplitOptions``; amounts are shares below 1 or numbers.
    ``resume`` goes on with work that was interrupted there, and the store becomes the same byte by byte.

    Raises InputError, OutputError, OptionError: each says what, where and what to do.
    """
    began = perf_counter()
    paths = paths_of(inputs)
    folder = Path(output)
    known = modality_named(modality, paths)
    with data_errors(OptionError):
        options = SplitOptions(
            method=split, validation=validation, test=test, seed=seed, column=split_column,
            validation_groups=tuple(validation_groups), test_groups=tuple(test_groups),
            max_identity=max_identity, min_coverage=min_coverage, tool=split_tool,
            own_groups=known.group is not None,
        )  # fmt: skip
    reading = Reading(
        column=column, id_column=id_column, gaps=gaps, on_error=on_error, modality=modality, split=options
    )
    _check_inputs(paths, weights)
    tokenizer = known.tokenizer()
    if resume and not overwrite and _was_finished(folder):
        return _summary(_find_finished(paths, weights, reading, tokenizer, folder), began, {ALREADY_WHOLE: 1})
    target = Target(path=folder, kind="directory", overwrite=_may_hold_files(folder, resume, overwrite))
    request = request_of("prepare", reads={"input": paths}, writes={"store": target})
    with _new_folder_removed(folder), ask(request) as permit:
        opened = open_inputs(permit.readers("input"), paths, weights)
        with StageProgress(quiet=quiet) as bar:
            store = write_store(
                opened, reading, tokenizer, permit.folder("store"), bar.update, resume=resume, anew=overwrite,
                when_read=partial(permit.let_go, "input"),
            )  # fmt: skip
    _check_split(store, reading.split)
    return _summary(store, began, {})


def _summary(store: Store, began: float, notices: dict[str, int]) -> PrepareSummary:
    return PrepareSummary(
        store=str(store.folder),
        sha256=store.sha256,
        n_sequences=store.record.n_sequences,
        n_residues=store.record.n_units,
        units=store.record.alphabet.units,
        sources=store.record.sources,
        split=store.record.split,
        notices=store.record.notices | notices,
        seconds=perf_counter() - began,
    )


def _was_finished(folder: Path) -> bool:
    """Whether a store lies there and no unfinished one, of which a killed run may have left a folder."""
    if not (folder / RECORD).exists() or (folder / UNFINISHED / PROGRESS).exists():
        return False
    if (folder / UNFINISHED).exists():
        with data_errors(OutputError):
            Unfinished(folder, {}, resume=False, anew=True).remove()
    return True


def _find_finished(
    paths: Sequence[Path],
    weights: Sequence[float] | None,
    reading: Reading,
    tokenizer: Tokenizer,
    folder: Path,
) -> Store:
    """The store that this same request has made. Raises OutputError: another one did."""
    reads = {"input": tuple(paths), "store": store_files(folder)}
    with ask(request_of("prepare", reads=reads)) as permit, input_errors():
        store = open_store(folder)
        opened = open_inputs(permit.readers("input"), paths, weights)
        if store.record.request != request_digest(opened, reading, tokenizer):
            what = "the store here is finished, and was prepared of other inputs or otherwise"
            remedy = "Pass --overwrite to replace it, or choose another folder"
            raise OutputError(what, where=str(folder), remedy=remedy)
    return store


def _check_split(store: Store, options: SplitOptions) -> None:
    """A run that was killed in its last moment may be resumed with another split, which comes too late."""
    if store.record.split.method != options.method:
        what = f"this store was all but finished, and is split by {store.record.split.method}"
        raise OutputError(what, where=str(store.folder), remedy="Pass --overwrite to prepare it again")


def _check_inputs(paths: Sequence[Path], weights: Sequence[float] | None) -> None:
    if not paths:
        raise InputError("no inputs were given", remedy="Name one or more files of proteins")
    check_not_standard_input(paths)
    if weights and len(weights) != len(paths):
        what = f"{len(weights)} weights for {len(paths)} inputs"
        raise OptionError(what, where="--weight", remedy="Give one for each input, in their order, or none")
    for weight in weights or ():
        if not (isfinite(weight) and weight > 0):
            remedy = "Give positive numbers; leave out an input that is not wanted"
            raise OptionError(f"{weight} is no weight", where="--weight", remedy=remedy)


def _may_hold_files(folder: Path, resume: bool, overwrite: bool) -> bool:
    """Whether the folder may hold files, of which the gate knows nothing. Raises OutputError: it holds others
    than this run may go on with or replace.
    """
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


@contextmanager
def _new_folder_removed(folder: Path) -> Iterator[None]:
    """If nothing comes to lie in a folder that was not there before, it goes again."""
    is_new = not folder.exists()
    try:
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise
