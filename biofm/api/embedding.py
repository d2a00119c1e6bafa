"""``embed``, from file to file, and ``neighbours``, which compares what it wrote."""

from collections import Counter
from pathlib import Path

from biofm.api.model import DEFAULT_MODEL, load
from biofm.api.request import request_of
from biofm.core import Progress
from biofm.core.stores import check_suffix, open_store, provenance_path
from biofm.gate import ask
from biofm.gate.inputs import STANDARD_INPUT
from biofm.inference import EmbedOptions
from biofm.inference.intake import Intake
from biofm.inference.neighbours import Neighbours, find_neighbours, read_h5ad
from biofm.inference.pooling import PoolName
from biofm.inference.records import records_of_file
from biofm.inference.results import EmbedSummary
from biofm.inference.to_store import embed_to_store
from biofm.policy import Target
from biofm.report import check_figure_suffix, draw_neighbours


def embed(
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
    column: str | None = None,
    id_column: str | None = None,
    on_error: str = "stop",
    overwrite: bool = False,
    quiet: bool = True,
) -> EmbedSummary:
    """Embed the proteins of a file (FASTA, CSV, TSV, Parquet; ``-`` is standard input) into a file.

    ``output``'s suffix chooses the format: .h5ad, .parquet, .npz, .safetensors or .csv. ``pool`` is over
    residues, special tokens left out; "none" writes a row a residue. ``layer`` 0 is the token embeddings, -1
    the last layer with the final norm. ``window`` (residues) embeds longer proteins by windows that overlap
    by half. Order and duplicate ids are kept; memory does not grow with the file; the output appears under
    its name only when it is whole.

    Raises InputError, OutputError, ModelError, OptionError: each says what, where and what to do.
    """
    source, target = Path(input), Path(output)
    options = EmbedOptions(pool=pool, layer=layer, window=window, tokens_per_batch=tokens_per_batch)
    check_suffix(target)
    writes = {"output": Target(path=target, overwrite=overwrite)}
    if beside := provenance_path(target):
        writes["provenance"] = Target(path=beside, overwrite=overwrite)
    request = request_of("embed", reads={"input": (source,)}, writes=writes, model=str(model))
    notices: Counter[str] = Counter()
    name = "standard input" if source == STANDARD_INPUT else str(source)
    with ask(request) as permit:
        stream = permit.reader("input")
        records = records_of_file(
            stream, name, notices, on_error=on_error, column=column, id_column=id_column
        )
        loaded = load(model, device=device, dtype=dtype)
        embedder = loaded.embedder(options)
        store = open_store(
            permit.writer("output"),
            target.suffix,
            per_residue=pool == "none",
            scratch_folder=target.absolute().parent,
            provenance_file=permit.writer("provenance") if beside else None,
        )
        provenance = loaded.provenance(embedder)
        with Progress("embedding", quiet=quiet) as bar:
            tally = embed_to_store(embedder, Intake(records, stream), store, notices, bar)
        store.close(provenance)
    return EmbedSummary(
        output=str(target),
        dtype_reason=loaded.compute.reason,
        provenance=provenance,
        notices=dict(notices),
        **tally,
    )


def neighbours(
    embeddings: str | Path, *, picture: str | Path | None = None, overwrite: bool = False
) -> Neighbours:
    """The similarity of every pair of rows of an ``.h5ad`` file, as ``biofm embed`` wrote it, and a picture
    of it.

    Raises InputError: not such a file, or fewer than three rows. OutputError: ``picture`` cannot be written.
    """
    source = Path(embeddings)
    writes = {}
    if picture:
        check_figure_suffix(Path(picture))
        writes["picture"] = Target(path=Path(picture), overwrite=overwrite)
    with ask(request_of("neighbours", reads={"input": (source,)}, writes=writes)) as permit:
        found = find_neighbours(*read_h5ad(permit.reader("input"), str(source)), str(source))
        if picture:
            draw_neighbours(found.ids, found.similarity, permit.writer("picture"), Path(picture).suffix)
    return found
