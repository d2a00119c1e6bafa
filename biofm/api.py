"""The public verbs.

Each builds a request, asks the gate, works with the permit's files, and lets the gate record the end.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from biofm.core import Progress, Provenance, StageProgress, sha256_of
from biofm.core.errors import InputError, OutputError
from biofm.core.stores import ProvenanceFields, check_suffix, open_store, provenance_path
from biofm.gate import ask, person
from biofm.gate.inputs import STANDARD_INPUT
from biofm.inference import Compute, Embedder, EmbedOptions, choose_compute, place
from biofm.inference.intake import Intake
from biofm.inference.neighbours import Neighbours, find_neighbours, read_h5ad
from biofm.inference.pooling import PoolName
from biofm.inference.records import Sequences, read_corpus, records_of_file, records_of_values
from biofm.inference.results import Embeddings, EmbedSummary
from biofm.inference.to_store import embed_to_store
from biofm.models import (
    HUB_IDS,
    Checkpoint,
    Location,
    ModelInfo,
    bundled_models,
    describe,
    fetch,
    files_of,
    locate,
    new_protein_model,
    read_checkpoint,
    write_checkpoint,
)
from biofm.policy import Request, Target, Verb
from biofm.report import check_figure_suffix, draw_neighbours
from biofm.training import PretrainSummary, Recipe, run_pretraining

DEFAULT_MODEL = "protein-nano"
HUB = "huggingface.co"


class Model:
    """A loaded model. Its verbs pass the gate like every other."""

    def __init__(self, checkpoint: Checkpoint, compute: Compute, info: ModelInfo) -> None:
        self.checkpoint = checkpoint
        self.compute = compute
        self.info = info
        self._encoder = place(checkpoint.module.encoder, compute)

    def embed(
        self,
        sequences: Sequences,
        *,
        pool: PoolName = "mean",
        layer: int = -1,
        window: int | None = None,
        tokens_per_batch: int | None = None,
        on_error: str = "stop",
    ) -> Embeddings:
        """Embed records, (id, sequence) pairs or bare sequences; the options are those of ``biofm.embed``.

        Raises InputError: a sequence is empty or holds a character of no protein alphabet. OptionError: an
        option does not fit.
        """
        embedder = self.embedder(
            EmbedOptions(pool=pool, layer=layer, window=window, tokens_per_batch=tokens_per_batch)
        )
        notices: Counter[str] = Counter()
        with ask(_request("embed", model=self.info.name)):
            blocks = list(embedder.stream(records_of_values(sequences, notices, on_error=on_error), notices))
        return Embeddings(
            ids=[id_ for block in blocks for id_ in block.ids],
            n_residues=[n for block in blocks for n in block.n_residues],
            values=np.concatenate(
                [np.empty((0, self.info.d_model), np.float32), *(block.values for block in blocks)]
            ),
            provenance=self.provenance(embedder),
            notices=dict(notices),
        )

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the model as a folder that ``load`` reads; one of ESM-2 is in the layout of ``transformers``,
        which reads it too.
        """
        target = Target(path=Path(folder), kind="directory", overwrite=overwrite)
        with ask(_request("save", writes={"model": target}, model=self.info.name)) as permit:
            for name, content in write_checkpoint(self.checkpoint).items():
                # Renamed, not written over: weights in memory may be a view of the very file of this name.
                partial = permit.folder("model") / f".{name}.partial"
                partial.write_bytes(content)
                partial.replace(permit.folder("model") / name)

    def embedder(self, options: EmbedOptions) -> Embedder:
        return Embedder(self._encoder, self.checkpoint.tokenizer, self.compute, options)

    def provenance(self, embedder: Embedder) -> ProvenanceFields:
        """How ``embedder`` makes its numbers, to be kept beside them."""
        return Provenance(
            model=self.info.name,
            sha256=self.info.sha256,
            dtype=self.compute.dtype_name,
            device=self.compute.device.type,
            pooling=embedder.options.pool,
            layer=embedder.layer,
            window=embedder.options.window or 0,
        ).as_dict()


def load(model: str | Path = DEFAULT_MODEL, *, device: str = "auto", dtype: str = "auto") -> Model:
    """Load a model: a bundled one, an alias such as ``esm2-8m``, a hub id, a Hugging Face folder or a fair-
    esm ``.pt`` file.

    Raises ModelError: no such model, or its files are damaged, incomplete or not plain weights. OptionError:
    no such device.
    """
    compute = choose_compute(device, dtype)
    with _open_model(str(model)) as (files, where):
        checkpoint = read_checkpoint(files, where)
        return Model(checkpoint, compute, _describe(str(model), checkpoint, files))


def info(model: str | Path = DEFAULT_MODEL) -> ModelInfo:
    """What a model is, read from its files. Raises as ``load`` does."""
    with _open_model(str(model)) as (files, where):
        return _describe(str(model), read_checkpoint(files, where), files)


def models() -> dict[str, str]:
    """The names that ``load`` knows, each with where its weights come from."""
    return dict.fromkeys(bundled_models(), "bundled with biofm") | HUB_IDS


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
    request = _request("embed", reads={"input": (source,)}, writes=writes, model=str(model))
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
    with ask(_request("neighbours", reads={"input": (source,)}, writes=writes)) as permit:
        found = find_neighbours(*read_h5ad(permit.reader("input"), str(source)), str(source))
        if picture:
            draw_neighbours(found.ids, found.similarity, permit.writer("picture"), Path(picture).suffix)
    return found


def pretrain(
    inputs: Sequence[str | Path],
    output: str | Path,
    recipe: Recipe,
    *,
    size: str = "nano",
    start_from: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    column: str | None = None,
    on_error: str = "stop",
    resume: bool = False,
    quiet: bool = True,
) -> PretrainSummary:
    """Train a protein model by masked-language modelling on the proteins of ``inputs``, and judge it on held-
    out ones.

    A new model of ``size``, or ``start_from`` a named one. Everything is written into the folder ``output``;
    ``resume`` goes on with a run that was interrupted there.

    Raises InputError, OutputError, ModelError, OptionError.
    """
    compute = choose_compute(device, dtype)
    paths = tuple(Path(path) for path in inputs)
    _check_run(paths, Path(output), resume)
    writes = {"run": Target(path=Path(output), kind="directory", overwrite=resume)}
    request = _request("pretrain", reads={"input": paths}, writes=writes, model=start_from or f"a new {size}")
    notices: Counter[str] = Counter()
    with ask(request) as permit:
        corpus = read_corpus(
            permit.readers("input"), _short_names(paths), notices, on_error=on_error, column=column
        )
        if start_from:
            checkpoint = load(start_from, device=device).checkpoint
        else:
            checkpoint = new_protein_model(size, trained_length=recipe.max_length, seed=recipe.seed)
        with StageProgress(quiet=quiet) as bar:
            summary = run_pretraining(corpus, checkpoint, recipe, compute, permit.folder("run"), bar.update)
    return replace(summary, notices=dict(notices))


def _check_run(inputs: Sequence[Path], output: Path, resume: bool) -> None:
    """What the gate cannot know: that a run reads its inputs twice, and how one goes on with a run."""
    if STANDARD_INPUT in inputs:
        what = "a run reads its input more than once, which a pipe does not allow"
        raise InputError(what, where="-", remedy="Write the proteins into a file first")
    if not resume and any(output.glob("*")):
        remedy = "Pass --resume to go on with the run in it, or choose another folder"
        raise OutputError("the folder is not empty", where=str(output), remedy=remedy)


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The files' names, with their folders where two files share a name."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


@contextmanager
def _open_model(name: str) -> Iterator[tuple[dict[str, BinaryIO], str]]:
    """The opened files of a model by their names, downloaded first if they are on the hub, and where they
    lie.
    """
    location = locate(name)
    path = location.path or _fetch(location)
    files = files_of(path)
    with ask(_request("load", reads={"model": files}, model=name)) as permit:
        handles = permit.readers("model")
        yield {file.name: handle for file, handle in zip(files, handles, strict=True)}, str(path)


def _fetch(location: Location) -> Path:
    with ask(_request("fetch", contacts=(HUB,), model=location.hub_id)):
        return fetch(location)


def _describe(name: str, checkpoint: Checkpoint, files: Mapping[str, BinaryIO]) -> ModelInfo:
    weights = [handle for file, handle in files.items() if not file.endswith(".json")]
    return describe(name, checkpoint, sha256_of(weights), tuple(files))


def _request(
    verb: Verb,
    *,
    reads: Mapping[str, tuple[Path, ...]] | None = None,
    writes: Mapping[str, Target] | None = None,
    contacts: tuple[str, ...] = (),
    model: str = "",
) -> Request:
    return Request(
        verb=verb, principal=person(), reads=reads or {}, writes=writes or {}, contacts=contacts, model=model
    )
