"""The verb ``contacts``: predict which residues touch, from file to file."""

from collections import Counter
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import name_of_input, path_of, reading_of
from biofm.api.loading import load, with_demonstration
from biofm.core.bounds import MIN_SEPARATION, check_bound
from biofm.core.errors import OptionError, input_errors
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import NONE, Reads, Request, Target, Writes, effects

if TYPE_CHECKING:
    from biofm.api.model import Model
    from biofm.core.outputs import ProvenanceFields
    from biofm.core.outputs.contact_maps import ContactWriter
    from biofm.gate import Permit
    from biofm.inference.runs import ContactsSummary, Focus, StructureSummary


@dataclass(frozen=True, slots=True)
class Contacts(Verb["ContactsSummary"]):
    """Predict which residues of a protein touch, and compare the prediction with a structure.

    The model needs a contact head. A .npz file holds for each protein the matrix of all probabilities;
    .parquet and .csv hold a row for each pair of residues that are at least ``min_separation`` apart along
    the chain and, with a ``threshold``, at least that probable. ``structure`` (PDB or mmCIF) is compared with
    one protein, and ``picture`` shows it: the only one of the input, or the one that ``protein`` names.
    Proteins of up to 10,000 residues are run whole.

    Raises:
        InputError, OutputError, ModelError, OptionError: The message says what is wrong, where, and what to
            do.
    """

    input: options.Input
    output: Annotated[
        str | Path,
        Option(
            "Write the contacts into this file. Its suffix chooses the format: .npz holds a matrix for each "
            "protein, .parquet and .csv a row for each pair of residues.",
            short="-o",
            metavar="FILE",
            group="Output",
        ),
        Writes("output"),
    ]
    _: KW_ONLY
    model: Annotated[
        str | Path,
        Option(
            f"Use this model, which needs a contact head, such as an ESM-2 or esm1b: {options.A_MODEL}.",
            short="-m",
            metavar="MODEL",
            group="Model",
        ),
        Reads("model"),
        effects.ConnectsTo("hub"),
    ]
    picture: Annotated[
        str | Path | None,
        Option(
            f"Draw a map of one protein's contacts into this file. {options.FIGURE}",
            metavar="FILE",
            group="Output",
        ),
        Writes("picture"),
    ] = None
    structure: Annotated[
        str | Path | None,
        Option(
            "Compare one protein with this PDB or mmCIF file (also .gz). By default nothing is compared.",
            metavar="FILE",
            group="Input",
        ),
        Reads("structure"),
    ] = None
    chain: Annotated[
        str | None,
        Option(
            "Compare with this chain of the structure. By default it is the only chain.",
            metavar="NAME",
            group="Input",
        ),
        NONE,
    ] = None
    protein: Annotated[
        str | None,
        Option(
            "Compare with the structure, and draw, the protein of this id. By default it is the only protein "
            "of the input.",
            metavar="ID",
            group="Input",
        ),
        NONE,
    ] = None
    min_separation: Annotated[
        int,
        Option(
            "Leave out of tables and pictures the pairs of residues that are fewer than this many residues "
            "apart along the chain.",
            group="Output",
        ),
        NONE,
    ] = MIN_SEPARATION
    threshold: Annotated[
        float | None,
        Option(
            "Leave out of a table the pairs whose probability is below this, from 0 to 1. By default a table "
            "holds all pairs.",
            group="Output",
        ),
        NONE,
    ] = None
    dtype: options.Dtype = "auto"
    device: options.Device = "auto"
    tokens_per_batch: options.TokensPerBatch = None
    format: options.Format = None
    column: options.Column = None
    id_column: options.IdColumn = None
    gaps: options.AtGaps = "drop"
    modality: options.As = None
    on_error: options.AtFault = "stop"
    overwrite: options.Overwrite = False
    quiet: options.Quiet = True

    def request(self) -> Request:
        reads = {"input": (path_of(self.input),)}
        reading_of(self, self.gaps)  # refuses options that do not fit
        self._check()
        if self.structure is not None:
            reads["structure"] = (path_of(self.structure),)
        return self.asking(reads=reads, writes=self._targets(), model=str(self.model))

    def run(self, progress: ProgressSink = SILENT) -> "ContactsSummary":
        from biofm.core.outputs import is_empty  # these bring numpy and torch
        from biofm.gate import ask
        from biofm.inference import short_enough
        from biofm.inference.runs import ContactsSummary, Intake, write_contacts
        from biofm.modalities.records import records_of_file
        from biofm.models.finiteness import not_finite

        request, name, on_error = self.request(), name_of_input(self.input), self.on_error
        notices: Counter[str] = Counter()
        with ask(request) as permit:
            focus = self._focus(permit) if self.picture or self.structure else None
            stream = permit.reader("input")
            loaded = load(self.model, device=self.device, dtype=self.dtype)
            records = records_of_file(stream, name, loaded.modality, reading_of(self, self.gaps), notices)
            mapper = loaded.contact_mapper(self.tokens_per_batch)
            provenance = loaded.contact_provenance(self.gaps)
            kept = short_enough(records, mapper.longest, notices, on_error=on_error)
            writer = self._open_writer(permit, loaded, provenance, notices)
            intake = Intake(focus.watch(kept) if focus else kept, stream)
            with progress.bar("contacts") as bar:
                tally = write_contacts(mapper, intake, writer, focus, notices, bar, on_error=on_error)
            if focus and focus.map and is_empty(focus.map.probabilities):
                raise not_finite(mapper.model, f"{name}, protein {focus.map.id}")
            writer.close()
            if focus:
                self._draw(focus, permit, str(provenance["model"]))
        return ContactsSummary(
            output=str(Path(self.output)),
            structure=_compare(focus) if focus else None,
            dtype_reason=loaded.compute.reason,
            provenance=provenance,
            notices=with_demonstration(notices, loaded.info.name),
            **tally,
        )

    def _check(self) -> None:
        """Raise for options that are out of range, or that would have no effect."""
        from biofm.core.outputs.contact_maps import check_contact_suffix  # brings numpy

        suffix, threshold = check_contact_suffix(Path(self.output)), self.threshold
        check_bound("min_separation", self.min_separation, "--min-separation")
        if threshold is not None and not 0 <= threshold <= 1:
            what = f"{threshold} is no probability"
            raise OptionError(what, where="--threshold", remedy="Give a number from 0 to 1")
        if threshold is not None and suffix == ".npz":
            what, remedy = "a .npz file holds all pairs", "Leave it out, or write a .parquet or .csv file"
            raise OptionError(what, where="--threshold", remedy=remedy)
        if self.chain is not None and self.structure is None:
            what = "a chain was named, but no structure"
            raise OptionError(what, where="--chain", remedy="Add --structure, or leave out --chain")
        if self.protein is not None and self.picture is None and self.structure is None:
            remedy = "Add --picture or --structure, or leave it out"
            what = "it chooses the protein of a picture or a structure, and neither was asked for"
            raise OptionError(what, where="--protein", remedy=remedy)

    def _targets(self) -> dict[str, Target]:
        from biofm.api.table import table_targets  # these bring torch
        from biofm.report import check_figure_suffix

        targets = table_targets(Path(self.output), self.overwrite)
        if self.picture:
            check_figure_suffix(Path(self.picture))
            targets["picture"] = Target(path=Path(self.picture), overwrite=self.overwrite)
        return targets

    def _focus(self, permit: "Permit") -> "Focus":
        """Return the one protein that is drawn or compared with the structure."""
        from biofm_datasets.structures import read_chain  # these bring numpy and torch

        from biofm.inference.runs import Focus

        found = None
        if self.structure is not None:
            with input_errors():
                found = read_chain(permit.reader("structure"), str(self.structure), self.chain)
        return Focus(self.protein, found, name_of_input(self.input))

    def _open_writer(
        self, permit: "Permit", loaded: "Model", provenance: "ProvenanceFields", notices: Counter[str]
    ) -> "ContactWriter":
        from biofm.api.finished import labels_of  # these bring numpy and torch
        from biofm.core.outputs import provenance_path
        from biofm.core.outputs.contact_maps import PairFilter, open_contact_writer
        from biofm.models.finiteness import describe_not_finite

        output = Path(self.output)
        return open_contact_writer(
            permit.writer("output"),
            output.suffix.lower(),
            {**provenance, **labels_of(permit)},
            PairFilter(min_separation=self.min_separation, threshold=self.threshold or 0.0),
            notices,
            permit.writer("provenance") if provenance_path(output) else None,
            describe_not_finite(loaded.compute.dtype) if self.on_error == "skip" else None,
        )

    def _draw(self, focus: "Focus", permit: "Permit", model: str) -> None:
        """Draw the map of the protein, if a picture was asked for."""
        from biofm.report import draw_contacts  # brings numpy

        if not self.picture:
            return
        assert focus.map is not None, "the stream ended without its protein"
        beside = f", {Path(focus.truth.source).name}" if focus.truth else ""
        called = Path(model).name if Path(model).is_absolute() else model
        draw_contacts(
            f"{focus.map.id}{beside}: {called}",
            focus.map.probabilities,
            focus.truth,
            self.min_separation,
            permit.writer("picture"),
            Path(self.picture).suffix.lower(),
            models=[model],
        )


def _compare(focus: "Focus") -> "StructureSummary | None":
    """Compare the map of the protein with the structure, if there is one."""
    import numpy as np

    from biofm.evaluation import contact_precision
    from biofm.inference.runs import StructureSummary

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


contacts = verb(Contacts)
