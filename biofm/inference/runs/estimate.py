"""Estimate: predict the time, the memory and the space on the disk that an embedding run will take.

The input is counted, a sample of it is timed, and the rest follows from the shape of the model and from the
file formats.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from biofm_datasets import Record
from numpy.typing import NDArray

from biofm.core.outputs import ProvenanceFields
from biofm.core.outputs.h5ad import CHUNK_BYTES, N_CHUNK_LABELS
from biofm.core.outputs.parquet import ROW_GROUP_BYTES
from biofm.inference.embed import Embedder
from biofm.inference.engine import BATCHES_PER_CHUNK
from biofm.inference.limits import FLOAT_BYTES, MemoryWatch, activation_bytes
from biofm.inference.runs.shards import Shard
from biofm.inference.runs.survey import SEED, Survey, survey
from biofm.modalities import Item

SAMPLE_SECONDS = 5.0
NUMBER_BYTES = 8

# For the library of the output's format, a block of rows, records that are read ahead, the journal's cache.
STREAMING_BYTES = 80 << 20
TEXT_BYTES = 70 << 20  # for a block of rows as text
ARROW_BYTES = 70 << 20  # for Arrow, which keeps the memory that it has freed


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedEstimate:
    """Tells what an embedding run will take.

    Attributes:
        n_sequences: How many sequences the shard has.
        n_unique: How many of them are different.
        n_residues: How many residues all of them have together.
        n_tokens: How many tokens the model will process; equal sequences are processed once.
        longest: Length of the longest sequence in residues.
        n_rows: How many rows the output will have.
        n_dimensions: How many numbers a row will have.
        seconds: The time to read the input, as measured, and to run all tokens at the speed of the sample.
        sample_tokens: How many tokens the sample had.
        sample_seconds: How long the sample took.
        memory_bytes: The highest memory on the host: the sum of ``memory_parts``, or the peak of loading the
            model if that is more.
        memory_parts: The parts of that memory in bytes, by name.
        device_bytes: The highest memory of a device that is not the CPU; else 0.
        output_bytes: The size of the output in each format, by the suffix of its name.
        scratch_bytes: The size of the journal, which lies beside the output until that is complete.
        dtype_reason: Why the model runs in its dtype, in words.
        provenance: How the embeddings would be made.
        notices: What would be changed or skipped, as a phrase and how often it happens.
    """

    n_sequences: int
    n_unique: int
    n_residues: int
    n_tokens: int
    longest: int
    n_rows: int
    n_dimensions: int
    seconds: float
    sample_tokens: int
    sample_seconds: float
    memory_bytes: int
    memory_parts: Mapping[str, int]
    device_bytes: int
    output_bytes: Mapping[str, int]
    scratch_bytes: int
    dtype_reason: str
    provenance: ProvenanceFields
    notices: Mapping[str, int]


def estimate_embedding(
    embedder: Embedder,
    records: Iterable[Record],
    shard: Shard,
    suffix: str,
    notices: Counter[str],
    *,
    dtype_reason: str,
    provenance: ProvenanceFields,
) -> EmbedEstimate:
    """Read all records, embed a sample of them, and estimate what the run will take.

    Args:
        embedder: The embedder. Its model must just have been loaded: the memory of loading is part of the
            estimate.
        records: The records of the whole input.
        shard: The part of the input that the run will embed.
        suffix: The suffix of the output's name, such as ".h5ad".
        notices: Counts what a reader of the result should know.
        dtype_reason: Why the model runs in its dtype, in words.
        provenance: How the embeddings would be made.

    Raises:
        InputError: A record is at fault, or too long for the model or for the memory.
    """
    memory = MemoryWatch()
    began = perf_counter()
    found = survey((p for p in embedder.tokenise(records, notices) if shard.holds(p.key)), embedder)
    reading_seconds = perf_counter() - began
    with memory.sampling():
        sample = _time(embedder, found.sample)
    per_residue = embedder.is_per_residue
    sizes = output_bytes(found, sample.values, per_residue=per_residue)
    parts, device_bytes = _memory(memory, embedder, found, suffix, sizes[suffix])
    return EmbedEstimate(
        n_sequences=found.n_sequences,
        n_unique=found.n_unique,
        n_residues=found.n_residues,
        n_tokens=found.n_tokens,
        longest=found.longest,
        n_rows=found.n_residues if per_residue else found.n_sequences,
        n_dimensions=embedder.config.d_model,
        seconds=reading_seconds + found.n_tokens * sample.seconds / max(1, sample.n_tokens),
        sample_tokens=sample.n_tokens,
        sample_seconds=sample.seconds,
        memory_bytes=memory.highest(parts),
        memory_parts=parts,
        device_bytes=device_bytes,
        output_bytes=sizes,
        scratch_bytes=scratch_bytes(found, embedder.config.d_model, per_residue=per_residue),
        dtype_reason=dtype_reason,
        provenance=provenance,
        notices=dict(notices),
    )


@dataclass(frozen=True, slots=True)
class _Timed:
    """Holds how many tokens a sample had, how long they took, and its rows."""

    n_tokens: int
    seconds: float
    values: NDArray[np.float32]


def _time(embedder: Embedder, sample: list[Item]) -> _Timed:
    """Embed batches of the sample, made as in a run, in random order, for ``SAMPLE_SECONDS``."""
    chunk = next(embedder.chunks(sample), [])
    made = [[chunk[place] for place in places] for places in embedder.batches(chunk)]
    random.Random(SEED).shuffle(made)
    n_tokens, values = 0, [embedder.no_rows()]

    def count(n: int, _: int) -> None:
        nonlocal n_tokens
        n_tokens += n

    if made:
        embedder.embed_new(made[0], ())  # not timed: the first batch of a process is slow
    began = perf_counter()
    for batch in made:
        values += embedder.embed_new(batch, (), count).values()
        if perf_counter() - began > SAMPLE_SECONDS:
            break
    return _Timed(n_tokens, perf_counter() - began, np.concatenate(values))


def _memory(
    memory: MemoryWatch, embedder: Embedder, found: Survey, suffix: str, n_output_bytes: int
) -> tuple[dict[str, int], int]:
    """Estimate the bytes that a run takes on the host, part by part, and those on another device."""
    d_model, window = embedder.config.d_model, embedder.options.window
    longest = min(found.longest, window or found.longest) + embedder.tokenizer.n_special
    n_batch_tokens = min(max(embedder.tokens_per_batch, longest), found.n_tokens)
    activations = activation_bytes(embedder.config, embedder.dtype, n_batch_tokens)
    n_chunk_rows = min(max(_chunk_tokens(embedder), found.longest), found.unique_residues)
    rows = 2 * FLOAT_BYTES * d_model * n_chunk_rows if embedder.is_per_residue else 0
    buffers = STREAMING_BYTES
    if suffix == ".csv":
        buffers += TEXT_BYTES
    if suffix == ".parquet":  # a row group is there three times: as rows, as a table, and compressed
        buffers += ARROW_BYTES + 3 * min(ROW_GROUP_BYTES, n_output_bytes)
    others = {"rows of a chunk": rows, "buffers": buffers}
    if embedder.device.type == "cpu":
        return memory.parts(activations, others), 0
    weights = sum(weight.nbytes for weight in embedder.encoder.parameters())
    return memory.parts(0, others), weights + activations


def _chunk_tokens(embedder: Embedder) -> int:
    """Return the number of tokens of a full chunk."""
    return BATCHES_PER_CHUNK * embedder.tokens_per_batch


def output_bytes(counted: Survey, values: NDArray[np.float32], *, per_residue: bool) -> dict[str, int]:
    """Estimate the bytes of the output in each format, by suffix, from some of its rows (``values``)."""
    d_model = values.shape[1]
    n_rows = counted.n_residues if per_residue else counted.n_sequences
    floats = FLOAT_BYTES * n_rows * d_model
    ids = counted.id_bytes
    row_ids = ids * counted.n_residues // max(1, counted.n_sequences) if per_residue else ids
    arrays = floats + NUMBER_BYTES * counted.n_sequences + counted.cell_bytes
    row_cells = counted.cell_bytes * n_rows // max(1, counted.n_sequences)
    return {
        ".h5ad": _h5ad(n_rows, d_model, row_ids, per_residue) + row_cells,
        ".parquet": floats + (0 if per_residue else NUMBER_BYTES // 2 * n_rows) + ids + counted.cell_bytes,
        ".npz": arrays + 4 * counted.longest_id * counted.n_sequences,
        ".safetensors": arrays + NUMBER_BYTES * counted.n_sequences + ids,
        ".csv": n_rows * (_text_bytes(values) + (10 if per_residue else 5)) + row_ids + row_cells,
    }


def scratch_bytes(counted: Survey, d_model: int, *, per_residue: bool) -> int:
    """Estimate the bytes of the journal.

    It holds the rows of the different sequences, their keys with an index, and the records.
    """
    n_rows = counted.unique_residues if per_residue else counted.n_unique
    n_text_bytes = counted.id_bytes + counted.cell_bytes
    return FLOAT_BYTES * d_model * n_rows + 80 * counted.n_unique + 50 * counted.n_sequences + n_text_bytes


def _h5ad(n_rows: int, d_model: int, row_ids: int, per_residue: bool) -> int:
    """Estimate the bytes of an .h5ad file.

    Its chunks are whole. A text takes 16 bytes in its array, and 16 bytes besides its own in a heap, rounded
    up to a multiple of 8.
    """
    n_chunk_rows = max(1, CHUNK_BYTES // (FLOAT_BYTES * d_model))
    values = -(-n_rows // n_chunk_rows) * n_chunk_rows * d_model * FLOAT_BYTES
    n_labels = -(-n_rows // N_CHUNK_LABELS) * N_CHUNK_LABELS
    texts = (2 if per_residue else 1) * (16 * n_labels + 20 * n_rows + row_ids)
    numbers = (2 if per_residue else 1) * NUMBER_BYTES * n_labels
    return values + texts + numbers + 32 * d_model


def _text_bytes(values: NDArray[np.float32]) -> float:
    """Return the average bytes of a row of numbers as text, each with its comma."""
    some = values[:: max(1, len(values) // 50)]
    return sum(len(str(value)) + 1 for value in some.ravel()) / len(some)
