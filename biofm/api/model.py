"""A model in hand, and its verbs on sequences in memory."""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from biofm_datasets import Record
from biofm_datasets.protein import Gaps
from numpy.typing import NDArray

from biofm.api.declaration import plain
from biofm.api.request import request_of
from biofm.core import ModelProvenance, Provenance
from biofm.core.bounds import check_bound
from biofm.core.choices import OnError, PerplexityMethod, PoolName, ScoreMethod
from biofm.core.errors import ModelError
from biofm.core.outputs import ProvenanceFields
from biofm.gate import ask
from biofm.inference import (
    EMPTY_ROWS,
    Compute,
    Embedder,
    Embeddings,
    EmbedOptions,
    QueryRunner,
    choose_compute,
    place,
)
from biofm.inference.contacts import ContactMapper, ContactMaps, short_enough
from biofm.inference.scoring import (
    ScoreOptions,
    Scorer,
    ScoringModel,
    cases_of_values,
    check_perplexity_method,
    perplexities,
)
from biofm.modalities import Modality
from biofm.modalities.modality import check_asked
from biofm.modalities.records import SKIPPED, RecordOptions, records_of_values
from biofm.modalities.values import Sequences
from biofm.models import Checkpoint, ModelInfo, write_checkpoint
from biofm.policy import Plain, Request, Target


class Model:
    """A loaded model. Its verbs pass the gate like every other."""

    def __init__(self, checkpoint: Checkpoint, compute: Compute, info: ModelInfo) -> None:
        self.checkpoint = checkpoint
        self.compute = compute
        self.info = info
        self._module = place(checkpoint.module, compute)

    @property
    def modality(self) -> Modality:
        """What the model reads."""
        return self.checkpoint.tokenizer.modality

    def embed(
        self,
        sequences: Sequences,
        *,
        pool: PoolName = "mean",
        layer: int = -1,
        window: int | None = None,
        tokens_per_batch: int | None = None,
        column: str | None = None,
        id_column: str | None = None,
        gaps: Gaps = "drop",
        modality: str | None = None,
        on_error: OnError = "stop",
    ) -> Embeddings:
        """Embed sequences: bare ones, (id, sequence) pairs, records, a mapping or a Series from id to
        sequence, or a table in memory (pandas, polars, Arrow) with the name of its ``column`` and
        perhaps of its ``id_column``. The options are those of ``biofm.embed``.

        Raises InputError: a sequence is empty, holds a character of no protein alphabet, or goes beyond the
        learned positions of an ESM-1b or ESM-1v without a ``window``. OptionError: an option does not fit,
        or the dtype: the embeddings of a sequence are not finite in it (with ``on_error`` "skip" its rows are
        NaN).
        """
        reading = RecordOptions(
            column=column, id_column=id_column, on_error=on_error, gaps=gaps, modality=modality
        )
        embedder = self.embedder(
            EmbedOptions(
                pool=pool, layer=layer, window=window, tokens_per_batch=tokens_per_batch, on_error=on_error
            )
        )
        request = self._request(
            "embed", pool=pool, layer=layer, window=window, tokens_per_batch=tokens_per_batch,
            column=column, id_column=id_column, gaps=gaps, modality=modality, on_error=on_error,
        )  # fmt: skip
        notices: Counter[str] = Counter()
        with ask(request):
            block = embedder.embed_all(records_of_values(sequences, self.modality, reading, notices), notices)
        return Embeddings(
            ids=block.ids,
            n_residues=block.n_residues,
            values=block.values,
            provenance=self.provenance(embedder, gaps),
            notices=dict(notices),
            columns=block.columns,
        )

    def contacts(
        self,
        sequences: Sequences,
        *,
        tokens_per_batch: int | None = None,
        column: str | None = None,
        id_column: str | None = None,
        gaps: Gaps = "drop",
        modality: str | None = None,
        on_error: OnError = "stop",
    ) -> ContactMaps:
        """The probability that two residues touch, for every pair; of sequences as ``embed`` takes them.

        Raises InputError: a sequence is empty, too long, or holds a character of no protein alphabet.
        ModelError: this model is causal, or has no contact head.
        """
        reading = RecordOptions(
            column=column, id_column=id_column, on_error=on_error, gaps=gaps, modality=modality
        )
        mapper = self.contact_mapper(tokens_per_batch)
        request = self._request(
            "contacts", tokens_per_batch=tokens_per_batch, column=column, id_column=id_column, gaps=gaps,
            modality=modality, on_error=on_error,
        )  # fmt: skip
        notices: Counter[str] = Counter()
        with ask(request):
            records = records_of_values(sequences, self.modality, reading, notices)
            kept = short_enough(records, mapper.longest, notices, on_error=on_error)
            maps = list(mapper.stream(kept, notices, on_error=on_error))
        return ContactMaps(maps=maps, provenance=self.contact_provenance(gaps), notices=dict(notices))

    def score(
        self,
        wild_type: Any,
        variants: Any,
        *,
        method: ScoreMethod = "masked-marginals",
        offset: int = 0,
        modality: str | None = None,
        dtype: str = "float32",
        tokens_per_batch: int | None = None,
    ) -> NDArray[np.float32]:
        """Scores of a protein's variants, one each, in order; the options are those of ``biofm.score``. The
        wild type is a sequence or a record, the variants are a list, an array or a Series of texts.
        ``dtype`` is theirs, whatever the model embeds in. What is changed of a sequence is a warning, and so
        is NaN for a variant that makes no protein: a stop codon, a frameshift, an empty text.

        Raises InputError: a variant that cannot be read or does not fit. ModelError: the model is causal, or
        predicts nothing.
        """
        options = ScoreOptions(method=method, offset=offset)
        notices: Counter[str] = Counter()
        request = self._request(
            "score", method=method, offset=offset, modality=modality, dtype=dtype,
            tokens_per_batch=tokens_per_batch,
        )  # fmt: skip
        with ask(request):
            scorer = Scorer([self.in_dtype(dtype).scoring_model(tokens_per_batch)], method)
            check_asked(modality, scorer.modality)
            insists = modality is not None
            cases = cases_of_values(wild_type, variants, scorer.modality, options, notices, insists=insists)
            _warn_of(notices)
            return scorer.read_and_score(cases)[:, 0]

    def perplexity(
        self,
        sequences: Sequences,
        *,
        method: PerplexityMethod = "pseudo",
        dtype: str = "float32",
        tokens_per_batch: int | None = None,
        column: str | None = None,
        id_column: str | None = None,
        gaps: Gaps = "drop",
        modality: str | None = None,
        on_error: OnError = "stop",
    ) -> NDArray[np.float32]:
        """Perplexities of sequences as ``embed`` takes them, one each, in order; the options are
        those of ``biofm.perplexity``. One that is skipped has NaN.

        What is changed of a sequence, and what is skipped, is a warning. Raises InputError and ModelError as
        ``score`` does.
        """
        check_perplexity_method(method)
        reading = RecordOptions(
            column=column, id_column=id_column, on_error=on_error, gaps=gaps, modality=modality
        )
        changed: Counter[str] = Counter()
        records = records_of_values(sequences, self.modality, reading, changed)
        request = self._request(
            "perplexity", method=method, dtype=dtype, tokens_per_batch=tokens_per_batch, column=column,
            id_column=id_column, gaps=gaps, modality=modality, on_error=on_error,
        )  # fmt: skip
        with ask(request):
            model = self.in_dtype(dtype).scoring_model(tokens_per_batch)
            found: Counter[str] = Counter()
            kept: list[int] = []
            noted = _note_numbers(records, kept)
            parts = list(perplexities(noted, model, method, found, on_error=on_error))
        _warn_of(changed + Counter({EMPTY_ROWS: found[EMPTY_ROWS]}))
        values = np.full(len(kept) + changed[SKIPPED], np.nan, np.float32)
        values[np.array(kept, np.int64) - 1] = np.concatenate([values[:0], *(part.values for part in parts)])
        return values

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the model as a folder that ``load`` reads; one of a published family is in the layout of
        ``transformers``, which reads it too.
        """
        target = Target(path=Path(folder), kind="directory", overwrite=overwrite)
        options: dict[str, Plain] = {"folder": str(target.path), "overwrite": overwrite}
        request = request_of("save", options=options, writes={"model": target}, model=self.info.name)
        with ask(request) as permit:
            for name, content in write_checkpoint(self.checkpoint).items():
                # Renamed, not written over: weights in memory may be a view of the very file of this name.
                partial = permit.folder("model") / f".{name}.partial"
                partial.write_bytes(content)
                partial.replace(permit.folder("model") / name)

    def _request(self, verb: str, **options: Any) -> Request:
        """The request of a verb on sequences in memory; ``options`` by the names of its declaration."""
        given = {name: plain(value) for name, value in options.items()}
        return request_of(verb, options=given, model=self.info.name)

    def in_dtype(self, dtype: str) -> "Model":
        """This model on the same device in another dtype, from the weights as they were stored.

        Raises OptionError for an unknown dtype.
        """
        compute = choose_compute(str(self.compute.device), dtype)
        return self if compute.dtype is self.compute.dtype else Model(self.checkpoint, compute, self.info)

    def embedder(self, options: EmbedOptions) -> Embedder:
        """The model as one that embeds. Raises OptionError where the options do not suit it."""
        return Embedder(self._module.encoder, self.checkpoint.tokenizer, self.compute, options)

    def contact_mapper(self, tokens_per_batch: int | None = None) -> ContactMapper:
        """The model as one that predicts which residues touch.

        Raises ModelError where the model is causal or has no contact head, and OptionError where
        ``tokens_per_batch`` is out of bounds.
        """
        self._refuse_causal("and residues touch those behind them as well")
        if self._module.contacts is None:
            raise ModelError(
                "this model has no trained contact head",
                where=self.info.name,
                remedy="Give an ESM-2, such as esm2-8m, or esm1b; a fair-esm NAME.pt needs "
                "NAME-contact-regression.pt beside it",
            )
        return ContactMapper(self._module, self.checkpoint.tokenizer, self.compute, tokens_per_batch)

    def contact_provenance(self, gaps: Gaps) -> ProvenanceFields:
        """Everything that decides the contacts, to be kept beside them."""
        return ModelProvenance(
            model=self.info.name,
            sha256=self.info.sha256,
            **self.checkpoint.tokenizer.provenance,
            dtype=self.compute.dtype_name,
            device=self.compute.device.type,
        ).as_dict() | {"gaps": gaps}

    def scoring_model(self, tokens_per_batch: int | None = None) -> ScoringModel:
        """The model as one that scores: it predicts a residue from those on both sides.

        Raises ModelError where the model is causal or has no language-model head, and OptionError where
        ``tokens_per_batch`` is out of bounds.
        """
        self._refuse_causal("and a residue is scored by what stands on both sides of it")
        if self._module.head is None:
            what = "this checkpoint has no language-model head, so it predicts no residues"
            raise ModelError(what, where=self.info.name, remedy="Get the checkpoint that has one")
        check_bound("tokens_per_batch", tokens_per_batch, "--tokens-per-batch")
        tokenizer = self.checkpoint.tokenizer
        runner = QueryRunner(self._module, tokenizer.mask, self.compute, tokens_per_batch)
        return ScoringModel(runner, tokenizer, self._module.config.trained_length, self.info.sha256)

    def _refuse_causal(self, reason: str) -> None:
        """Raise ModelError where the model is causal; ``reason`` ends its message."""
        if self._module.config.causal:
            what = f"this model is causal: it sees what stands before a residue alone, {reason}"
            remedy = "Give a model that was trained on masked residues, or embed with this one"
            raise ModelError(what, where=self.info.name, remedy=remedy)

    def provenance(self, embedder: Embedder, gaps: Gaps) -> ProvenanceFields:
        """Everything that decides the numbers of ``embedder``, to be kept beside them."""
        return Provenance(
            model=self.info.name,
            sha256=self.info.sha256,
            **self.checkpoint.tokenizer.provenance,
            dtype=self.compute.dtype_name,
            device=self.compute.device.type,
            pooling=embedder.options.pool,
            layer=embedder.layer,
            window=embedder.options.window or 0,
            gaps=gaps,
        ).as_dict()


def _note_numbers(records: Iterable[Record], numbers: list[int]) -> Iterator[Record]:
    """The records as they are; the number of each is added to ``numbers``."""
    for record in records:
        numbers.append(record.number)
        yield record


def _warn_of(notices: Mapping[str, int]) -> None:
    """Warn the caller of what was changed in the sequences, because the result has no place to say it."""
    for sentence, n_times in notices.items():
        warnings.warn(f"{sentence}: {n_times:,}", stacklevel=3)
