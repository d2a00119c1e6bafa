"""``describe``: what a data set is like."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from biofm_datasets.protein import Gaps
from biofm_datasets.store import open_store, store_files
from biofm_datasets.store.files import RECORD
from biofm_datasets.store.writer import hash_sequences

from biofm.api.paths import paths_of
from biofm.api.request import request_of
from biofm.core import StageProgress
from biofm.core.bounds import check_bound
from biofm.core.errors import InputError, input_errors
from biofm.corpus import Description, Tally, describe_sources, describe_store
from biofm.corpus.blocks import BlockReader, Reading
from biofm.corpus.inputs import check_not_standard_input, check_store_reading, modality_of, short_names
from biofm.gate import ask
from biofm.models import modality_named
from biofm.policy import Target
from biofm.report import check_figure_suffix, draw_dataset


def describe(
    inputs: str | Path | Sequence[str | Path],
    *,
    column: str | None = None,
    gaps: Gaps = "drop",
    modality: str | None = None,
    on_error: str = "stop",
    n_sampled: int = 100,
    seed: int = 0,
    picture: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = True,
) -> Description:
    """Describe a prepared store, or files of proteins: lengths, letters, copies within and between inputs.

    Of a store's split, for each pair of parts: copies of the held-out sequences in the other one, and
    relatives there of ``n_sampled`` of them, drawn by ``seed``. ``gaps`` of alignments in files are to
    "drop", to "keep" or to "refuse". ``picture`` (.png, .svg, .pdf) takes it as a figure.

    Raises InputError, OutputError, OptionError: each says what, where and what to do.
    """
    paths = paths_of(inputs)
    check_bound("n_sampled", n_sampled, "--sample")
    check_bound("seed", seed, "--seed")
    reading = Reading(column=column, gaps=gaps, on_error=on_error, modality=modality)
    is_store = _check(paths, reading)
    writes = {}
    if picture:
        check_figure_suffix(Path(picture))
        writes["picture"] = Target(path=Path(picture), overwrite=overwrite)
    reads = {"data": store_files(paths[0]) if is_store else paths}
    request = request_of("describe", reads=reads, writes=writes)
    with ask(request) as permit, StageProgress(quiet=quiet) as bar, input_errors():
        if is_store:
            modality_of(paths, modality)
            store = open_store(paths[0])
            found = describe_store(store, str(paths[0]), n_sampled=n_sampled, seed=seed, progress=bar.update)
        else:
            found = _describe_files(permit.readers("data"), paths, reading, bar)
        if picture:
            draw_dataset(found, permit.writer("picture"), Path(picture).suffix)
    return found


def _check(paths: Sequence[Path], reading: Reading) -> bool:
    """Whether it is a store that is described."""
    if not paths:
        raise InputError("no inputs were given", remedy="Name a store, or one or more files of proteins")
    check_not_standard_input(paths)
    folders = [path for path in paths if path.is_dir()]
    if not folders:
        return False
    if len(paths) > 1:
        what, remedy = "a store is described alone", "Give one store, or files of proteins"
        raise InputError(what, where=str(folders[0]), remedy=remedy)
    check_store_reading(folders[0], reading)
    if not (folders[0] / RECORD).exists():
        with input_errors():
            open_store(folders[0])  # which says what is there instead
    return True


def _describe_files(
    streams: Sequence[BinaryIO], paths: Sequence[Path], reading: Reading, bar: StageProgress
) -> Description:
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
