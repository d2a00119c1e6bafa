"""Progress shows a bar on a terminal, occasional plain lines elsewhere, and nothing when quiet."""

import io
import sys

import pytest

from biofm.core import SILENT, Progress, ProgressSink
from tests.conftest import Clock

ESCAPE = "\x1b"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(
    stream: io.StringIO, clock: Clock, *updates: tuple[float, int, float | None], quiet: bool = False
) -> str:
    """Return everything that updates (seconds since the start, tokens, fraction) write."""
    with Progress("embedding", quiet=quiet, stream=stream, clock=clock) as progress:
        for seconds, tokens, fraction in updates:
            clock.now_s = 100.0 + seconds
            progress.update(tokens=tokens, fraction=fraction)
    return stream.getvalue()


def test_without_a_terminal_there_is_at_most_one_plain_line_every_ten_seconds(clock: Clock) -> None:
    written = run(
        io.StringIO(),
        clock,
        (1, 100, 0.1),
        (10, 5000, 0.25),
        (15, 6000, 0.3),
        (19.9, 7000, 0.4),
        (21, 21000, 0.5),
    )

    assert written == (
        "embedding: 25%, 5,000 tokens, 500 tokens/s, 30 s left\n"
        "embedding: 50%, 21,000 tokens, 1,000 tokens/s, 21 s left\n"
    )


def test_a_job_of_unknown_length_shows_no_share_and_no_time_left(clock: Clock) -> None:
    assert run(io.StringIO(), clock, (10, 5000, None)) == "embedding: 5,000 tokens, 500 tokens/s\n"


def test_a_job_that_has_not_begun_shows_no_time_left(clock: Clock) -> None:
    assert run(io.StringIO(), clock, (10, 0, 0.0)) == "embedding: 0%, 0 tokens, 0 tokens/s\n"


def test_work_of_an_earlier_session_counts_for_the_share_and_not_for_the_time(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress("embedding", stream=stream, clock=clock) as progress:
        clock.now_s += 5  # The earlier work was read again in this time.
        progress.start_from(0.5)
        clock.now_s += 10
        progress.update(tokens=5000, fraction=0.6)

    assert stream.getvalue() == "embedding: 60%, 5,000 tokens, 500 tokens/s, 40 s left\n"


@pytest.mark.parametrize("fraction", [None, 0.0, 0.5, 1.0])
def test_a_terminal_shows_a_bar_with_speed_and_time_left(fraction: float | None, clock: Clock) -> None:
    written = run(Terminal(), clock, (0, 0, fraction), (30, 60000, fraction))

    assert "embedding" in written
    assert ESCAPE in written
    assert "2,000 tokens/s" in written
    assert ("30 s left" in written) == (fraction == 0.5)


def test_a_terminal_that_knows_no_escape_codes_gets_lines(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")

    assert run(Terminal(), clock, (10, 50, 0.5)) == "embedding: 50%, 50 tokens, 5 tokens/s, 10 s left\n"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_quiet_means_nothing_is_written(stream: io.StringIO, clock: Clock) -> None:
    assert run(stream, clock, (10, 50, 0.5), quiet=True) == ""


def test_results_on_standard_output_do_not_pass_through_the_bar(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()

    with Progress("embedding", stream=terminal, clock=clock):
        print('{"n_records": 3}')

    assert capsys.readouterr().out == '{"n_records": 3}\n'
    assert "n_records" not in terminal.getvalue()


def test_the_bar_is_taken_away_when_the_work_fails(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()

    with pytest.raises(ZeroDivisionError), Progress("embedding", stream=terminal, clock=clock):
        raise ZeroDivisionError

    assert terminal.getvalue().endswith(f"{ESCAPE}[2K")


def test_what_its_giver_says_of_it_stands_in_the_place_of_speed_and_time_left(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress("training", stream=stream, clock=clock) as progress:
        clock.now_s += 20
        progress.update(fraction=0.5, detail="loss 2.71, 5,240 tokens/s, 12 min left")
    assert stream.getvalue() == "training: 50%, loss 2.71, 5,240 tokens/s, 12 min left\n"


@pytest.mark.parametrize("quiet", [True, False])
def test_a_listener_is_told_what_is_done_and_which_share_of_it_whether_quiet_or_not(
    quiet: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, float | None]] = []
    sink = ProgressSink(quiet=quiet, listener=lambda label, fraction: told.append((label, fraction)))

    with sink.bar("reading") as bar:
        bar.update(tokens=10)
        bar.update(tokens=20, fraction=0.5)
    with sink.stages() as stages:
        stages.update("training", 1, 4)
        stages.update("training", 4, 4, "loss 2.71")
        stages.update("judging", 0, 0)

    assert told == [
        ("reading", None),
        ("reading", 0.5),
        ("training", 0.25),
        ("training", 1.0),
        ("judging", 1.0),
    ]
    assert capsys.readouterr() == ("", "")  # It is not a terminal, and less than ten seconds have passed.


@pytest.mark.parametrize("sink", [SILENT, ProgressSink(), ProgressSink(quiet=True)])
def test_a_sink_is_quiet_unless_it_is_told_otherwise(
    sink: ProgressSink, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert show_all(sink, monkeypatch) == ""
    assert ESCAPE in show_all(ProgressSink(quiet=False), monkeypatch)
    assert capsys.readouterr().out == ""


def show_all(sink: ProgressSink, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a bar and stages write to a terminal."""
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with sink.bar("reading") as bar, sink.stages() as stages:
        bar.update(fraction=0.5)
        stages.update("training", 1, 4)
    return terminal.getvalue()
