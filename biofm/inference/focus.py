"""The one protein among many that is drawn and compared with a structure."""

from collections.abc import Iterable, Iterator

from biofm_datasets import Record
from biofm_datasets.structures import Chain

from biofm.core.errors import InputError
from biofm.evaluation import StructureContacts, contacts_of_chain
from biofm.inference.contacts import ContactMap, residue_letters


class Focus:
    """Finds the protein while records pass by on their way to the model, so that faults show before its work.

    ``protein`` is its id, which may be left out where the input holds one protein. ``truth`` are the contacts
    of ``chain``, if one was given; ``map`` is what the model makes of it.
    """

    def __init__(self, protein: str | None, chain: Chain | None, source: str) -> None:
        self._protein = protein
        self._chain = chain
        self._source = source
        self._place: int | None = None
        self.truth: StructureContacts | None = None
        self.map: ContactMap | None = None

    def watch(self, records: Iterable[Record]) -> Iterator[Record]:
        """Pass the records on. Raises InputError: the protein is not among them or, unnamed, one of several,
        or the chain is not of it.
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

    def see(self, place: int, found: ContactMap) -> None:
        """Keep the map of the protein, the one at its place among the records."""
        if place == self._place:
            self.map = found
