"""Inputs are opened if they may be read; otherwise an error says why not."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from biofm.core import InputError
from biofm.core.text import shown
from biofm.gate import ask
from biofm.policy import Request, Target

MakeRequest = Callable[..., Request]


def message_of(request: Request) -> str:
    with pytest.raises(InputError) as caught, ask(request):
        pass
    return str(caught.value)


def test_a_permit_carries_the_opened_files_in_the_requests_order(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    paths = tuple(tmp_path / name for name in ("b.safetensors", "a.safetensors"))
    for path in paths:
        path.write_text(path.name)
    request = make_request({"input": paths[0]})
    shards = make_request({"weights": paths}, verb="load")

    with ask(request) as permit:
        assert permit.reader("input").read() == b"b.safetensors"
    with ask(shards) as permit:
        readers = permit.readers("weights")
        assert [reader.read() for reader in readers] == [b"b.safetensors", b"a.safetensors"]
    assert all(reader.closed for reader in readers)


def test_a_dash_is_standard_input_which_stays_open(
    make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b">P\nMK\n"))
    monkeypatch.setattr(sys, "stdin", stdin)

    with ask(make_request({"input": Path("-")})) as permit:
        assert permit.reader("input").read() == b">P\nMK\n"

    assert not stdin.buffer.closed


@pytest.mark.parametrize("once", [{"variants"}, set(), {"inputs"}])
def test_standard_input_is_refused_where_a_file_is_read_otherwise(
    once: set[str], make_request: MakeRequest
) -> None:
    request = make_request({"input": Path("-")}, once=frozenset(once))
    assert message_of(request).startswith("-: this input is read several times or out of order")


def test_an_estimate_takes_standard_input_and_no_pipe_because_what_it_reads_of_one_is_gone_for_the_run(
    tmp_path: Path, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b">P\nMK\n")))
    with ask(make_request({"input": Path("-")}, verb="estimate")) as permit:
        assert permit.reader("input").read() == b">P\nMK\n"

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    both = os.open(pipe, os.O_RDWR)  # Nothing waits, even if the pipe is accepted.
    assert message_of(make_request({"input": pipe}, verb="estimate")).startswith(
        f"{pipe}: this is a pipe, not a file"
    )
    os.close(both)


def test_standard_input_that_is_closed_is_an_input_error(
    make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)

    message = message_of(make_request({"input": Path("-")}))

    assert message == "-: standard input is closed. Pipe a file into the command, or give a file name"


def test_a_missing_file_is_named_with_the_folder_to_look_in(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    path = tmp_path / "proteins.fasta"

    message = message_of(make_request({"input": path}))

    assert message == f"{path}: there is no such file. Check the name (the folder {tmp_path} exists)"


def test_a_missing_file_of_the_current_folder_is_named_with_that_folder(make_request: MakeRequest) -> None:
    message = message_of(make_request({"input": Path("nothing.fasta")}))
    remedy = f"Check the name (the current folder is {os.getcwd()})"
    assert message == f"nothing.fasta: there is no such file. {remedy}"


def test_a_missing_folder_is_named_with_the_place_it_was_sought_from(make_request: MakeRequest) -> None:
    message = message_of(make_request({"input": Path("nowhere/proteins.fasta")}))

    assert message == (
        f"{Path('nowhere/proteins.fasta')}: there is no such file. "
        f"Check the path: there is no folder nowhere (the current folder is {os.getcwd()})"
    )


def test_a_folder_is_not_a_file(tmp_path: Path, make_request: MakeRequest) -> None:
    message = message_of(make_request({"input": tmp_path}))

    assert message == f"{tmp_path}: this is a folder, not a file. Name a file inside it"


def test_a_file_without_permission_is_an_input_error(plain_folder: Path, make_request: MakeRequest) -> None:
    path = plain_folder / "secret.fasta"
    path.write_text(">P\nMK\n")
    path.chmod(0)

    message = message_of(make_request({"input": path}))

    assert message == (
        f"{path}: the file cannot be read (Permission denied). Check its permissions: ls -l shows them"
    )


@pytest.mark.parametrize(
    ("name", "reason"), [("a" * 300, "File name too long"), ("a\0b", "its name holds a NUL character")]
)
def test_a_name_that_no_file_can_have_is_an_input_error(
    name: str, reason: str, tmp_path: Path, make_request: MakeRequest
) -> None:
    message = message_of(make_request({"input": tmp_path / name}))

    assert message == f"{tmp_path / shown(name)}: the file cannot be read ({reason}). Check the path"


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_not_a_file(device: str, make_request: MakeRequest) -> None:
    """Check this because one of the devices never ends."""
    assert message_of(make_request({"config": Path(device)})) == (
        f"{device}: this is a device, not a file. Give an ordinary file"
    )


def test_a_pipe_is_taken_where_a_stream_is_read_and_nowhere_else(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert message_of(make_request({"config": pipe})) == (
        f"{pipe}: this is a pipe, not a file. Save its contents to a file first"
    )
    both = os.open(pipe, os.O_RDWR)  # Neither end then waits for the other.
    with ask(make_request({"input": pipe})) as permit:
        os.write(both, b">P")
        assert permit.reader("input").read(2) == b">P"
    os.close(both)


def change_while_read(request: Request, change: Callable[[], object], fault: Exception | None = None) -> None:
    with ask(request) as permit:
        permit.writer("output").write(permit.reader("input").read())
        change()
        if fault:
            raise fault


@pytest.mark.parametrize("fault", [None, ValueError("what a library makes of half a file")])
@pytest.mark.parametrize("size", [0, 5, 400])
def test_an_input_that_changes_while_it_is_read_is_named_and_nothing_is_written(
    size: int, fault: Exception | None, tmp_path: Path, make_request: MakeRequest
) -> None:
    path, output = tmp_path / "in.fasta", tmp_path / "out.csv"
    path.write_text(">P\nMK\n")
    request = make_request({"input": path}, {"output": Target(path=output)})

    with pytest.raises(InputError) as caught:
        change_while_read(request, lambda: os.truncate(path, size), fault)

    assert str(caught.value) == (
        f"{path}: this file was changed while it was read. Repeat the command when nothing changes the file"
    )
    assert list(tmp_path.iterdir()) == [path]


def test_an_input_may_be_replaced_by_another_file_and_change_when_it_was_let_go(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    path = tmp_path / "in.fasta"
    path.write_text(">P\nMK\n")
    request = make_request({"input": path}, {"output": Target(path=tmp_path / "out.csv")})

    def replace() -> None:
        (tmp_path / "other").write_text("another")
        (tmp_path / "other").replace(path)

    change_while_read(request, replace)
    with ask(make_request({"input": path})) as permit:
        permit.let_go("input")
        os.truncate(path, 1)
