"""The one protein of an input that is drawn, or compared with a structure."""

import numpy as np
import pytest
from biofm_datasets import Record
from biofm_datasets.structures import Chain

from biofm.core import InputError
from biofm.inference import ContactMap
from biofm.inference.runs import Focus


def make_records(*ids: str) -> list[Record]:
    return [Record(id=id_, sequence="MKTAYIAKQR", number=i, source="p.fasta") for i, id_ in enumerate(ids, 1)]


def map_of(id_: str) -> ContactMap:
    return ContactMap(id_, 1, "MKTAYIAKQR", np.zeros((10, 10), np.float32))


@pytest.mark.parametrize(("ids", "protein"), [("a", None), ("abcb", "b"), ("abc", "c")])
def test_the_protein_that_is_looked_at_is_found_and_kept(ids: str, protein: str | None) -> None:
    chain = Chain("s.pdb", "A", "MKTAYIAKQR", np.zeros((10, 3)))
    focus = Focus(protein, chain, "p.fasta")
    assert [record.id for record in focus.watch(make_records(*ids))] == list(ids)
    maps = [map_of(id_) for id_ in ids]
    for place, found in enumerate(maps):
        focus.keep(place, found)
    assert focus.map is maps[ids.index(protein or "a")]
    assert focus.truth is not None
    assert focus.truth.source == "s.pdb, chain A"


@pytest.mark.parametrize(
    ("ids", "protein", "message"),
    [
        (
            "ab",
            None,
            r"p\.fasta, record 2 \(b\): only one protein can .* Choose one, for example --protein b",
        ),
        ("ab", "c", r"p\.fasta: no protein is called c\. Give --protein the id of a protein in the input"),
    ],
    ids=["several", "absent"],
)
def test_a_protein_that_cannot_be_told_is_an_error(ids: str, protein: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(Focus(protein, None, "p.fasta").watch(make_records(*ids)))


def test_a_foreign_structure_is_an_error_before_the_model_runs() -> None:
    chain = Chain("s.pdb", "A", "WWWWWWWWWW", np.zeros((10, 3)))
    with pytest.raises(InputError, match="the protein a"):
        next(Focus("a", chain, "p.fasta").watch(make_records("a")))
