"""Estimate: the time, memory and space on the disk that an embedding run will take.

The input is counted, a sample of it is timed, and the rest follows from the model's shape and the formats.
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

# The library of the output's format, a block of rows on its way, records read ahead, the journal's cache.
STREAMING_BYTES = 80 << 20
TEXT_BYTES = 70 << 20  # a block of rows as text
ARROW_BYTES = 70 << 20  # its library, which keeps what it has freed


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedEstimate:
    """What a run will take.

    - ``n_tokens`` go through the model, those of equal sequences once; ``longest`` is in residues.
    - ``seconds``: reading, as it was timed, and running all tokens at the speed of the sample, which was
      ``sample_tokens`` in ``sample_seconds``.
    - ``memory_bytes``: the highest, which is the sum of ``memory_parts`` or the peak of loading the model;
      ``device_bytes``: on a device that is not the CPU.
    - ``output_bytes``: the size of the output in each format, by suffix; ``scratch_bytes``: what lies beside
      the output until that is whole.
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
    """Read all records, embed a sample of them, and reckon what the run of ``shard`` takes.

    ``suffix`` is that of the output. The model of ``embedder`` has just been loaded.
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
        embedder.embed_new(made[0], ())  # the first batch of a process is slow
    began = perf_counter()
    for batch in made:
        values += embedder.embed_new(batch, (), count).values()
        if perf_counter() - began > SAMPLE_SECONDS:
            break
    return _Timed(n_tokens, perf_counter() - began, np.concatenate(values))


def _memory(
    memory: MemoryWatch, embedder: Embedder, found: Survey, suffix: str, n_output_bytes: int
) -> tuple[dict[str, int], int]:
    """Bytes that a run takes on the host, part by part, and bytes that it takes on another device."""
    d_model, window = embedder.config.d_model, embedder.options.window
    longest = min(found.longest, window or found.longest) + embedder.tokenizer.n_special
    n_batch_tokens = min(max(embedder.tokens_per_batch, longest), found.n_tokens)
    activations = activation_bytes(embedder.config, embedder.dtype, n_batch_tokens)
    n_chunk_rows = min(max(_chunk_tokens(embedder), found.longest), found.unique_residues)
    rows = 2 * FLOAT_BYTES * d_model * n_chunk_rows if embedder.is_per_residue else 0
    buffers = STREAMING_BYTES
    if suffix == ".csv":
        buffers += TEXT_BYTES
    if suffix == ".parquet":  # a row group gathers, and is there again as a table and compressed
        buffers += ARROW_BYTES + 3 * min(ROW_GROUP_BYTES, n_output_bytes)
    others = {"rows of a chunk": rows, "buffers": buffers}
    if embedder.device.type == "cpu":
        return memory.parts(activations, others), 0
    weights = sum(weight.nbytes for weight in embedder.encoder.parameters())
    return memory.parts(0, others), weights + activations


def _chunk_tokens(embedder: Embedder) -> int:
    return BATCHES_PER_CHUNK * embedder.tokens_per_batch


def output_bytes(counted: Survey, values: NDArray[np.float32], *, per_residue: bool) -> dict[str, int]:
    """Bytes of the output in each format, by suffix. ``values``: some of its rows, (rows, d)."""
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
    """Bytes of the journal: rows of the different sequences, their keys with an index, and the records."""
    n_rows = counted.unique_residues if per_residue else counted.n_unique
    n_text_bytes = counted.id_bytes + counted.cell_bytes
    return FLOAT_BYTES * d_model * n_rows + 80 * counted.n_unique + 50 * counted.n_sequences + n_text_bytes


def _h5ad(n_rows: int, d_model: int, row_ids: int, per_residue: bool) -> int:
    """Bytes of an .h5ad file.

    Its chunks are whole. A text takes 16 bytes in its array, and in a heap 16 and its own, rounded up to
    eights.
    """
    n_chunk_rows = max(1, CHUNK_BYTES // (FLOAT_BYTES * d_model))
    values = -(-n_rows // n_chunk_rows) * n_chunk_rows * d_model * FLOAT_BYTES
    n_labels = -(-n_rows // N_CHUNK_LABELS) * N_CHUNK_LABELS
    texts = (2 if per_residue else 1) * (16 * n_labels + 20 * n_rows + row_ids)
    numbers = (2 if per_residue else 1) * NUMBER_BYTES * n_labels
    return values + texts + numbers + 32 * d_model


def _text_bytes(values: NDArray[np.float32]) -> float:
    """Bytes of a row of numbers as text, each with its comma."""
    some = values[:: max(1, len(values) // 50)]
    return sum(len(str(value)) + 1 for value in some.ravel()) / len(some)
