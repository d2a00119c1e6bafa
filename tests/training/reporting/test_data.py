"""The description of a run's data, as its report shows it."""

from dataclasses import replace

from biofm.corpus import Description, Histogram, Leakage, SourceDescription
from biofm.report.run import Pairs, Table
from biofm.training.reporting import describe_data, picture_data

SOURCE = SourceDescription(
    name="a.fasta", n_sequences=90, n_residues=9000, n_distinct=85, n_elsewhere=3,
    lengths=Histogram(edges=(10, 50, 200), counts=(30, 60)),
)  # fmt: skip
PLAIN = Description(
    name="run/data", n_sequences=90, n_residues=9000, n_distinct=85, sources=(SOURCE,),
    quantiles={"shortest": 10, "median": 99.5}, letters={"L": 6000, "A": 2990, "X": 10}, n_unknown=10,
    units="residues", standard="the 20 amino acids", shared=(),
)  # fmt: skip
LEAKAGE = Leakage(
    part="validation",
    other="train",
    n_sequences=10,
    n_copies=1,
    n_sampled=5,
    n_related=2,
    n_searched=70,
    n_other=75,
)
SPLIT = replace(
    PLAIN, split_method="identity", split_tool="mmseqs 15", leakage=(LEAKAGE,),
    split={"train": 75, "validation": 10, "test": 0, "removed": 5},
)  # fmt: skip


def by_title(found: Description) -> dict[str, Table | Pairs]:
    return {part.title: part for part in describe_data(found, "protein")}


def test_inputs_lengths_and_composition_are_told() -> None:
    found = by_title(PLAIN)
    assert list(found) == ["Inputs", "Lengths in residues", "Composition"]
    inputs, lengths, composition = found.values()
    assert isinstance(inputs, Table)
    assert isinstance(lengths, Pairs)
    assert isinstance(composition, Pairs)
    assert inputs.rows == [("a.fasta", 90, 9000, 5, 3)]
    assert lengths.values == {"shortest": "10", "median": "100"}
    assert composition.values == {"L": "66.67 %", "A": "33.22 %", "X": "0.11 %"}
    assert composition.note == "Other residues than the 20 amino acids: 10."


def test_a_split_tells_its_parts_and_what_leaks() -> None:
    found = by_title(SPLIT)
    parts, leakage = found["Parts"], found["Copies and relatives of held-out sequences in other parts"]
    assert isinstance(parts, Pairs)
    assert (parts.values, parts.note) == (SPLIT.split, "Split by identity (mmseqs 15).")
    assert isinstance(leakage, Table)
    assert leakage.rows == [("validation", 10, "training", 1, 5, 2)]
    assert leakage.note.endswith("Relatives were searched among 70 of 75 training sequences.")


def test_that_relatives_were_not_searched_for_is_said() -> None:
    found = by_title(replace(SPLIT, leakage=(replace(LEAKAGE, n_sampled=0),)))
    table = found["Copies and relatives of held-out sequences in other parts"]
    assert table.note == "Relatives were not searched for."


def test_of_many_inputs_the_first_are_listed() -> None:
    many = by_title(replace(PLAIN, sources=(SOURCE,) * 41))["Inputs"]
    assert isinstance(many, Table)
    assert len(many.rows) == 40
    assert many.note == "The first 40 of 41."


def test_the_data_have_a_picture() -> None:
    picture = picture_data(SPLIT)
    assert picture.png.startswith(b"\x89PNG")
    assert "90 sequences with 9,000 residues" in picture.description
