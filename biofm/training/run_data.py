"""The data of a run: files, which are prepared in its folder, or a store that was prepared before."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from biofm_datasets.protein import Gaps
from biofm_datasets.splits import SplitOptions
from biofm_datasets.store import Store, open_store, store_files
from biofm_datasets.store.files import RECORD

from biofm.core import sha256_of
from biofm.core.errors import InputError, OptionError, OutputError, input_errors
from biofm.core.progress import RunProgress
from biofm.corpus.blocks import Reading
from biofm.corpus.inputs import check_not_standard_input, check_store_reading, open_inputs
from biofm.corpus.relatives import BY_RELATIVES, has_letters
from biofm.corpus.writing import write_store
from biofm.gate.permit import Permit
from biofm.modalities import Tokenizer
from biofm.training.folder import DATA, REMEDY
from biofm.training.recipe import PretrainRecipe

SPLIT_OPTIONS = ("--validation, --test", "--split identity", "--split random")
AT_RANDOM = (
    "sequences held out at random, of which training may hold relatives: these are found letter by letter, "
    "and {units} are not single letters"
)


def files_of_data(inputs: Sequence[Path], modality: str | None = None) -> tuple[Path, ...]:
    """What is read: the inputs, or the files of the one store among them. ``modality`` names what they hold.

    Raises InputError: they are neither.
    """
    check_not_standard_input(inputs, modality)
    folders = [path for path in inputs if path.is_dir()]
    if not folders:
        return tuple(inputs)
    if len(inputs) > 1:
        what = "this is a folder, and there are other inputs beside it"
        raise InputError(what, where=str(folders[0]), remedy="Give files, or one prepared store alone")
    if not (folders[0] / RECORD).is_file():
        what = "this folder holds no token store"
        raise InputError(
            what, where=str(folders[0]), remedy="Make one with biofm data prepare, or give files"
        )
    return store_files(folders[0])


def place_of_data(inputs: Sequence[Path], folder: Path) -> Path:
    """The store of a run in ``folder``: the given one, or the one that is prepared there."""
    return inputs[0] if inputs[0].is_dir() else folder / DATA


def open_data(
    inputs: Sequence[Path],
    permit: Permit,
    reading: Reading,
    tokenizer: Tokenizer,
    folder: Path,
    progress: RunProgress,
    *,
    is_main: bool,
) -> Store:
    """The store of a run in ``folder``, prepared there if need be: by the first process, before the others
    open it.

    Raises InputError: a file is at fault. OptionError: it cannot be held out as asked. OutputError: the
    folder holds other data.
    """
    place = place_of_data(inputs, folder)
    if place in inputs:
        check_store_reading(place, reading)
    elif is_main:
        _prepare(inputs, permit, reading, tokenizer, folder, progress)
    with input_errors():
        return open_store(place)


def _prepare(
    inputs: Sequence[Path],
    permit: Permit,
    reading: Reading,
    tokenizer: Tokenizer,
    folder: Path,
    progress: RunProgress,
) -> None:
    data = folder / DATA
    if (data / RECORD).exists():
        _check_sources(open_store(data), permit, reading, folder)
        return
    data.mkdir(exist_ok=True)
    if reading.split.method in BY_RELATIVES and not has_letters(tokenizer.alphabet):
        reading = replace(reading, split=replace(reading.split, method="random"))
    with _as_held_out():
        write_store(
            open_inputs(permit.readers("input"), inputs), reading, tokenizer, data, progress, resume=True,
            when_read=partial(permit.let_go, "input"),
        )  # fmt: skip


def reading_of(
    recipe: PretrainRecipe, *, column: str | None, gaps: Gaps, on_error: str, modality: str | None
) -> Reading:
    """How the files of a run are read and split: so that no held-out sequence has a relative in training,
    which ``open_data`` makes a split at random where relatives cannot be found.

    By our own search for relatives, whatever is installed, so that the split depends on data and seed alone.
    """
    split = SplitOptions()
    if recipe.n_held_out or recipe.n_validation:
        split = SplitOptions(
            method="identity", test=recipe.n_held_out, validation=recipe.n_validation, seed=recipe.seed,
            tool="kmer", per_source=True,
        )  # fmt: skip
    return Reading(column=column, gaps=gaps, on_error=on_error, modality=modality, split=split)


def notices_of_split(store: Store, folder: Path) -> dict[str, int]:
    """What a reader should know of how the store that was prepared in ``folder`` holds out, counted."""
    split = store.record.split
    if store.folder != folder / DATA or split.method != "random":
        return {}
    n_held_out = split.counts["validation"] + split.counts["test"]
    return {AT_RANDOM.format(units=store.record.alphabet.units): n_held_out}


def _check_sources(store: Store, permit: Permit, reading: Reading, folder: Path) -> None:
    """Raise OutputError where the store in the folder was made of other files, or read otherwise."""
    sums = [sha256_of([stream]) for stream in permit.readers("input")]
    is_same = {
        "data_sha256": sums == [source.sha256 for source in store.record.sources],
        "treatment of gaps": store.record.gaps == reading.gaps,
    }
    if differing := [name for name, is_so in is_same.items() if not is_so]:
        what = f"this folder holds a run with another {', '.join(differing)}"
        raise OutputError(what, where=str(folder), remedy=REMEDY)


@contextmanager
def _as_held_out() -> Iterator[None]:
    """A split that cannot be made is named by the option that asks for it here."""
    try:
        yield
    except OptionError as error:
        if error.where not in SPLIT_OPTIONS:
            raise
        raise OptionError(error.what, where="--held-out", remedy=error.remedy) from error
