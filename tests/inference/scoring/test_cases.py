"""From tables and wild types to variants, each checked against its protein."""

import io
from collections import Counter
from typing import Any

import pytest
from biofm_datasets import Record
from biofm_datasets.table_parts import read_table

from biofm.core import InputError, OptionError
from biofm.inference.scoring import Cases, ScoreOptions, Unscored, Variant, cases_of_values
from biofm.inference.scoring import cases as cases_of_scoring
from biofm.inference.scoring.cases import N_TRIED, WildTypes, cases_of_table
from biofm.inference.scoring.sources import wild_types_of_column, wild_types_of_records
from biofm.modalities import PROTEIN as PROTEINS

PROTEIN = "MKTAYIAKQRQISF"
OTHER = "MVLSPADKTNVKAAW"


def records(**sequences: str) -> list[Record]:
    return [Record(id_, sequence, number=i) for i, (id_, sequence) in enumerate(sequences.items(), 1)]


def only() -> WildTypes:
    return wild_types_of_records(records(a=PROTEIN), "wt.fasta", None)


def read(
    text: str,
    wild_types: WildTypes | None = None,
    notices: Counter[str] | None = None,
    n_rows: int = 100,
    **options: Any,
) -> list[Cases]:
    parts = read_table(io.BytesIO(text.encode()), "v.csv", n_rows=n_rows)
    counted = Counter() if notices is None else notices
    return list(cases_of_table(parts, wild_types or only(), PROTEINS, ScoreOptions(**options), counted))


def mutated(cases: list[Cases]) -> list[str]:
    return [one.mutated for some in cases for one in some.variants if isinstance(one, Variant)]


def test_variants_come_in_order_with_all_their_columns() -> None:
    cases = read("mutant,DMS\nK2R,0.5\nWT,1\nA4del,x\n", n_rows=2)
    assert mutated(cases) == ["MRTAYIAKQRQISF", PROTEIN, "MKTYIAKQRQISF"]
    assert [some.columns for some in cases] == [
        {"mutant": ["K2R", "WT"], "DMS": ["0.5", "1"]},
        {"mutant": ["A4del"], "DMS": ["x"]},
    ]


@pytest.mark.parametrize("name", ["mutant", "variant", "mutation", "hgvs_pro"])
def test_the_usual_columns_are_found(name: str) -> None:
    assert mutated(read(f"x,{name}\n1,K2R\n")) == ["MRTAYIAKQRQISF"]


def test_whole_sequences_are_compared_with_the_wild_type() -> None:
    text = "x,mutated_sequence\n1,MRTAYIAKQRQISF\n2,mktyiakqrqisf\n"
    notices: Counter[str] = Counter()
    (some,) = read(text, notices=notices)
    assert mutated([some]) == ["MRTAYIAKQRQISF", "MKTYIAKQRQISF"]
    variants = [one for one in some.variants if isinstance(one, Variant)]
    assert [variant.method("masked-marginals") for variant in variants] == [
        "masked-marginals",
        "pseudo-perplexity",
    ]
    assert notices["sequences upper-cased"] == 1
    assert mutated(read(text.replace("mutated_sequence", "s"), mutated_column="s")) == mutated([some])


def test_of_several_wild_types_a_column_names_the_row_s() -> None:
    wild_types = wild_types_of_records(records(a=PROTEIN, b=OTHER), "wt.fasta", "protein")
    assert mutated(read("protein,mutant\nb,V2R\na,K2R\n", wild_types)) == [
        "MRLSPADKTNVKAAW",
        "MRTAYIAKQRQISF",
    ]


def test_wild_types_may_stand_in_the_table() -> None:
    notices: Counter[str] = Counter()
    wild_types = wild_types_of_column("target_seq", PROTEINS, notices)
    text = f"mutant,target_seq\nK2R,{PROTEIN}\nV2R,{OTHER.lower()}\nM1A,{OTHER.lower()}\n"
    cases = read(text, wild_types)
    assert mutated(cases) == ["MRTAYIAKQRQISF", "MRLSPADKTNVKAAW", "AVLSPADKTNVKAAW"]
    assert notices == {"sequences upper-cased": 1}


FAULTS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "another residue": ("mutant\nK2R\nA3G\n", {}, ["v.csv, line 3 (A3G)", "A at position 3", "has T"]),
    "outside": ("mutant\nK20R\n", {}, ["v.csv, line 2 (K20R)", "position 20 lies outside", "1 to 14"]),
    "stop codons alone": (
        "mutant\nK2*\nA4*\n",
        {},
        ["v.csv: no row can be scored", "the first row: variant 'K2*'", "Remove the variant"],
    ),
    "no usual column": ("position,to\n1,A\n", {}, ["v.csv", "--variant-column", "position, to"]),
    "no such column": ("mutant\nK2R\n", {"variant_column": "v"}, ["v.csv", "no column 'v'", "mutant"]),
    "a column twice": ("mutant,x,x\nK2R,1,2\n", {}, ["v.csv", "2 columns are named 'x'"]),
    "an empty sequence": ("mutated_sequence,x\n,1\n", {}, ["v.csv: no row", "the sequence is empty"]),
    "a wrong sequence": ("mutated_sequence\nMK7\n", {}, ["v.csv, line 2", "position 3 holds '7'"]),
    "an unknown residue": ("mutated_sequence\nXKTAYIAKQRQISF\n", {}, ["v.csv, line 2", "'X' at position 1"]),
    "a ragged row": ("mutant,x\nK2R\n", {}, ["v.csv, line 2", "1 cell,"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_names_its_place(fault: str) -> None:
    text, options, message = FAULTS[fault]
    with pytest.raises(InputError) as error:
        read(text, **options)
    assert all(part in str(error.value) for part in message), error.value


def test_an_unknown_protein_is_a_fault_of_its_row() -> None:
    wild_types = wild_types_of_records(records(a=PROTEIN, b=OTHER), "wt.fasta", "protein")
    with pytest.raises(InputError, match=r"v\.csv, line 3: there is no protein 'c' in wt\.fasta"):
        read("protein,mutant\na,K2R\nc,K2R\n", wild_types)


def test_a_faulty_wild_type_is_a_fault_of_its_row() -> None:
    wild_types = wild_types_of_column("s", PROTEINS, Counter())
    with pytest.raises(InputError, match=r"v\.csv, line 3: position 2 holds '7'"):
        read(f"mutant,s\nK2R,{PROTEIN}\nK2R,M7\n", wild_types)
    with pytest.raises(InputError, match=r"v\.csv, line 2: the sequence holds <mask>"):
        read("mutant,s\nK2R,MK<mask>\n", wild_types)


def test_the_offset_that_would_fit_is_in_the_remedy() -> None:
    text = "mutant\nM24G\nT26A\nF37W\n"
    with pytest.raises(InputError, match="With --offset 23 all 3 variants that were tried fit"):
        read(text)
    assert mutated(read(text, offset=23)) == ["GKTAYIAKQRQISF", "MKAAYIAKQRQISF", "MKTAYIAKQRQISW"]
    with pytest.raises(InputError, match=r"Check the numbering \(--offset\) and the wild type"):
        read(text + "W40G\n")


def test_an_offset_that_fits_by_chance_is_not_proposed() -> None:
    """Two residues are found side by side somewhere in most proteins; three hardly ever."""
    long = "G" * 300 + "KW" + "A" * 28
    with pytest.raises(InputError, match=r"Check the numbering \(--offset\) and the wild type"):
        read("mutant\nK2A\nW3A\n", lambda part: lambda row: long)
    with pytest.raises(InputError, match="With --offset -299 all 3 variants"):
        read("mutant\nK2A\nW3A\nG1K\n", lambda part: lambda row: long)


def test_one_misfit_among_variants_that_fit_is_no_question_of_numbering() -> None:
    fitting = "K2R\n" * (N_TRIED - 1) + "A4G\n"
    with pytest.raises(InputError, match=r"(?s)\(C4G\).*The variants near it fit: check this one"):
        read(f"mutant\n{fitting}C4G\n", n_rows=N_TRIED + 1)


# of tables as MaveDB and ProteinGym have them: what makes no protein, and why its score stays empty
NO_PROTEIN = {
    "K2*": "a stop codon",
    "p.Lys2Ter": "a stop codon",
    "p.Lys2fs": "a frameshift",
    "p.Lys2ThrfsTer5": "a frameshift",
    "p.Ter15GlnextTer9": "an extension",
    "p.?": "an unknown consequence",
    "p.0": "no protein",
    "": "the variant is empty",
    "  ": "the variant is empty",
}


@pytest.mark.parametrize("on_error", ["stop", "skip"])
@pytest.mark.parametrize("cell", NO_PROTEIN)
def test_a_row_without_a_protein_stays_with_its_reason(cell: str, on_error: str) -> None:
    notices: Counter[str] = Counter()
    (some,) = read(f"mutant,x\nK2R,1\n{cell},2\nA4G,3\n", notices=notices, on_error=on_error)
    first, empty, last = some.variants
    assert isinstance(empty, Unscored)
    assert NO_PROTEIN[cell] in empty.reason
    assert mutated([Cases({}, [first, last], str)]) == ["MRTAYIAKQRQISF", "MKTGYIAKQRQISF"]
    assert some.columns["x"] == ["1", "2", "3"]
    assert notices == {"rows of the input without a score; the column reason says why": 1}


def test_a_whole_sequence_that_is_none_stays_with_its_reason() -> None:
    (some,) = read(f"mutated_sequence,x\n{PROTEIN},1\n,2\nMKT*YIAKQRQISF,3\nNA,4\n*,5\n{PROTEIN}*,6\n")
    reasons = [one.reason if isinstance(one, Unscored) else "" for one in some.variants]
    empty = "the sequence is empty"
    assert reasons == ["", empty, "the sequence has a stop codon (*) inside", empty, empty, ""]


def test_faulty_rows_stay_with_their_reason_where_that_is_asked_for() -> None:
    notices: Counter[str] = Counter()
    text = "mutant,x\nK2R,1\nK2*,2\nA3G,3\nA4G,4\n"
    (some,) = read(text, notices=notices, on_error="skip")
    assert some.columns == {"mutant": ["K2R", "K2*", "A3G", "A4G"], "x": ["1", "2", "3", "4"]}
    assert [isinstance(one, Unscored) for one in some.variants] == [False, True, True, False]
    reason = "the variant has A at position 3, where the protein has T"
    assert some.variants[2] == Unscored(reason)
    assert notices == {"rows of the input without a score; the column reason says why": 2}


def test_no_run_begins_before_a_variant_is_found() -> None:
    parts = read("mutant\nK2*\nK2*\nK2*\nK2*\nK2R\n", n_rows=2)
    assert [len(part.variants) for part in parts] == [2, 2, 1]
    table = read_table(io.BytesIO(b"mutant\n" + b"K2*\n" * 7), "v.csv", n_rows=2)
    cases = cases_of_table(table, only(), PROTEINS, ScoreOptions(), Counter())
    with pytest.raises(InputError, match=r"v\.csv: no row can be scored"):
        next(cases)


def test_no_offset_is_guessed_for_rows_that_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take a pass over a thousand variants for each of them."""
    monkeypatch.setattr(cases_of_scoring, "fitting_offset", lambda *asked: pytest.fail("guessed"))
    (some,) = read("mutant\nK102R\nK2R\n", on_error="skip")
    assert [isinstance(one, Unscored) for one in some.variants] == [True, False]


@pytest.mark.parametrize(
    ("sequences", "fault"),
    [
        ([("a", PROTEIN), ("b", OTHER)], "2 wild types, but no column says"),
        ([("a", PROTEIN), ("a", OTHER)], "an earlier record has the same id"),
        ([("a", "MK<mask>")], "the sequence holds <mask>"),
    ],
)
def test_wrong_wild_types_are_errors(sequences: list[tuple[str, str]], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        wild_types_of_records([Record(id_, text) for id_, text in sequences], "wt.fasta", None)


def test_python_values_are_counted_from_one() -> None:
    options = ScoreOptions()
    cases = cases_of_values("mktayiakqrqisf", ["K2R", "WT"], PROTEINS, options, Counter())
    assert mutated([Cases({}, cases, str)]) == ["MRTAYIAKQRQISF", PROTEIN]
    assert cases_of_values(PROTEIN, [], PROTEINS, options, Counter()) == []
    with pytest.raises(InputError, match=r"the given variants, number 2 \(K3R\)"):
        cases_of_values(PROTEIN, ["K2R", "K3R"], PROTEINS, options, Counter())
    with pytest.raises(InputError, match="Put it into a list"):
        cases_of_values(PROTEIN, "K2R", PROTEINS, options, Counter())


def test_rows_that_say_two_things_are_counted() -> None:
    """K2R makes MRT..., whatever stands in the second row."""
    text = "mutant,mutated_sequence\nK2R,MRTAYIAKQRQISF\nK2R,MGTAYIAKQRQISF\nWT,mktayiakqrqisf*\nA4G,\n"
    notices: Counter[str] = Counter()
    assert len(mutated(read(text, notices=notices))) == 4
    phrase = "rows whose variant and mutated_sequence disagree; the {} was scored"
    assert +notices == {phrase.format("variant"): 1}
    others: Counter[str] = Counter()
    text = text.removesuffix("A4G,\n")
    assert mutated(read(text, notices=others, mutated_column="mutated_sequence"))[1] == "MGTAYIAKQRQISF"
    assert others[phrase.format("sequence")] == 1


@pytest.mark.parametrize(
    ("wild_type", "text"),
    [(PROTEIN, "mutated_sequence\nMRTAYIAK-RQISF\n"), ("MKTA.YIAKQRQISF", "mutant\nK2R\n")],
)
def test_gaps_are_refused_because_they_shift_the_numbering(wild_type: str, text: str) -> None:
    wild_types = wild_types_of_column("wt", PROTEINS, Counter())
    text = "\n".join(f"{line},{'wt' if i == 0 else wild_type}" for i, line in enumerate(text.splitlines()))
    with pytest.raises(InputError, match=r"^v.csv, line 2: position \d holds '[-.]', a gap of an alignment"):
        read(text, wild_types)
    with pytest.raises(InputError, match="a gap of an alignment"):
        cases_of_values("MK-TAY", ["K2R"], PROTEINS, ScoreOptions(), Counter())


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"method": "guess"}, "no such method: guess"),
        ({"on_error": "ignore"}, "no such choice: ignore"),
        ({"variant_column": "a", "mutated_column": "b"}, "both a column of variants and a column of"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(OptionError, match=fault):
        ScoreOptions(**options)


def test_a_change_of_nothing_has_no_site() -> None:
    (variant,) = cases_of_values(PROTEIN, ["A4A:K8R"], PROTEINS, ScoreOptions(), Counter())
    assert isinstance(variant, Variant)
    assert list(variant.sites()) == [(7, "K", "R")]


@pytest.mark.parametrize("cell", ["Q2*", "Q2fs", "K99*", "p.Gln2Ter", "p.(Gln2fs)", "K2A:Q4*", "A15extTer2"])
def test_what_makes_no_protein_of_another_numbering_is_a_fault(cell: str) -> None:
    with pytest.raises(InputError, match=r"^v\.csv, line 3"):
        read(f"mutant\nK2R\n{cell}\n")
    (some,) = read(f"mutant\nK2R\n{cell}\n", on_error="skip")
    fault = some.variants[1]
    assert isinstance(fault, Unscored)
    assert "where the protein has" in fault.reason or "outside the protein" in fault.reason


@pytest.mark.parametrize("cell", ["K25*", "p.Lys25fs", "p.0", "?", "M24?", "*38Glnext*2", "K25R:A27*"])
def test_what_makes_no_protein_is_found_in_its_own_numbering(cell: str) -> None:
    (some,) = read(f"mutant\nK25R\n{cell}\n", offset=23, on_error="skip" if cell == "M24?" else "stop")
    assert isinstance(some.variants[1], Unscored)


def test_a_whole_sequence_that_a_stop_codon_cut_is_none() -> None:
    rows = ["MKTAYIAK*", "MRTA*", "MKTAYIAKRQISF*", "MKTAYIAKQRQISF*", "MKTAYIAK"]
    (some,) = read("mutated_sequence\n" + "".join(f"{row}\n" for row in rows))
    reasons = [one.reason if isinstance(one, Unscored) else None for one in some.variants]
    cut = "a stop codon after {} residues"
    assert reasons == [cut.format(8), cut.format(4), None, None, None]
