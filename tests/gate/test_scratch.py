"""Unfinished work beside an output is kept if a run is interrupted, and removed when it has ended."""

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biofm.core import OutputError
from biofm.core.journal import Entry, Journal, key_of
from biofm.gate import ask, scratch_path
from biofm.policy import Request, Target

MakeRequest = Callable[..., Request]


def do(journal: Journal, *numbers: int) -> None:
    """Commit these records."""
    if not journal.n_done:
        journal.begin({"how": "so"}, {})
    for number in numbers:
        journal.commit([Entry(number, [number])], {key_of(str(number)): np.full(3, number, np.float32)})


def numbers_in(path: Path) -> list[int]:
    journal = Journal(path, read_only=True)
    numbers = [entry.number for entry in journal.entries()]
    journal.close()
    return numbers


@pytest.fixture
def request_of(tmp_path: Path, make_request: MakeRequest) -> Callable[..., Request]:
    """Return a request that writes ``out.npz`` and keeps its work beside it."""

    def make(**options: Any) -> Request:
        output = tmp_path / "out.npz"
        work = Target(path=scratch_path(output), kind="scratch", **options)
        overwrite = options.get("overwrite", False)
        return make_request(writes={"output": Target(path=output, overwrite=overwrite), "work": work})

    return make


def cut_short(request: Request, *numbers: int, fault: BaseException | None = None) -> BaseException:
    """Do some of the work and fail, and return the exception that came out."""
    fault = fault or KeyboardInterrupt()
    with pytest.raises(type(fault)):
        do_and_then(request, numbers, raiser(fault))
    return fault


def do_and_then(request: Request, numbers: tuple[int, ...], then: Callable[[], object]) -> None:
    with ask(request) as permit:
        do(permit.journal("work"), *numbers)
        then()


def raiser(fault: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise fault

    return fail


def test_work_lies_hidden_beside_the_output_and_goes_when_that_is_there(
    tmp_path: Path, request_of: Callable[..., Request]
) -> None:
    with ask(request_of()) as permit:
        do(permit.journal("work"), 1, 2)
        permit.writer("output").write(b"whole")
        assert numbers_in(tmp_path / ".out.npz.run" / "journal.sqlite3") == [1, 2]

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out.npz": b"whole"}


@pytest.mark.parametrize("fault", [ValueError("boom"), KeyboardInterrupt(), SystemExit(143)])
def test_work_is_kept_at_a_fault_that_then_says_so(
    fault: BaseException, tmp_path: Path, request_of: Callable[..., Request]
) -> None:
    cut_short(request_of(), 1, 2, fault=fault)

    assert fault.__notes__ == ["2 records done and kept: repeat the command with --resume to continue"]
    assert [path.name for path in tmp_path.iterdir()] == [".out.npz.run"]


def test_without_work_done_nothing_is_kept(tmp_path: Path, request_of: Callable[..., Request]) -> None:
    fault = cut_short(request_of())

    assert list(tmp_path.iterdir()) == []
    assert getattr(fault, "__notes__", []) == []


def test_unfinished_work_is_an_error_that_names_the_ways_on(
    tmp_path: Path, request_of: Callable[..., Request]
) -> None:
    cut_short(request_of(), 1, 2)

    with pytest.raises(OutputError) as fault, ask(request_of()):
        pytest.fail("the work began")

    assert str(fault.value) == (
        f"{tmp_path / '.out.npz.run'}: there is an unfinished run here (2 records done). "
        "Pass --resume to continue it, or --overwrite to start again"
    )
    assert numbers_in(tmp_path / ".out.npz.run" / "journal.sqlite3") == [1, 2]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"resume": True}, [1, 2, 3]),
        ({"resume": True, "overwrite": True}, [1, 2, 3]),
        ({"overwrite": True}, [3]),
    ],
)
def test_resume_goes_on_and_overwrite_alone_begins_again(
    options: dict[str, bool], expected: list[int], request_of: Callable[..., Request]
) -> None:
    cut_short(request_of(), 1, 2)

    with ask(request_of(**options)) as permit:
        do(permit.journal("work"), 3)
        assert [entry.number for entry in permit.journal("work").entries()] == expected


def test_a_leftover_without_work_is_begun_again_in_silence(
    tmp_path: Path, request_of: Callable[..., Request]
) -> None:
    (tmp_path / ".out.npz.run").mkdir()
    Journal(tmp_path / ".out.npz.run" / "journal.sqlite3").close()

    with ask(request_of()) as permit:
        do(permit.journal("work"), 1)


def test_a_damaged_leftover_is_kept_until_it_may_be_given_up(
    tmp_path: Path, request_of: Callable[..., Request]
) -> None:
    cut_short(request_of(), 1)
    journal = tmp_path / ".out.npz.run" / "journal.sqlite3"
    journal.write_bytes(b"#" * 9999)

    for options in ({}, {"resume": True}):
        with pytest.raises(OutputError, match="is damaged"), ask(request_of(**options)):
            pytest.fail("the work began")
        assert journal.read_bytes() == b"#" * 9999
    with ask(request_of(overwrite=True)) as permit:
        do(permit.journal("work"), 1)


def test_a_second_run_to_the_same_output_hears_of_the_first_and_leaves_it_alone(
    request_of: Callable[..., Request],
) -> None:
    with ask(request_of()) as permit:
        do(permit.journal("work"), 1)
        for options in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(OutputError, match="another process is working"), ask(request_of(**options)):
                pytest.fail("the work began")
        do(permit.journal("work"), 2)
        assert permit.journal("work").n_done == 2


def test_a_file_in_place_of_the_folder_is_an_error(
    tmp_path: Path, request_of: Callable[..., Request]
) -> None:
    (tmp_path / ".out.npz.run").touch()

    with pytest.raises(OutputError, match="nothing can be written there"), ask(request_of()):
        pytest.fail("the work began")
    assert (tmp_path / ".out.npz.run").exists()


def test_work_that_was_asked_for_becomes_a_file_of_its_own(tmp_path: Path, make_request: MakeRequest) -> None:
    target = Target(path=tmp_path / "part", kind="journal")

    with ask(make_request(writes={"work": target})) as permit:
        do(permit.journal("work"), 1, 2)
        assert not target.path.exists()

    assert [path.name for path in tmp_path.iterdir()] == ["part"]
    assert numbers_in(target.path) == [1, 2]
    with (
        pytest.raises(OutputError, match="the file already exists"),
        ask(make_request(writes={"work": target})),
    ):
        pytest.fail("the work began")
    replacing = Target(path=target.path, kind="journal", overwrite=True)
    with ask(make_request(writes={"work": replacing})) as permit:
        do(permit.journal("work"), 7)
    assert numbers_in(target.path) == [7]


def test_a_file_that_appears_during_the_run_is_not_replaced_and_the_work_stays(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    target = Target(path=tmp_path / "part", kind="journal")

    with pytest.raises(OutputError, match="nothing can be written there"):
        do_and_then(make_request(writes={"work": target}), (1,), lambda: target.path.write_text("theirs"))

    assert target.path.read_text() == "theirs"
    assert numbers_in(tmp_path / ".part.run" / "journal.sqlite3") == [1]


def test_more_journals_are_read_than_files_may_be_open_by_default(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    journal = Journal(tmp_path / "part")
    do(journal, 1, 2)
    journal.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        reads = {"shards": (tmp_path / "part",) * 200}
        with ask(make_request(reads)) as permit:
            assert {found.n_done for found in permit.journals("shards")} == {2}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_journals_are_read_where_a_request_says_so(tmp_path: Path, make_request: MakeRequest) -> None:
    journal = Journal(tmp_path / "part")
    do(journal, 1, 2)
    journal.close()

    with ask(make_request(reads={"shards": tmp_path / "part"})) as permit:
        (found,) = permit.journals("shards")
        assert [entry.number for entry in found.entries()] == [1, 2]


@pytest.mark.parametrize("planted", [".out.npz.run", "journal.sqlite3", "journal.sqlite3-journal"])
@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}])
def test_a_link_planted_in_the_place_of_work_is_never_followed_nor_is_what_it_leads_to_removed(
    options: dict[str, bool], planted: str, tmp_path: Path, request_of: Callable[..., Request]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("journal.sqlite3", "journal.sqlite3-journal"):
        journal = Journal(elsewhere / name)
        do(journal, 1, 2)
        journal.close()
    before = {path.name: path.read_bytes() for path in elsewhere.iterdir()}
    if planted == ".out.npz.run":
        link = tmp_path / planted
        link.symlink_to(elsewhere)
    else:
        (tmp_path / ".out.npz.run").mkdir()
        link = tmp_path / ".out.npz.run" / planted
        link.symlink_to(elsewhere / planted)

    with pytest.raises(OutputError) as fault, ask(request_of(**options)):
        pytest.fail("the work began")

    assert str(fault.value) == (
        f"{link}: unfinished work belongs here, but this is a link, which biofm does not follow. "
        "Remove the link"
    )
    assert {path.name: path.read_bytes() for path in elsewhere.iterdir()} == before
    assert link.is_symlink()
