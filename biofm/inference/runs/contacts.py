"""A run of contacts writes the maps of all records into a file; it draws or compares one of them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TypedDict

from biofm_datasets import Record
from biofm_datasets.structures import Chain

from biofm.core import Progress
from biofm.core.errors import InputError
from biofm.core.outputs import ProvenanceFields
from biofm.core.outputs.contact_maps import ContactWriter
from biofm.evaluation import ContactPrecision, StructureContacts, contacts_of_chain
from biofm.inference.contacts import ContactMap, ContactMapper, residue_letters
from biofm.inference.runs.intake import Intake


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureSummary:
    """Tells how well the contacts of one protein agree with a structure.

    Attributes:
        protein: The protein's id in the input.
        structure: The name of the structure and of its chain.
        identity: Identical residues of both sequences, as a share of the shorter one, from 0 to 1.
        n_shown: How many residues of the protein are in the structure.
        n_contacts: How many contacts the structure has, without those between near neighbours along the
            chain.
        precision: The share of true contacts among the most probable pairs, by range along the chain.
    """

    protein: str
    structure: str
    identity: float
    n_shown: int
    n_contacts: int
    precision: list[ContactPrecision]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsSummary:
    """Tells what a run of contacts did; the maps themselves are in the file ``output``.

    Attributes:
        output: The path of the file.
        n_sequences: How many maps were written.
        n_residues: How many residues the proteins have together.
        n_tokens: How many tokens the model processed.
        seconds: How long the run took.
        tokens_per_second: The speed of the run.
        structure: How well one protein agrees with a structure; None where no structure was given.
        dtype_reason: Why the model ran in its dtype, in words.
        provenance: How the maps were made.
        notices: What was changed or skipped, as a phrase and how often it happened.
    """

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


class Focus:
    """Finds the one protein of the input that is drawn, or compared with a structure.

    The protein is found while the records pass by on their way to the model, so that faults show before the
    model works. Afterwards ``truth`` holds the contacts of the chain, if there is one, and ``map`` the
    contacts that the model predicts.

    Args:
        protein: The protein's id. None where the input holds one protein only.
        chain: The chain of a structure to compare it with. None where nothing is compared.
        source: The name of the input, for messages.
    """

    def __init__(self, protein: str | None, chain: Chain | None, source: str) -> None:
        self._protein = protein
        self._chain = chain
        self._source = source
        self._place: int | None = None
        self.truth: StructureContacts | None = None
        self.map: ContactMap | None = None

    def watch(self, records: Iterable[Record]) -> Iterator[Record]:
        """Pass the records on, and find the protein among them.

        Args:
            records: The records of the input.

        Raises:
            InputError: The protein is not in the input, it has no name and is one of several, or the chain
                belongs to another protein.
        """
        for place, record in enumerate(records):
            if self._protein is None and place > 0:
                what = "only one protein can be drawn or compared, and the input holds several"
                remedy = f"Choose one, for example --protein {record.id}"
                raise InputError(what, where=record.where, remedy=remedy)
            if self._place is None and self._protein in (None, record.id):
                self._place = place
                if self._chain is not None:
                    self.truth = contacts_of_chain(self._chain, record.id, residue_letters(record.sequence))
            yield record
        if self._place is None:
            if self._protein is None:
                what = "no protein is left to draw or compare"
                raise InputError(what, where=self._source, remedy="Give a protein that is short enough")
            remedy = "Give --protein the id of a protein in the input"
            raise InputError(f"no protein is called {self._protein}", where=self._source, remedy=remedy)

    def keep(self, place: int, found: ContactMap) -> None:
        """Keep the map if it is the one of the protein.

        Args:
            place: The place of the map's record in the input, from 0.
            found: The map of that record.
        """
        if place == self._place:
            self.map = found


class ContactTally(TypedDict):
    """Tells what went through the model, and how fast it was."""

    n_sequences: int
    n_residues: int
    n_tokens: int
    seconds: float
    tokens_per_second: float


def write_contacts(
    mapper: ContactMapper,
    intake: Intake,
    writer: ContactWriter,
    focus: Focus | None,
    notices: Counter[str],
    progress: Progress,
    *,
    on_error: str = "stop",
) -> ContactTally:
    """Write the maps of all records, and leave the writer open.

    Args:
        mapper: The model that predicts contacts.
        intake: The records of the input.
        writer: The opened output.
        focus: Gets the map of the one protein that is drawn or compared. None where there is no such protein.
        notices: Counts what a reader of the maps should know.
        progress: Shows how far the run is.
        on_error: What happens to a protein for which the model's numbers are not finite: "skip" gives it a
            map of NaN, "stop" raises an error.

    Raises:
        InputError: A protein is too long for the memory.
        ModelError: The model's weights are not finite, and ``on_error`` is "stop".
        OptionError: The numbers overflow in this dtype, and ``on_error`` is "stop"; or a batch is too large
            for the memory.
    """
    began = perf_counter()
    counts: Counter[str] = Counter()

    def on_batch(n_tokens: int, n_residues: int) -> None:
        counts.update(tokens=n_tokens, residues=n_residues)
        progress.update(tokens=counts["tokens"], fraction=intake.share_of(counts["residues"]))

    for place, found in enumerate(mapper.stream(intake, notices, on_batch, on_error=on_error)):
        writer.append(found.id, found.record, found.probabilities)
        counts["sequences"] += 1
        if focus is not None:
            focus.keep(place, found)
    seconds = perf_counter() - began
    return ContactTally(
        n_sequences=counts["sequences"],
        n_residues=counts["residues"],
        n_tokens=counts["tokens"],
        seconds=seconds,
        tokens_per_second=counts["tokens"] / seconds,
    )
