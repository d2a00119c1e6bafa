"""Loaded models: a model holds its weights and applies the verbs to sequences in memory."""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from biofm_datasets import Record
from biofm_datasets.protein import Gaps
from numpy.typing import NDArray

from biofm.api.plain_values import plain
from biofm.api.request import request_of
from biofm.core import ModelProvenance, Provenance
from biofm.core.bounds import check_bound
from biofm.core.choices import OnError, PerplexityMethod, PoolName, ScoreMethod
from biofm.core.errors import ModelError
from biofm.core.outputs import ProvenanceFields
from biofm.core.text import format_notice
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
    """Holds a loaded model, whose methods are verbs and ask the gate as every verb does.

    Attributes:
        checkpoint: The module with its weights as they were stored, and its tokenizer.
        compute: The device and the precision in which the model runs.
        info: The description of the model.
    """

    def __init__(self, checkpoint: Checkpoint, compute: Compute, info: ModelInfo) -> None:
        self.checkpoint = checkpoint
        self.compute = compute
        self.info = info
        self._module = place(checkpoint.module, compute)

    @property
    def modality(self) -> Modality:
        """The modality that the model reads, such as protein."""
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
        """Embed sequences, one row for each sequence or for each unit of it.

        Args:
            sequences: Bare sequences, (id, sequence) pairs, records, a mapping or a Series from id to
                sequence, or a table in memory (pandas, polars, Arrow) with a ``column``.
            pool: How the vectors of the units become one: mean, cls or max; none keeps a row for each unit.
            layer: The layer to take: 0 is the token embeddings, -1 the last layer with the final norm.
            window: Length of a window in units; longer sequences run by windows that overlap by half. None
                runs them whole.
            tokens_per_batch: The most tokens of one batch; None lets the kind of device decide.
            column: The column of sequences of a table.
            id_column: The column of ids of a table; None takes ``id`` or, without one, numbers the rows.
            gaps: What happens to the gaps of an alignment: drop, keep or refuse.
            modality: What the sequences are; letters that look like DNA or a molecule are then read all the
                same. None takes what the model reads, and refuses these letters.
            on_error: stop raises an error for a faulty sequence, skip leaves it out and counts it.

        Raises:
            InputError: A sequence is empty, holds a character that is not in the alphabet, or is longer than
                the learned positions of an ESM-1b or ESM-1v without a ``window``.
            OptionError: An option is out of range; or the embeddings of a sequence are not finite in this
                dtype (with ``on_error`` "skip" its rows are NaN).
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
        """Predict for every pair of residues the probability that they touch.

        Args:
            sequences: Sequences as ``embed`` takes them.
            tokens_per_batch: As in ``embed``.
            column: As in ``embed``.
            id_column: As in ``embed``.
            gaps: As in ``embed``.
            modality: As in ``embed``.
            on_error: As in ``embed``.

        Raises:
            InputError: A sequence is empty, too long, or holds a character that is not in the alphabet.
            ModelError: This model is causal, or has no contact head.
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
        """Score variants of one protein, and return a score for each, in their order.

        A score is a natural logarithm: the wild type has 0, and a likelier variant a higher score. A variant
        that makes no protein (a stop codon, a frameshift, an empty text) has NaN. A warning says so, and also
        what was changed of a sequence.

        Args:
            wild_type: The sequence or the record of the wild type.
            variants: A list, an array or a Series of texts, such as A24G, A24G:T30P or p.Ala24Gly.
            method: masked-marginals masks each changed residue; wt-marginals shows the whole wild type in one
                run; pseudo-perplexity masks every residue in turn.
            offset: What is subtracted from the residue numbers of the variants.
            modality: As in ``embed``.
            dtype: The precision of the scores' computation, whatever the precision of the embeddings.
            tokens_per_batch: As in ``embed``.

        Raises:
            InputError: A variant cannot be read, or does not fit the wild type.
            ModelError: The model is causal, or has no language-model head.
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
        """Return the perplexity of each sequence, in their order; a skipped sequence has NaN.

        A warning says what was changed of a sequence, and what was skipped.

        Args:
            sequences: Sequences as ``embed`` takes them.
            method: pseudo masks each residue once, one at a time; single-pass shows all in one run.
            dtype: The precision of the computation, whatever the precision of the embeddings.
            tokens_per_batch: As in ``embed``.
            column: As in ``embed``.
            id_column: As in ``embed``.
            gaps: As in ``embed``.
            modality: As in ``embed``.
            on_error: As in ``embed``.

        Raises:
            InputError: A sequence cannot be read.
            ModelError: The model is causal, or has no language-model head.
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
        """Write the model as a folder that ``load`` reads.

        A model of a published family has the layout of ``transformers``, which reads it too.

        Args:
            folder: The folder to write.
            overwrite: Whether to replace existing files.
        """
        target = Target(path=Path(folder), kind="directory", overwrite=overwrite)
        options: dict[str, Plain] = {"folder": str(target.path), "overwrite": overwrite}
        request = request_of("save", options=options, writes={"model": target}, model=self.info.name)
        with ask(request) as permit:
            for name, content in write_checkpoint(self.checkpoint).items():
                # Rename, because the weights in memory may be a view of the file that is replaced.
                partial = permit.folder("model") / f".{name}.partial"
                partial.write_bytes(content)
                partial.replace(permit.folder("model") / name)

    def _request(self, verb: str, **options: Any) -> Request:
        """Return the request of a verb on sequences in memory; ``options`` have their declared names."""
        given = {name: plain(value) for name, value in options.items()}
        return request_of(verb, options=given, model=self.info.name)

    def in_dtype(self, dtype: str) -> "Model":
        """Return this model on the same device in another dtype, from the weights as they were stored.

        Raises:
            OptionError: There is no such dtype.
        """
        compute = choose_compute(str(self.compute.device), dtype)
        return self if compute.dtype is self.compute.dtype else Model(self.checkpoint, compute, self.info)

    def embedder(self, options: EmbedOptions) -> Embedder:
        """Return the embedder of this model, or raise OptionError if the options do not suit it."""
        return Embedder(self._module.encoder, self.checkpoint.tokenizer, self.compute, options)

    def contact_mapper(self, tokens_per_batch: int | None = None) -> ContactMapper:
        """Return what predicts contacts by this model.

        Raises:
            ModelError: The model is causal, or has no contact head.
            OptionError: ``tokens_per_batch`` is out of bounds.
        """
        self._refuse_causal("but contacts depend on residues on both sides")
        if self._module.contacts is None:
            raise ModelError(
                "this model has no trained contact head",
                where=self.info.name,
                remedy="Use an ESM-2, such as esm2-8m, or esm1b; a fair-esm file NAME.pt needs "
                "NAME-contact-regression.pt beside it",
            )
        return ContactMapper(self._module, self.checkpoint.tokenizer, self.compute, tokens_per_batch)

    def contact_provenance(self, gaps: Gaps) -> ProvenanceFields:
        """Return everything that decides the contacts, for the file of the contacts."""
        return ModelProvenance(
            model=self.info.name,
            sha256=self.info.sha256,
            **self.checkpoint.tokenizer.provenance,
            dtype=self.compute.dtype_name,
            device=self.compute.device.type,
        ).as_dict() | {"gaps": gaps}

    def scoring_model(self, tokens_per_batch: int | None = None) -> ScoringModel:
        """Return what scores by this model, which predicts a residue from those on both sides of it.

        Raises:
            ModelError: The model is causal, or has no language-model head.
            OptionError: ``tokens_per_batch`` is out of bounds.
        """
        self._refuse_causal("but scores depend on residues on both sides")
        if self._module.head is None:
            what = "this checkpoint has no language-model head, so it predicts no residues"
            raise ModelError(what, where=self.info.name, remedy="Use a checkpoint that has one")
        check_bound("tokens_per_batch", tokens_per_batch, "--tokens-per-batch")
        tokenizer = self.checkpoint.tokenizer
        runner = QueryRunner(self._module, tokenizer.mask, self.compute, tokens_per_batch)
        return ScoringModel(runner, tokenizer, self._module.config.trained_length, self.info.sha256)

    def _refuse_causal(self, reason: str) -> None:
        """Raise ModelError if the model is causal; ``reason`` ends its message."""
        if self._module.config.causal:
            what = f"this model is causal: it sees only the residues before each residue, {reason}"
            remedy = "Use a model that was trained on masked residues; this one can embed"
            raise ModelError(what, where=self.info.name, remedy=remedy)

    def provenance(self, embedder: Embedder, gaps: Gaps) -> ProvenanceFields:
        """Return everything that decides the embeddings of ``embedder``, for the file of the embeddings."""
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
    """Yield the records unchanged, and append the number of each to ``numbers``."""
    for record in records:
        numbers.append(record.number)
        yield record


def _warn_of(notices: Mapping[str, int]) -> None:
    """Warn the caller of what was changed in the sequences, because an array has no place for notices."""
    for notice, count in notices.items():
        warnings.warn(format_notice(notice, count), stacklevel=3)
