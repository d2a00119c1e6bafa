"""What a run will take, before it begins: counted, timed on a sample, and reckoned from the model's shape."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from biofm_datasets import Record
from numpy.typing import NDArray

from biofm.core.outputs import ProvenanceFields
from biofm.core.outputs.parquet import ROW_GROUP_BYTES
from biofm.inference.embed import BATCHES_PER_CHUNK, Embedder
from biofm.inference.shards import Shard
from biofm.inference.sizes import FLOAT_BYTES, output_bytes, scratch_bytes
from biofm.inference.survey import SEED, Survey, survey
from biofm.inference.working_memory import MemoryWatch, activation_bytes
from biofm.modalities import Item
from biofm.nn import by_budget

SAMPLE_SECONDS = 5.0

# The library of the output's format, a block of rows on its way, records read ahead, the journal's cache.
STREAMING_BYTES = 80 << 20
TEXT_BYTES = 70 << 20  # a block of rows as text
ARROW_BYTES = 70 << 20  # its library, which keeps what it has freed


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedEstimate:
    """``n_tokens`` go through the model, those of identical sequences once; ``longest`` counts residues.

    ``seconds``: reading, as it was timed, and the tokens at the speed of ``sample_tokens``, taken in
    ``sample_seconds``. ``memory_bytes``: its highest, the sum of ``memory_parts`` or what loading the model
    took; ``device_bytes`` on a device that is not the CPU. ``output_bytes`` is by format; ``scratch_bytes``
    lie beside the output until it is whole.
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
    """Read all records, embed a sample of them, and reckon, for an output of that suffix. ``embedder``'s
    model has just been loaded.
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
    """Embed batches of the sample, as a run would make them, in random order, for some seconds."""
    chunk = next(embedder.chunks(sample), [])
    ordered = sorted(chunk, key=lambda item: len(item.tokens), reverse=True)
    made = [*by_budget(((p, len(p.tokens)) for p in ordered), embedder.tokens_per_batch)]
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
    """What a run takes on the host, part by part, and what it takes on another device."""
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
