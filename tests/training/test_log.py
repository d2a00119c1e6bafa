"""The log of a run survives interruptions, letter for letter."""

from pathlib import Path

from biofm.training.log import COLUMNS, append_row, keep_rows, read_log


def row(step: int) -> dict[str, float]:
    return {
        "step": step, "tokens": step * 10, "loss": 2.5000049, "learning_rate": 0.001,
        "tokens_per_second": 5.4,
    }  # fmt: skip


def test_rows_are_read_as_numbers_and_lack_what_has_none(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    keep_rows(file, 0)
    append_row(file, row(7))
    append_row(file, {"validation_loss": 2.25} | row(8))
    first, second = read_log(file)
    assert first == {
        "step": 7.0,
        "tokens": 70.0,
        "loss": 2.5,
        "learning_rate": 0.001,
        "tokens_per_second": 5.0,
    }
    assert second["validation_loss"] == 2.25
    assert file.read_text().splitlines()[0] == ",".join(COLUMNS)


def test_rows_after_the_last_checkpoint_are_dropped_and_the_others_stay_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    keep_rows(file, 0)
    append_row(file, row(3))
    before = file.read_bytes()
    append_row(file, row(6))

    keep_rows(file, 5)

    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_row_that_a_killed_run_wrote_in_part_is_dropped(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    keep_rows(file, 0)
    append_row(file, row(3))
    before = file.read_bytes()
    with file.open("a") as stream:
        stream.write("4,4")
    keep_rows(file, 5)
    assert file.read_bytes() == before
