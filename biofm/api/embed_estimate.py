"""``estimate_embed``: what an embedding will take."""

from collections import Counter
from pathlib import Path

from biofm_datasets.protein import Gaps

from biofm.api.model import DEFAULT_MODEL, load
from biofm.api.paths import path_of
from biofm.api.request import request_of
from biofm.core.stores import check_suffix
from biofm.gate import ask
from biofm.gate.inputs import STANDARD_INPUT
from biofm.inference import EmbedOptions
from biofm.inference.estimate import Estimate, estimate_embedding
from biofm.inference.pooling import PoolName
from biofm.inference.shards import WHOLE, Shard
from biofm.modalities.records import RecordOptions, records_of_file


def estimate_embed(
    input: str | Path,
    output: str | Path,
    *,
    model: str | Path = DEFAULT_MODEL,
    pool: PoolName = "mean",
    layer: int = -1,
    window: int | None = None,
    dtype: str = "auto",
    device: str = "auto",
    tokens_per_batch: int | None = None,
    format: str | None = None,
    column: str | None = None,
    id_column: str | None = None,
    gaps: Gaps = "drop",
    modality: str | None = None,
    on_error: str = "stop",
    shard: str | None = None,
) -> Estimate:
    """What ``embed`` of the same arguments will take in time, memory and space on the disk.

    Reads the whole file, and embeds a sample of it for some seconds; writes nothing, so that ``output`` may
    exist. Takes some 50 bytes of memory a protein.

    Raises InputError, OutputError, ModelError, OptionError.
    """
    source, suffix = path_of(input), check_suffix(Path(output))
    options = EmbedOptions(pool=pool, layer=layer, window=window, tokens_per_batch=tokens_per_batch)
    reading = RecordOptions(
        format=format, column=column, id_column=id_column, on_error=on_error, gaps=gaps, modality=modality
    )
    share = WHOLE if shard is None else Shard.parse(shard)
    notices: Counter[str] = Counter()
    name = "standard input" if source == STANDARD_INPUT else str(source)
    with ask(request_of("estimate", reads={"input": (source,)}, model=str(model))) as permit:
        loaded = load(model, device=device, dtype=dtype)
        embedder = loaded.embedder(options)
        records = records_of_file(permit.reader("input"), name, loaded.modality, reading, notices)
        return estimate_embedding(
            embedder,
            records,
            share,
            suffix,
            notices,
            dtype_reason=loaded.compute.reason,
            provenance=loaded.provenance(embedder, gaps),
        )
