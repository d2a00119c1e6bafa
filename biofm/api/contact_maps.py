"""``contacts``: which residues touch, from file to file."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from biofm_datasets.protein import Gaps
from biofm_datasets.structures import read_chain

from biofm.api.model import load
from biofm.api.paths import path_of
from biofm.api.request import request_of
from biofm.api.table import table_targets
from biofm.core import Progress
from biofm.core.bounds import check_bound
from biofm.core.errors import OptionError, input_errors
from biofm.core.stores import ProvenanceFields, is_empty, provenance_path
from biofm.core.stores.contact_maps import PairFilter, check_contact_suffix, open_contact_store
from biofm.evaluation.contacts import MIN_SEPARATION, ContactPrecision, contact_precision
from biofm.gate import Permit, ask
from biofm.gate.inputs import STANDARD_INPUT
from biofm.inference.contacts import short_enough
from biofm.inference.contacts_to_store import contacts_to_store
from biofm.inference.focus import Focus
from biofm.inference.intake import Intake
from biofm.modalities.records import RecordOptions, records_of_file
from biofm.models.finiteness import not_finite, reason_of
from biofm.policy import Target
from biofm.report import check_figure_suffix, draw_contacts


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureSummary:
    """How the contacts of one protein agree with a structure.

    ``n_shown`` of its residues are in the structure, with ``n_contacts`` contacts, near ones along the chain
    left out; ``identity`` is that of the two sequences.
    """

    protein: str
    structure: str
    identity: float
    n_shown: int
    n_contacts: int
    precision: list[ContactPrecision]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsSummary:
    """What a run from file to file did; the contacts themselves are in ``output``."""

    output: str
    n_sequences: int
    n_residues: int
    n_tokens: int
    seconds: float
    tokens_per_second: float
    structure: StructureSummary | None
    dtype_reason: str
    provenance: ProvenanceFields
    notices: Mapping[str, int]


def contacts(
    input: str | Path,
    output: str | Path,
    *,
    model: str | Path,
    picture: str | Path | None = None,
    structure: str | Path | None = None,
    chain: str | None = None,
    protein: str | None = None,
    min_separation: int = MIN_SEPARATION,
    threshold: float | None = None,
    dtype: str = "auto",
    device: str = "auto",
    tokens_per_batch: int | None = None,
    format: str | None = None,
    column: str | None = None,
    id_column: str | None = None,
    gaps: Gaps = "drop",
    modality: str | None = None,
    on_error: str = "stop",
    overwrite: bool = False,
    quiet: bool = True,
) -> ContactsSummary:
    """Predict which residues of the proteins of a file touch, with a model that has a contact head.

    ``output``'s suffix chooses the format: .npz holds a whole matrix of probabilities a protein, .parquet and
    .csv a row a pair of residues that are ``min_separation`` apart along the chain and, if a ``threshold`` is
    given, so probable. ``structure`` (PDB or mmCIF) is compared with one protein and ``picture`` shows it:
    the only one of the input, or ``protein``. Proteins run whole, up to 10,000 residues.

    Raises InputError, OutputError, ModelError, OptionError: each says what, where and what to do.
    """
    source, target = path_of(input), Path(output)
    reading = RecordOptions(
        format=format, column=column, id_column=id_column, on_error=on_error, gaps=gaps, modality=modality
    )
    _check_options(target, min_separation, threshold, structure, chain, protein if picture is None else None)
    reads = {"input": (source,)} | ({} if structure is None else {"structure": (path_of(structure),)})
    request = request_of(
        "contacts", reads=reads, writes=_writes(target, picture, overwrite), model=str(model)
    )
    notices: Counter[str] = Counter()
    name = "standard input" if source == STANDARD_INPUT else str(source)
    with ask(request) as permit:
        focus = _focus(permit, name, protein, structure, chain) if picture or structure else None
        stream = permit.reader("input")
        loaded = load(model, device=device, dtype=dtype)
        records = records_of_file(stream, name, loaded.modality, reading, notices)
        predictor = loaded.contact_predictor(tokens_per_batch)
        provenance = loaded.contact_provenance(gaps)
        kept = short_enough(records, predictor.longest, notices, on_error=on_error)
        store = open_contact_store(
            permit.writer("output"),
            target.suffix.lower(),
            provenance,
            PairFilter(min_separation=min_separation, threshold=threshold or 0.0),
            notices,
            permit.writer("provenance") if provenance_path(target) else None,
            reason_of(loaded.compute.dtype) if on_error == "skip" else None,
        )
        intake = Intake(focus.watch(kept) if focus else kept, stream)
        with Progress("contacts", quiet=quiet) as bar:
            tally = contacts_to_store(predictor, intake, store, focus, notices, bar, on_error=on_error)
        if focus and focus.map and is_empty(focus.map.probabilities):
            raise not_finite(predictor.model, f"{name}, protein {focus.map.id}")
        store.close()
        if picture and focus:
            _draw(focus, min_separation, permit, Path(picture))
    return ContactsSummary(
        output=str(target),
        structure=_compare(focus) if focus else None,
        dtype_reason=loaded.compute.reason,
        provenance=provenance,
        notices=dict(notices),
        **tally,
    )


def _check_options(
    target: Path,
    min_separation: int,
    threshold: float | None,
    structure: str | Path | None,
    chain: str | None,
    protein_undrawn: str | None,
) -> None:
    """Raise for options that are out of range, or that would have no effect."""
    suffix = check_contact_suffix(target)
    check_bound("min_separation", min_separation, "--min-separation")
    if threshold is not None and not 0 <= threshold <= 1:
        raise OptionError(f"{threshold} is no probability", where="--threshold", remedy="Give 0 to 1")
    if threshold is not None and suffix == ".npz":
        remedy = "Leave it out, or write a .parquet or a .csv"
        raise OptionError("a matrix in .npz is always whole", where="--threshold", remedy=remedy)
    if chain is not None and structure is None:
        raise OptionError("there is no structure to take it from", where="--chain", remedy="Add --structure")
    if protein_undrawn is not None and structure is None:
        remedy = "Add --picture or --structure, or leave it out"
        raise OptionError("every protein is predicted anyway", where="--protein", remedy=remedy)


def _writes(target: Path, picture: str | Path | None, overwrite: bool) -> dict[str, Target]:
    targets = table_targets(target, overwrite)
    if picture:
        check_figure_suffix(Path(picture))
        targets["picture"] = Target(path=Path(picture), overwrite=overwrite)
    return targets


def _focus(
    permit: Permit, name: str, protein: str | None, structure: str | Path | None, chain: str | None
) -> Focus:
    if structure is None:
        return Focus(protein, None, name)
    with input_errors():
        found = read_chain(permit.reader("structure"), str(structure), chain)
    return Focus(protein, found, name)


def _draw(focus: Focus, min_separation: int, permit: Permit, picture: Path) -> None:
    assert focus.map is not None, "the stream ended without its protein"
    beside = f", {Path(focus.truth.source).name}" if focus.truth else ""
    draw_contacts(
        focus.map.id + beside,
        focus.map.probabilities,
        focus.truth,
        min_separation,
        permit.writer("picture"),
        picture.suffix.lower(),
    )


def _compare(focus: Focus) -> StructureSummary | None:
    if focus.truth is None:
        return None
    assert focus.map is not None, "the stream ended without its protein"
    apart = np.subtract.outer(focus.truth.places, focus.truth.places) >= MIN_SEPARATION
    return StructureSummary(
        protein=focus.map.id,
        structure=focus.truth.source,
        identity=focus.truth.identity,
        n_shown=len(focus.truth.places),
        n_contacts=int((focus.truth.touch & apart).sum()),
        precision=contact_precision(focus.map.probabilities, focus.truth),
    )
