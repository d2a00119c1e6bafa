"""A sample of the data of a run, from which the estimate of a training is made."""

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
"""How many tokens of the files are read at most; the rest is taken to be like them."""

STORE_BYTES = 48
"""Bytes that a store keeps of a sequence beside its tokens: where they begin, name, hash, part."""


class Sample(NamedTuple):
    """The sequences of a sample: those that ``train`` draws, and those of ``validation``. The whole of the
    data is ``n_times`` as much, and the store that will be made of it takes ``n_bytes``, 0 for one that there
    is.
    """

    tokens: TokenStore
    train: Mixture
    validation: NDArray[np.int64]
    n_times: float
    n_bytes: int


def sample_store(folder: Path, checkpoint: Checkpoint, recipe: PretrainRecipe) -> Sample:
    """All of the store in ``folder``, of which only what batches need is read.

    Raises InputError: it is damaged, or not for this model. OptionError: it has no validation part.
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
    """The first sequences of each file, of which as many validate as the recipe holds out for that.

    Raises InputError: a file is at fault, or holds too little.
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
    """The share of a file that was read, after ``n_records`` of its records: in rows of Parquet, which is not
    read in the order of its bytes, and in bytes of other files.
    """
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq  # takes a third of a second

        n_rows: int = pq.read_metadata(stream).num_rows
        return min(1.0, n_records / n_rows)
    return min(1.0, stream.tell() / path.stat().st_size)
