"""A run of contacts: records become a file of maps, and one protein is drawn or compared with a structure."""

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
    """How well the contacts of one protein agree with a structure.

    ``n_shown``: how many of its residues are in the structure; ``n_contacts``: the contacts there, without
    those between near neighbours along the chain. ``identity``: identical residues, as a share of the shorter
    sequence.
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


class Focus:
    """The one protein of the input that is drawn, or compared with a structure.

    It is found while the records pass by on their way to the model, so that faults show before the model
    works. ``protein``: its id, which may be left out where the input holds one protein. ``source``: the name
    of the input, for messages. ``truth``: the contacts of ``chain``, if one was given. ``map``: what the
    model predicts.
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

        Raises InputError where it is not there, where it is unnamed and one of several, and where the chain
        is that of another protein.
        """
        for place, record in enumerate(records):
            if self._protein is None and place > 0:
                remedy = f"Say which one: --protein {record.id}"
                raise InputError("one protein alone is drawn or compared", where=record.where, remedy=remedy)
            if self._place is None and self._protein in (None, record.id):
                self._place = place
                if self._chain is not None:
                    self.truth = contacts_of_chain(self._chain, record.id, residue_letters(record.sequence))
            yield record
        if self._place is None:
            if self._protein is None:
                what = "no protein is left that could be drawn or compared"
                raise InputError(what, where=self._source, remedy="Give one that is short enough")
            remedy = "Give --protein an id of the input"
            raise InputError(f"no protein is called {self._protein}", where=self._source, remedy=remedy)

    def keep(self, place: int, found: ContactMap) -> None:
        """Keep ``found`` if it is the map of the protein. ``place``: that of its record, from 0."""
        if place == self._place:
            self.map = found


class ContactTally(TypedDict):
    """What went through the model, and how fast."""

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
    """Write the maps of all records of ``intake`` into ``writer``, and leave that open.

    ``focus`` keeps the map of the one protein that is looked at. Raises ModelError or OptionError as
    ``ContactMapper.stream`` does.
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
