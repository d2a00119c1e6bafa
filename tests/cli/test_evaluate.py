"""``biofm evaluate``: its table, its JSON, its words about baselines; and what it says of wrong inputs."""

import json
from pathlib import Path
from typing import Any

import pytest
from biofm_datasets.variants import VARIANT_COLUMNS

VARIANTS = [f"{wild}{site}{mutant}" for site, wild in enumerate("MKTAY", start=1) for mutant in "CDEW"]
ROWS = [(variant, row % 7 + row / 20, row % 5 - row / 9) for row, variant in enumerate(VARIANTS)]
TABLE = "mutant,fitness,score\n" + "".join(f"{v},{f:.3f},{s:.3f}\n" for v, f, s in ROWS)
CHOICE = ("--measured-column", "fitness", "--score-column", "score")
BY_VARIANT = ("--variant-column", "mutant")


def test_the_table_has_the_score_and_the_baselines(biofm: Any) -> None:
    Path("t.csv").write_text(TABLE)
    outcome = biofm("evaluate", "t.csv", *CHOICE, *BY_VARIANT, "--resamples", "20", "-q")
    assert outcome.status == 0, outcome.err
    header, *lines = outcome.out.splitlines()
    assert header.startswith("20 measurements; positive for AUROC and MCC: fitness at or above its median, ")
    assert lines[0].split() == ["fitness", "Spearman", "AUROC", "NDCG", "MCC", "n"]
    assert [line.split("  ")[0] for line in lines[1:]] == ["score", "BLOSUM62", "one-hot ridge"]
    assert lines[1].count("[") == 1
    assert lines[1].split()[-1] == "20"


def test_a_baseline_that_is_not_there_is_named_with_the_reason(biofm: Any) -> None:
    Path("t.csv").write_text(TABLE.replace("mutant", "name"))
    outcome = biofm("evaluate", "t.csv", *CHOICE, "--resamples", "0")
    for name in ("BLOSUM62", "one-hot ridge"):
        assert f"{name}: not computed, because the variants are not known; name their column" in outcome.out


@pytest.mark.parametrize("column", VARIANT_COLUMNS)
def test_a_column_of_variants_with_a_usual_name_is_found(column: str, biofm: Any) -> None:
    Path("t.csv").write_text(TABLE.replace("mutant", column))
    words = ("evaluate", "t.csv", *CHOICE, "--resamples", "0", "--json")
    outcome = biofm(*words)
    assert [row["name"] for row in json.loads(outcome.out)["rows"]] == ["score", "BLOSUM62", "one-hot ridge"]
    assert outcome.out == biofm(*words, "--variant-column", column).out


def test_a_usual_name_over_other_cells_is_said_and_hinders_nothing(biofm: Any) -> None:
    Path("t.csv").write_text(TABLE + "M1,1,1\n")
    outcome = biofm("evaluate", "t.csv", *CHOICE, "--resamples", "0")
    assert outcome.status == 0, outcome.err
    assert "notice: Column 'mutant' was not read as variants: t.csv, line 22: " in outcome.err
    assert (
        "BLOSUM62: not computed, because column 'mutant' was not read as variants; the notice " in outcome.out
    )
    assert outcome.out.startswith("21 measurements;")


@pytest.mark.parametrize("words", [(), ("--on-error", "skip")])
def test_what_the_notice_of_an_unread_column_says_to_do_helps(words: tuple[str, ...], biofm: Any) -> None:
    Path("t.csv").write_text(TABLE + "hello,1,1\n")
    outcome = biofm("evaluate", "t.csv", *CHOICE, "--resamples", "0", *words)
    remedy = "--on-error skip and --variant-column mutant"
    assert f"or leave such rows out with {remedy}.\n" in outcome.err
    assert "--variant-column" not in outcome.out
    outcome = biofm("evaluate", "t.csv", *CHOICE, "--resamples", "0", *remedy.replace("and ", "").split())
    assert outcome.out.startswith("20 measurements;")
    assert "not computed" not in outcome.out


def test_a_named_column_that_is_not_read_says_how_to_leave_the_row_out(biofm: Any) -> None:
    Path("t.csv").write_text(TABLE + "hello,1,1\n")
    words = ("evaluate", "t.csv", *CHOICE, *BY_VARIANT, "--resamples", "0")
    outcome = biofm(*words)
    assert outcome.status == 1
    assert outcome.err.endswith("; or leave such rows out with --on-error skip\n")
    assert "not computed" not in biofm(*words, "--on-error", "skip").out


def test_a_dash_and_a_smaller_n_are_explained(biofm: Any) -> None:
    rows = "mutant,fitness,score\nM1A,1,2\nK2A,2,1\nT3A,3,5\nA4C,4,\nY5A,5,4\n"
    Path("t.csv").write_text(rows)
    outcome = biofm("evaluate", "t.csv", *CHOICE, "--resamples", "0")
    assert "its median, 3 (3 of 5)\n" in outcome.out
    assert (
        "NDCG: not computed where n is below 10; it judges the best-scored tenth of the rows" in outcome.out
    )
    assert "n counts the rows that have a value, of 5 measurements." in outcome.err
    assert (
        "one-hot ridge: not computed, because it gives every row the same value: the rows that" in outcome.out
    )


def test_a_baseline_that_wins_is_said_in_words(biofm: Any) -> None:
    rows = [(f"{'MKTAY'[i // 4]}{i // 4 + 1}{'CDEW'[i % 4]}", i, -i) for i in range(20)]
    Path("t.csv").write_text("mutant,fitness,score\n" + "".join(f"{v},{f},{s}\n" for v, f, s in rows))
    outcome = biofm("evaluate", "t.csv", *CHOICE, *BY_VARIANT, "--resamples", "50")
    assert "By Spearman on 20 rows, the baseline one-hot ridge (0." in outcome.err
    assert "than score (-1.000), and the interval excludes 0: use the baseline.\n" in outcome.err
    assert "one-hot ridge was fitted to measurements of this assay: 5-fold cross-validation" in outcome.err


def test_a_score_that_wins_is_said_in_words_beside_the_best_baseline_alone(biofm: Any) -> None:
    table = "mutant,fitness,score,other\n" + "".join(f"{v},{f},{f},{-f}\n" for v, f, _ in ROWS)
    Path("t.csv").write_text(table)
    words = (*CHOICE, "--score-column", "other", *BY_VARIANT, "--resamples", "50")
    outcome = biofm("evaluate", "t.csv", *words)
    said = [line for line in outcome.err.splitlines() if line.startswith("By Spearman on 20 rows, ")]
    assert len(said) == 2, "one sentence for each score"
    assert said[0].startswith("By Spearman on 20 rows, score (1.000) is ")
    assert said[0].endswith(", and the interval excludes 0.")
    assert said[1].endswith("than other (-1.000), and the interval excludes 0: use the baseline.")
    best = max(("BLOSUM62", "one-hot ridge"), key=lambda name: _spearman_of(outcome.out, name))
    assert all(f"the baseline {best} (" in line for line in said)


def _spearman_of(table: str, name: str) -> float:
    return float(next(line for line in table.splitlines() if line.startswith(name)).split(name)[1].split()[0])


def test_json_stands_alone_on_standard_output_and_is_what_the_file_holds(biofm: Any) -> None:
    Path("t.csv").write_text(TABLE.replace("2.100", ""))
    words = ("--resamples", "10", "-o", "r.json", "--picture", "s.png", "--json")
    outcome = biofm("evaluate", "t.csv", *CHOICE, *BY_VARIANT, *words)
    found = json.loads(outcome.out)
    assert found == json.loads(Path("r.json").read_text())
    assert found["rows"][0]["name"] == "score"
    assert found["notices"] == {"rows without a measurement in 'fitness', left out": 1}
    assert "notice: rows without a measurement in 'fitness', left out: 1" in outcome.err
    assert Path("s.png").read_bytes().startswith(b"\x89PNG")


def test_the_axis_of_a_score_names_the_file_of_the_scores(biofm: Any) -> None:
    Path("t.csv").write_text(TABLE)
    assert biofm("evaluate", "t.csv", *CHOICE, "--resamples", "10", "--picture", "s.svg").status == 0
    assert "<!-- score in t.csv -->" in Path("s.svg").read_text()


def test_undefined_measures_are_null_in_json_and_a_dash_in_the_table(biofm: Any) -> None:
    Path("t.csv").write_text("fitness,score\n1,1\n2,3\n3,2\n")
    assert json.loads(biofm("evaluate", "t.csv", *CHOICE, "--json").out)["rows"][0]["ndcg"]["value"] is None
    assert " - " in biofm("evaluate", "t.csv", *CHOICE).out


# content of the table, further words, what the message must say
WRONG = {
    "a missing table": (None, (), ["t.csv", "no such file"]),
    "an empty table": ("", (), ["t.csv", "empty"]),
    "a header only": ("mutant,fitness,score\n", (), ["t.csv", "no records"]),
    "FASTA": (">a\nMK\n", (), ["t.csv", "FASTA"]),
    "no measured column": ("mutant,score\na,1\n", (), ["'fitness'", "mutant, score"]),
    "no measured column, and no score named": (
        "mutant,score\na,1\n", ("--measured-column", "y"), ["there is no column 'y'", "mutant, score"]
    ),
    "no score column": ("mutant,fitness\na,1\n", (), ["'score'", "mutant, fitness"]),
    "a column twice": ("fitness,score,score\n1,1,1\n", (), ["2 columns", "'score'"]),
    "a ragged row": (TABLE + "M1Y,1\n", (), ["t.csv", "line 22", "2 cells"]),
    "a word among measurements": (TABLE + "M1Y,high,1\n", (), ["line 22", "'fitness'", "'high' is no"]),
    "a word among scores": (TABLE + "M1Y,1,high\n", (), ["line 22", "'score'", "'high' is no number"]),
    "an infinite score": (TABLE + "M1Y,1,-inf\n", (), ["line 22", "'score'", "'-inf' is not finite"]),
    "no measurement at all": ("fitness,score\n,1\nNA,2\n,3\n", (), ["'fitness'", "0 values", "at least 3"]),
    "two rows": ("fitness,score\n1,1\n2,2\n", (), ["'fitness'", "2 values", "too few"]),
    "few scores": ("fitness,score\n1,1\n2,\n3,\n", (), ["'score'", "1 value ", "too few"]),
    "equal measurements": ("fitness,score\n1,1\n1,2\n1,3\n", (), ["'fitness' holds 1 in every row"]),
    "equal scores": ("fitness,score\n1,2\n2,2\n3,2\n", (), ["'score' holds 2 in every row"]),
    "a median that splits nothing": ("fitness,score\n0,1\n0,2\n0,3\n1,4\n", (), ["every row", "--threshold"]),
    "a threshold above all": (TABLE, ("--threshold", "99"), ["no row is positive", "99"]),
    "a threshold that is none": (TABLE, ("--threshold", "nan"), ["--threshold", "nan"]),
    "two ways to be positive": (
        TABLE, ("--threshold", "1", "--binary-column", "score"), ["--binary-column and --threshold"]
    ),
    "a binary column of numbers": (TABLE, ("--binary-column", "score"), ["t.csv, line 2", "neither 0 nor 1"]),
    "no variant": (TABLE + "M1,1,1\n", BY_VARIANT, ["line 22", "'M1'"]),
    "another wild type": (TABLE + "A1C,1,1\n", BY_VARIANT, ["line 22", "1 is A", "line 2"]),
    "no variant column": (TABLE, ("--variant-column", "variant"), ["'variant'", "mutant, fitness, score"]),
    "a sequence with a digit": (TABLE, ("--mutated-column", "mutant"), ["line 2", "position 2", "'1'"]),
    "a split without a test set": (TABLE, ("--split-column", "mutant"), ["'train'", "'mutant'"]),
    "a wild type of two": (TABLE, ("--wild-type", "two.fasta"), ["two.fasta", "2 sequences"]),
    "a table of wild types": (TABLE, ("--wild-type", "t.csv"), ["t.csv", "this is a table, but"]),
    "a wild type that does not fit": (
        TABLE, ("--wild-type", "other.fasta", *BY_VARIANT), ["line 2", "position 1", "M", "A"]
    ),
    "a missing wild type": (TABLE, ("--wild-type", "w.fasta"), ["w.fasta", "no such file"]),
    "a score named twice": (TABLE, ("--score-column", "score"), ["--score-column", "'score' is named twice"]),
    "the measurement as score": (TABLE, ("--score-column", "fitness"), ["'fitness' is named twice"]),
    "a negative number of resamples": (TABLE, ("--resamples", "-1"), ["--resamples", "-1"]),
    "a negative seed": (TABLE, ("--seed", "-1"), ["--seed: -1 is too small"]),
    "an unknown modality": (TABLE, ("--as", "scrolls"), ["--as: no such modality: scrolls", "protein"]),
    "a result that is no JSON": (TABLE, ("-o", "r.csv"), ["r.csv", ".json"]),
    "a picture of no format": (TABLE, ("--picture", "s.gif"), ["s.gif", ".png"]),
    "a result in no folder": (TABLE, ("-o", "nowhere/r.json"), ["nowhere"]),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_input_gives_one_clear_line_and_no_file(wrong: str, biofm: Any, tmp_path: Path) -> None:
    content, words, message = WRONG[wrong]
    Path("two.fasta").write_text(">a\nMK\n>b\nMK\n")
    Path("other.fasta").write_text(">a\nAAAAA\n")
    if content is not None:
        Path("t.csv").write_text(content)
    before = sorted(tmp_path.iterdir())
    outputs = () if "-o" in words else ("-o", "r.json")
    biofm("evaluate", "t.csv", *CHOICE, *outputs, *words).check_refusal(message)
    assert sorted(tmp_path.iterdir()) == before, "something was left behind"


def test_without_a_score_the_numeric_columns_are_listed(biofm: Any) -> None:
    Path("t.csv").write_text(TABLE)
    outcome = biofm("evaluate", "t.csv", "--measured-column", "fitness")
    assert outcome.status == 1
    assert "Name one or more with --score-column" in outcome.err
    assert "Numeric columns are: fitness, score" in outcome.err


def test_proteins_may_be_named(biofm: Any) -> None:
    Path("t.csv").write_text(TABLE)
    named, unnamed = (
        biofm("evaluate", "t.csv", *CHOICE, *BY_VARIANT, "--resamples", "10", "--json", *words)
        for words in (("--as", "protein"), ())
    )
    assert (named.status, named.out) == (0, unnamed.out)


def test_a_column_named_like_a_baseline_is_refused(biofm: Any) -> None:
    Path("t.csv").write_text(TABLE.replace("score", "BLOSUM62"))
    outcome = biofm("evaluate", "t.csv", "--measured-column", "fitness", "--score-column", "BLOSUM62")
    assert outcome.status == 1
    assert "has the name of a row that biofm adds" in outcome.err


def test_a_pipe_is_refused(biofm: Any) -> None:
    outcome = biofm("evaluate", "-", *CHOICE)
    assert outcome.status == 1
    assert "cannot come through a pipe" in outcome.err


def test_an_existing_result_stays_without_overwrite(biofm: Any) -> None:
    Path("t.csv").write_text(TABLE)
    Path("r.json").write_text("precious")
    assert biofm("evaluate", "t.csv", *CHOICE, "-o", "r.json").status == 1
    assert Path("r.json").read_text() == "precious"
    assert biofm("evaluate", "t.csv", *CHOICE, "-o", "r.json", "--overwrite").status == 0


@pytest.mark.parametrize("with_wild_type", [True, False])
def test_whole_sequences_that_are_none_are_left_out_and_counted(with_wild_type: bool, biofm: Any) -> None:
    """An empty cell, the words for one, and a stop codon inside; a fault stays a fault."""
    sequences = ["MKTAY"[: i - 1] + mutant + "MKTAY"[i:] for i in range(1, 6) for mutant in "CDEW"]
    rows = [f"{one},{row % 7 + row / 20:.3f},{row % 5 - row / 9:.3f}\n" for row, one in enumerate(sequences)]
    whole = "sequence,fitness,score\n" + "".join(rows)
    Path("t.csv").write_text(whole + ",9,1\nNA,9,1\n*,9,1\nMK*AY,9,1\n")
    Path("alone.csv").write_text(whole)
    Path("wt.fasta").write_text(">w\nMKTAY\n")
    wild_type = ("--wild-type", "wt.fasta") if with_wild_type else ()
    further = ("--mutated-column", "sequence", "--json", *wild_type)
    outcome = biofm("evaluate", "t.csv", *CHOICE, *further)
    assert outcome.status == 0, outcome.err
    found, alone = json.loads(outcome.out), json.loads(biofm("evaluate", "alone.csv", *CHOICE, *further).out)
    (notice,) = [count for text, count in found["notices"].items() if "without a protein" in text]
    assert notice == 4
    assert found["rows"] == alone["rows"]


@pytest.mark.parametrize(
    ("n_rows", "n_resamples", "is_said"), [(19, 50, True), (20, 50, False), (19, 0, False)]
)
def test_intervals_over_few_rows_are_called_unreliable(
    n_rows: int, n_resamples: int, is_said: bool, biofm: Any
) -> None:
    Path("t.csv").write_text("\n".join(TABLE.splitlines()[: n_rows + 1]) + "\n")
    outcome = biofm("evaluate", "t.csv", *CHOICE, *BY_VARIANT, "--resamples", n_resamples)
    assert outcome.status == 0, outcome.err
    said = f"In brackets: 95 % bootstrap interval over {n_rows} rows, unreliable because"
    assert (said in outcome.out) == is_said
    assert (f"{n_rows} rows are too few to tell whether that is chance" in outcome.err) == (n_rows < 20)
