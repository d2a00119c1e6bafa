"""Sample of a run's data: the estimate of a training is computed from it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import TokenStore, open_store
from numpy.typing import NDArray

from biofm.core.errors import InputError, data_errors, input_errors
from biofm.corpus import BlockReader, Reading, short_names
from biofm.modalities import Tokens
from biofm.models import Checkpoint
from biofm.training.recipe import PretrainRecipe
from biofm.training.run_data import check_store

SAMPLE_TOKENS = 1 << 24
"""Most tokens that are read from the files; the estimate assumes that the rest is like them."""

STORE_BYTES = 48
"""Bytes that a store keeps for a sequence beside its tokens: their start, its name, hash and part."""


class Sample(NamedTuple):
    """Holds a sample of the data.

    Attributes:
        tokens: The sequences of the sample.
        train: Draws those that train.
        validation: The numbers of those that validate.
        n_times: The size of all data in sizes of the sample.
        n_bytes: Bytes of the store that the run will prepare from all data; 0 if the store exists.
    """

    tokens: TokenStore
    train: Mixture
    validation: NDArray[np.int64]
    n_times: float
    n_bytes: int


def sample_store(folder: Path, checkpoint: Checkpoint, recipe: PretrainRecipe) -> Sample:
    """Take the whole store as the sample; only what batches need is read from the disk.

    Args:
        folder: The folder of the store.
        checkpoint: The model and its tokenizer.
        recipe: The settings of the run.

    Raises:
        InputError: The store is damaged, or was not prepared for this model.
        OptionError: The store has no validation part, and the recipe validates.
    """
    with input_errors():
        store = open_store(folder)
        check_store(store, checkpoint.tokenizer, recipe)
        train = Mixture(store.pools("train"), store.weights, recipe.seed)
    return Sample(store.tokens, train, store.split["validation"], 1.0, 0)


def sample_files(
    streams: Sequence[BinaryIO],
    paths: Sequence[Path],
    reading: Reading,
    checkpoint: Checkpoint,
    recipe: PretrainRecipe,
) -> Sample:
    """Read the first sequences of each file.

    As many of them validate as the recipe holds out for that.

    Args:
        streams: The opened files.
        paths: Their paths, in the same order.
        reading: How the files are read.
        checkpoint: The model and its tokenizer.
        recipe: The settings of the run.

    Raises:
        InputError: A file has a fault, or holds too few sequences.
    """
    names = short_names(paths)
    reader = BlockReader(reading, names, checkpoint.tokenizer, Counter())
    sequences: list[Tokens] = []
    values: list[NDArray[np.float32]] = []
    n_read = n_in_all = 0.0
    for stream, name, path in zip(streams, names, paths, strict=True):
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
    return Sample(TokenStore.of(sequences, values), train, members[:n_validation], n_times, n_bytes)


def _share_read(stream: BinaryIO, path: Path, n_records: int) -> float:
    """Return the share of a file that was read after ``n_records`` of its records.

    It is a share of the rows of a Parquet file, which is not read in the order of its bytes, and a share of
    the bytes of other files.
    """
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq  # takes a third of a second

        n_rows: int = pq.read_metadata(stream).num_rows
        return min(1.0, n_records / n_rows)
    return min(1.0, stream.tell() / path.stat().st_size)
