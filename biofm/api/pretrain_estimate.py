"""``estimate_pretrain``: what a training run will take."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from biofm_datasets.protein import Gaps
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import TokenStore, open_store
from numpy.typing import NDArray

from biofm.api.paths import paths_of
from biofm.api.request import request_of
from biofm.api.training import begin_with
from biofm.core.errors import InputError, data_errors, input_errors
from biofm.corpus.blocks import BlockReader, Reading
from biofm.corpus.inputs import modality_of, short_names
from biofm.gate import Permit, ask
from biofm.inference import choose_compute
from biofm.modalities import Tokens
from biofm.models import Checkpoint
from biofm.training import PretrainRecipe, check_model, check_store, leave_to_main, objective_of
from biofm.training.run_data import files_of_data, reading_of

if TYPE_CHECKING:  # it brings lightning
    from biofm.training.estimate import TrainingEstimate

SAMPLE_TOKENS = 1 << 24
"""So much of files is read; the rest is taken to be like it."""

STORE_BYTES = 48
"""What a store keeps of a protein beside its tokens: where they begin, name, hash, part."""


class _Sample(NamedTuple):
    """Of the data of a run: what trains, what validates, the whole as a multiple of it, and the bytes of the
    store that is to be made of it.
    """

    tokens: TokenStore
    train: Mixture
    validation: NDArray[np.int64]
    n_times: float
    n_bytes: int


def estimate_pretrain(
    inputs: str | Path | Sequence[str | Path],
    recipe: PretrainRecipe,
    *,
    size: str = "nano",
    start_from: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    column: str | None = None,
    gaps: Gaps = "drop",
    modality: str | None = None,
    on_error: str = "stop",
) -> "TrainingEstimate":
    """What ``pretrain`` of the same arguments will take in time, memory and space on the disk, and how large
    its batches may be.

    Reads some of the data, tries a few steps on a copy of the model, writes nothing. The time to prepare
    files and to judge the model at the end is not counted; of files, proteins that will be held out and their
    relatives are counted as if they trained. One of several processes estimates; the others end here.

    Raises InputError, ModelError, OptionError.
    """
    from biofm.training.data import PackedData  # these bring lightning, which takes seconds to import
    from biofm.training.estimate import estimate_training

    leave_to_main()
    compute = choose_compute(device, dtype)
    paths = paths_of(inputs)
    files, reading = (
        files_of_data(paths),
        reading_of(recipe, column=column, gaps=gaps, on_error=on_error, modality=modality),
    )
    model = start_from or f"a new {size}"
    with ask(request_of("estimate", reads={"input": files}, model=model)) as permit:
        checkpoint, _ = begin_with(start_from, size, recipe, device, modality_of(paths, modality))
        check_model(checkpoint, recipe, compute)
        if paths[0].is_dir():
            sample = _sample_store(paths[0], checkpoint, recipe)
        else:
            sample = _sample_files(permit, paths, reading, checkpoint, recipe)
        objective = objective_of(checkpoint, recipe)
        data = PackedData(sample.tokens, sample.train, sample.validation, objective, recipe)
        module = checkpoint.module.requires_grad_()
        module.contacts = None
        found = estimate_training(module, objective, data, recipe, compute)
    return replace(
        found,
        n_train_tokens=round(found.n_train_tokens * sample.n_times),
        output_bytes={**found.output_bytes, **({"data": sample.n_bytes} if sample.n_bytes else {})},
    )


def _sample_store(folder: Path, checkpoint: Checkpoint, recipe: PretrainRecipe) -> _Sample:
    """All of a store, which is not read but where batches are made of it."""
    with input_errors():
        store = open_store(folder)
        check_store(store, checkpoint, recipe)
        train = Mixture(store.pools("train"), store.weights, recipe.seed)
    return _Sample(store.tokens, train, store.split["validation"], 1.0, 0)


def _sample_files(
    permit: Permit, paths: Sequence[Path], reading: Reading, checkpoint: Checkpoint, recipe: PretrainRecipe
) -> _Sample:
    """The first proteins of each file; as many of them validate as are to be held out for that."""
    names = short_names(paths)
    reader = BlockReader(reading, names, checkpoint.tokenizer, Counter())
    sequences: list[Tokens] = []
    values: list[NDArray[np.float32]] = []
    n_read = n_in_all = 0.0
    for stream, name, path in zip(permit.readers("input"), names, paths, strict=True):
        n_tokens, n_before, share = 0, len(sequences), 1.0
        with input_errors():
            for block in reader.read(stream, name):
                ends = np.cumsum(block.lengths)[:-1]
                sequences += np.split(block.tokens, ends)
                values += [] if block.values is None else np.split(block.values, ends)
                n_tokens += len(block.tokens)
                if n_tokens >= SAMPLE_TOKENS // len(paths):
                    share = _share_read(stream, path, len(sequences) - n_before)
                    break
        n_read += n_tokens
        n_in_all += n_tokens / share
    members = np.arange(len(sequences))
    n_validation = max(0, min(recipe.n_validation * len(paths), len(sequences) - 1))
    with data_errors(InputError):
        train = Mixture([members[n_validation:]], None, recipe.seed)
    n_times = n_in_all / n_read
    n_bytes = round(n_times * (n_read + STORE_BYTES * len(sequences)))
    return _Sample(TokenStore.of(sequences, values), train, members[:n_validation], n_times, n_bytes)


def _share_read(stream: BinaryIO, path: Path, n_records: int) -> float:
    """Of a file, when so many of its records were read: by rows of Parquet, which is not read in the order of
    its bytes, else by bytes.
    """
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq  # takes a third of a second

        n_rows: int = pq.read_metadata(stream).num_rows
        return min(1.0, n_records / n_rows)
    return min(1.0, stream.tell() / path.stat().st_size)
