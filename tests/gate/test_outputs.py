"""Outputs are checked, get their names at the end, and leave nothing behind."""

import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from biofm.core import OutputError
from biofm.gate import ask
from biofm.policy import Request, Target, TargetKind

MakeRequest = Callable[..., Request]

TOO_LARGE = bytes(4 << 20)


def write(
    request: Request, content: bytes = b"whole", then: Callable[[], object] = lambda: None, deaf: bool = False
) -> None:
    """Write the content, then do something. ``deaf`` ignores errors of the write, as a library might."""
    with ask(request) as permit:
        with suppress(*([OSError] if deaf else [])):
            permit.writer("output").write(content)
        then()


def raiser(fault: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise fault

    return fail


def message_of(request: Request, content: bytes = b"whole") -> str:
    with pytest.raises(OutputError) as caught:
        write(request, content)
    return str(caught.value)


def test_a_file_gets_its_name_only_when_it_is_whole(tmp_path: Path, make_request: MakeRequest) -> None:
    target = tmp_path / "out.h5ad"

    with ask(make_request(writes={"output": Target(path=target)})) as permit:
        permit.writer("output").write(b"half")
        permit.writer("output").flush()
        (partial,) = tmp_path.iterdir()
        assert partial.name.startswith(f".out.h5ad.partial-{os.getpid()}-")
        permit.writer("output").write(b" and half")

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out.h5ad": b"half and half"}


def test_a_writer_can_seek_read_and_be_closed_by_its_user(tmp_path: Path, make_request: MakeRequest) -> None:
    target = tmp_path / "out.npz"

    with ask(make_request(writes={"output": Target(path=target)})) as permit:
        writer = permit.writer("output")
        writer.write(b"abc")
        writer.seek(0)
        assert writer.read() == b"abc"
        writer.close()

    assert target.read_bytes() == b"abc"


@pytest.mark.parametrize("fault", [ValueError("boom"), KeyboardInterrupt(), SystemExit(3)])
def test_any_exception_leaves_nothing_behind_and_goes_on(
    fault: BaseException, tmp_path: Path, make_request: MakeRequest
) -> None:
    request = make_request(writes={"output": Target(path=tmp_path / "out.csv")})

    with pytest.raises(type(fault)) as caught:
        write(request, b"half", then=raiser(fault))

    assert caught.value is fault
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_an_error_that_names_overwrite(tmp_path: Path, make_request: MakeRequest) -> None:
    target = tmp_path / "out.csv"
    target.write_text("precious")

    message = message_of(make_request(writes={"output": Target(path=target)}))

    assert message == (
        f"{target}: the file already exists. Pass --overwrite to replace it, or choose another name"
    )
    assert target.read_text() == "precious"


def test_overwrite_replaces_the_file_and_keeps_its_permissions(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    target = tmp_path / "out.csv"
    target.write_text("old")
    target.chmod(0o640)

    write(make_request(writes={"output": Target(path=target, overwrite=True)}))

    assert target.read_text() == "whole"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_new_file_has_the_permissions_that_the_user_chose(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    before = os.umask(0o027)
    try:
        write(make_request(writes={"output": Target(path=tmp_path / "out.csv")}))
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == 0o640


def test_a_failed_run_keeps_the_file_that_it_was_to_overwrite(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    target = tmp_path / "out.csv"
    target.write_text("old")

    request = make_request(writes={"output": Target(path=target, overwrite=True)})
    with pytest.raises(ZeroDivisionError):
        write(request, b"new", then=raiser(ZeroDivisionError()))

    assert target.read_text() == "old"


def test_overwriting_through_a_symbolic_link_keeps_the_link(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "out.csv"
    link.symlink_to(tmp_path / "disk" / "real.csv")

    write(make_request(writes={"output": Target(path=link)}))

    assert link.is_symlink()
    assert (tmp_path / "disk" / "real.csv").read_text() == "whole"


@pytest.mark.parametrize("links_work", [True, False])
def test_a_file_that_appears_during_the_run_is_not_lost_and_nor_is_the_output(
    links_work: bool, tmp_path: Path, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links_work:
        monkeypatch.setattr(os, "link", no_links)
    target = tmp_path / "out.csv"

    request = make_request(writes={"output": Target(path=target)})
    with pytest.raises(OutputError, match="a file of this name appeared during the run") as caught:
        write(request, b"ours", then=lambda: target.write_text("theirs"))

    assert target.read_text() == "theirs"
    (aside,) = set(tmp_path.iterdir()) - {target}
    assert aside.read_text() == "ours"
    assert caught.value.remedy == f"The finished output was kept as {aside}"
    assert aside.suffix == ".csv"


def test_a_file_system_without_hard_links_serves_too(
    tmp_path: Path, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)

    write(make_request(writes={"output": Target(path=tmp_path / "out.csv")}))

    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_folder_is_not_a_file(tmp_path: Path, make_request: MakeRequest) -> None:
    message = message_of(make_request(writes={"output": Target(path=tmp_path, overwrite=True)}))

    assert message == f"{tmp_path}: this is a folder, not a file. Name a file inside it"


def test_a_pipe_is_not_replaced_by_a_file(tmp_path: Path, make_request: MakeRequest) -> None:
    pipe = tmp_path / "out.csv"
    os.mkfifo(pipe)

    message = message_of(make_request(writes={"output": Target(path=pipe, overwrite=True)}))

    assert message == f"{pipe}: this is not an ordinary file. Choose another name"


def test_a_missing_folder_is_named_with_the_command_that_creates_it(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    target = tmp_path / "new" / "out.csv"

    message = message_of(make_request(writes={"output": Target(path=target)}))

    folder = target.parent
    assert message == f"{target}: there is no folder {folder}. Create it first: mkdir -p {folder}"


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path, make_request: MakeRequest) -> None:
    (tmp_path / "a").touch()
    target = tmp_path / "a" / "out.csv"

    message = message_of(make_request(writes={"output": Target(path=target)}))

    assert message == f"{target}: {tmp_path / 'a'} is a file, not a folder. Choose another folder"


def test_an_unwritable_folder_is_an_output_error_before_any_work(
    plain_folder: Path, make_request: MakeRequest
) -> None:
    folder = plain_folder / "locked"
    folder.mkdir(mode=0o500)

    for target in (Target(path=folder / "out.csv"), Target(path=folder / "run", kind="directory")):
        with pytest.raises(OutputError) as caught, ask(make_request(writes={"output": target})):
            pytest.fail("the work began")
        assert str(caught.value) == (
            f"{target.path}: nothing can be written there (Permission denied). "
            "Choose another folder, or check its permissions and its free space"
        )


def test_an_output_that_is_also_the_input_is_refused_even_with_overwrite(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    table = tmp_path / "proteins.csv"
    table.write_text("id,sequence\n")
    (tmp_path / "link.csv").symlink_to(table)
    target = Target(path=tmp_path / "link.csv", overwrite=True)

    message = message_of(make_request({"input": table}, {"output": target}))

    assert message == f"{target.path}: this file is also an input. Choose another name for the output"
    assert table.read_text() == "id,sequence\n"


def test_two_outputs_of_one_name_are_refused(tmp_path: Path, make_request: MakeRequest) -> None:
    target = Target(path=tmp_path / "out.csv")

    message = message_of(make_request(writes={"output": target, "metadata": target}))

    assert message == f"{target.path}: two outputs have this name. Choose another name for the output"


def test_of_two_outputs_none_gets_its_name_if_one_is_not_whole(
    tmp_path: Path, make_request: MakeRequest, full_disk: None
) -> None:
    writes = {"metadata": Target(path=tmp_path / "a.json"), "output": Target(path=tmp_path / "b.csv")}

    with pytest.raises(OutputError, match=r"b\.csv: writing failed"):
        write(make_request(writes=writes), TOO_LARGE, deaf=True)

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_output_error_that_names_the_target(
    tmp_path: Path, make_request: MakeRequest, full_disk: None
) -> None:
    target = tmp_path / "out.csv"

    message = message_of(make_request(writes={"output": Target(path=target)}), TOO_LARGE)

    assert message == (
        f"{target}: writing failed (File too large). Free some space there, or write to another disk"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_though_a_library_turned_it_into_another_error(
    tmp_path: Path, make_request: MakeRequest, full_disk: None
) -> None:
    target = tmp_path / "out.h5ad"

    request = make_request(writes={"output": Target(path=target)})
    with pytest.raises(OutputError, match="writing failed") as caught:
        write(request, TOO_LARGE, then=raiser(RuntimeError("unable to close file")), deaf=True)

    assert caught.value.where == str(target)


def test_an_error_that_has_nothing_to_do_with_writing_stays_what_it_is(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    with (
        pytest.raises(OSError, match="a disk elsewhere"),
        ask(make_request(writes={"output": Target(path=tmp_path / "out.csv")})),
    ):
        raise OSError(5, "a disk elsewhere")


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_folder_that_goes_during_the_run_is_named(
    kind: TargetKind, tmp_path: Path, make_request: MakeRequest
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    target = Target(path=folder / "out", kind=kind)

    def work() -> None:
        with ask(make_request(writes={"output": target})) as permit:
            shutil.rmtree(folder)
            if kind == "directory":
                (permit.folder("output") / "state").write_bytes(b"whole")

    with pytest.raises(OutputError) as caught:
        work()

    gone = folder / "out" if kind == "directory" else folder
    assert str(caught.value).startswith(f"{gone}: this folder disappeared during the run")
