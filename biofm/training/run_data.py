"""The data of a run: either files, from which it prepares a store in its folder, or a store made before."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from biofm_datasets.protein import Gaps
from biofm_datasets.splits import SplitOptions, TooFewError
from biofm_datasets.store import Store, open_store, store_files
from biofm_datasets.store.files import RECORD
from biofm_datasets.text import format_count

from biofm.core import sha256_of
from biofm.core.errors import InputError, OptionError, input_errors
from biofm.core.progress import RunProgress
from biofm.corpus import (
    BY_RELATIVES,
    Reading,
    check_not_standard_input,
    check_store_reading,
    has_letters,
    open_inputs,
    write_store,
)
from biofm.gate import Permit
from biofm.modalities import Tokenizer
from biofm.training.folder import DATA, refuse_other_run
from biofm.training.recipe import PretrainRecipe

SPLIT_OPTIONS = ("--validation, --test", "--split identity", "--split random")
AT_RANDOM = (
    "sequences held out at random, so training may hold their relatives: the search for relatives compares "
    "letters, and {units} are not single letters"
)
UNUSED = "<null_1>"
"""A token of ESM's alphabet that no sequence contains. ESM C has a token of its own in its place."""


def files_of_data(inputs: Sequence[Path], modality: str | None = None) -> tuple[Path, ...]:
    """Return the files that a run reads: the inputs, or the files of a token store.

    Args:
        inputs: Files, or the folder of one token store.
        modality: The user's name for what the inputs hold, if given.

    Raises:
        InputError: A folder among the inputs is no token store, or there are other inputs beside it.
    """
    check_not_standard_input(inputs, modality)
    folders = [path for path in inputs if path.is_dir()]
    if not folders:
        return tuple(inputs)
    if len(inputs) > 1:
        what = "a folder cannot be combined with other inputs"
        raise InputError(what, where=str(folders[0]), remedy="Give files, or one prepared store alone")
    if not (folders[0] / RECORD).is_file():
        what = "this folder holds no token store"
        raise InputError(
            what, where=str(folders[0]), remedy="Make one with biofm data prepare, or give files"
        )
    return store_files(folders[0])


def place_of_data(inputs: Sequence[Path], folder: Path) -> Path:
    """Return the folder of the run's token store: the given one, or the one to prepare in ``folder``."""
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
    """Open the token store of the run in ``folder``.

    Where the inputs are files, the first process prepares the store before the others open it.

    Raises:
        InputError: A file has a fault.
        OptionError: The data cannot be split in the way that the options ask for.
        OutputError: The folder holds a store of other data.
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
    with _as_held_out(reading.split):
        write_store(
            open_inputs(permit.readers("input"), inputs), reading, tokenizer, data, progress, resume=True,
            when_read=partial(permit.let_go, "input"),
        )  # fmt: skip


def check_store(store: Store, tokenizer: Tokenizer, recipe: PretrainRecipe) -> None:
    """Check that a model with this tokenizer can be trained on the store by this recipe.

    Raises:
        InputError: The store is written in another alphabet, lacks the numbers that the model reads with the
            tokens, or holds numbers that the model does not read.
        OptionError: The store has no validation part, and the recipe validates.
    """
    _check_alphabet(store, tokenizer)
    if recipe.validate_every and not len(store.split["validation"]):
        what = "the data has no validation part"
        remedy = "Give --set n_validation=200, or a store prepared with --validation; or leave this out"
        raise OptionError(what, where="--set validate_every", remedy=remedy)


def _check_alphabet(store: Store, tokenizer: Tokenizer) -> None:
    stored, own = store.record.alphabet, tokenizer.alphabet
    is_same = (
        stored.modality == own.modality
        and len(stored.tokens) == len(own.tokens)
        and all(a in (b, UNUSED) for a, b in zip(stored.tokens, own.tokens, strict=True))
        and (stored.before, stored.behind) == (own.before, own.behind)
    )
    remedy = "Prepare the store again for this model, or choose another model"
    if not is_same:
        what = f"this store is written in the alphabet {stored.name} ({stored.modality}), not in the model's"
        raise InputError(what, where=str(store.folder), remedy=remedy)
    if tokenizer.has_values != (store.tokens.values is not None):
        what = "the model reads a number with each token, and this store has none"
        if not tokenizer.has_values:
            what = "this store has a number with each token, and the model reads none"
        raise InputError(what, where=str(store.folder), remedy=remedy)


def reading_of(
    recipe: PretrainRecipe, *, column: str | None, gaps: Gaps, on_error: str, modality: str | None
) -> Reading:
    """Return how the files of a run are read and split.

    No held-out sequence has a relative in training. Where relatives cannot be searched for, ``open_data``
    splits at random instead. biofm's own search finds the relatives, even if another tool is installed, so
    that the split depends on the data and the seed alone.
    """
    split = SplitOptions()
    if recipe.n_held_out or recipe.n_validation:
        split = SplitOptions(
            method="identity", test=recipe.n_held_out, validation=recipe.n_validation, seed=recipe.seed,
            tool="kmer", per_source=True,
        )  # fmt: skip
    return Reading(column=column, gaps=gaps, on_error=on_error, modality=modality, split=split)


def notices_of_split(store: Store, folder: Path) -> dict[str, int]:
    """Return the notice that sequences were held out at random, with their number.

    It is empty if relatives were kept apart, or if the run in ``folder`` did not prepare its store itself.
    """
    split = store.record.split
    if store.folder != folder / DATA or split.method != "random":
        return {}
    n_held_out = split.counts["validation"] + split.counts["test"]
    return {AT_RANDOM.format(units=store.record.alphabet.units): n_held_out}


def _check_sources(store: Store, permit: Permit, reading: Reading, folder: Path) -> None:
    """Raise OutputError if the store in ``folder`` was made from other files or with other options."""
    sums = [sha256_of([stream]) for stream in permit.readers("input")]
    is_same = {
        "the data": sums == [source.sha256 for source in store.record.sources],
        "--gaps": store.record.gaps == reading.gaps,
    }
    refuse_other_run([name for name, is_so in is_same.items() if not is_so], folder)


@contextmanager
def _as_held_out(split: SplitOptions) -> Iterator[None]:
    """Make an error about an impossible split name ``--held-out``, the option that asks for the split."""
    try:
        yield
    except OptionError as error:
        if error.where not in SPLIT_OPTIONS:
            raise
        remedy = error.remedy
        if isinstance(error.__cause__, TooFewError) and not split.validation:
            remedy = _how_to_hold_out_fewer(split, error.__cause__.n_free)
        raise OptionError(error.what, where="--held-out", remedy=remedy) from error


def _how_to_hold_out_fewer(split: SplitOptions, n_free: int) -> str:
    """Return advice with a number that fits: a quarter of the sequences that could be held out."""
    fewer = f"--held-out {max(1, n_free // 4) if n_free > 1 else 0}"
    if split.test == PretrainRecipe.__dataclass_fields__["n_held_out"].default:
        there = format_count(n_free, "sequence")
        return f"{split.test:,} is the default; for {there}, give for example {fewer}, or give more data"
    return f"Hold out fewer, for example {fewer}, or give more data"
