"""A model in hand: loading it, what it is, and its verbs."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from biofm.api.request import request_of
from biofm.core import Provenance, sha256_of
from biofm.core.stores import ProvenanceFields
from biofm.gate import ask
from biofm.inference import Compute, Embedder, EmbedOptions, choose_compute, place
from biofm.inference.pooling import PoolName
from biofm.inference.records import Sequences, records_of_values
from biofm.inference.results import Embeddings
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
    read_checkpoint,
    write_checkpoint,
)
from biofm.policy import Target

DEFAULT_MODEL = "protein-nano"
HUB = "huggingface.co"


class Model:
    """A loaded model. Its verbs pass the gate like every other."""

    def __init__(self, checkpoint: Checkpoint, compute: Compute, info: ModelInfo) -> None:
        self.checkpoint = checkpoint
        self.compute = compute
        self.info = info
        self._module = place(checkpoint.module, compute)

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

        Raises InputError: a sequence is empty, holds a character of no protein alphabet, or goes beyond the
        learned positions of an ESM-1b or ESM-1v without a ``window``. OptionError: an option does not fit.
        """
        embedder = self.embedder(
            EmbedOptions(pool=pool, layer=layer, window=window, tokens_per_batch=tokens_per_batch)
        )
        notices: Counter[str] = Counter()
        with ask(request_of("embed", model=self.info.name)):
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
        """Write the model as a folder that ``load`` reads; one of a published family is in the layout of
        ``transformers``, which reads it too.
        """
        target = Target(path=Path(folder), kind="directory", overwrite=overwrite)
        with ask(request_of("save", writes={"model": target}, model=self.info.name)) as permit:
            for name, content in write_checkpoint(self.checkpoint).items():
                # Renamed, not written over: weights in memory may be a view of the very file of this name.
                partial = permit.folder("model") / f".{name}.partial"
                partial.write_bytes(content)
                partial.replace(permit.folder("model") / name)

    def embedder(self, options: EmbedOptions) -> Embedder:
        return Embedder(self._module.encoder, self.checkpoint.tokenizer, self.compute, options)

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
    """Load a model: a bundled one, an alias such as ``esm2-8m``, a hub id, a Hugging Face folder, a ``.pt``
    file of fair-esm or a ``.pth`` file of esm.

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


@contextmanager
def _open_model(name: str) -> Iterator[tuple[dict[str, BinaryIO], str]]:
    """The opened files of a model by their names, downloaded first if they are on the hub, and where they
    lie.
    """
    location = locate(name)
    path = location.path or _fetch(location)
    files = files_of(path)
    with ask(request_of("load", reads={"model": files}, model=name)) as permit:
        handles = permit.readers("model")
        yield {file.name: handle for file, handle in zip(files, handles, strict=True)}, str(path)


def _fetch(location: Location) -> Path:
    with ask(request_of("fetch", contacts=(HUB,), model=location.hub_id)):
        return fetch(location)


def _describe(name: str, checkpoint: Checkpoint, files: Mapping[str, BinaryIO]) -> ModelInfo:
    weights = [handle for file, handle in files.items() if not file.endswith(".json")]
    return describe(name, checkpoint, sha256_of(weights), tuple(files))
