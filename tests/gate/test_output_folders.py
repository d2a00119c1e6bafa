"""Output folders may hold some files and links, which stay."""

from collections.abc import Callable
from pathlib import Path

import pytest

from biofm.core import OutputError
from biofm.gate import ask
from biofm.policy import Request, Target

MakeRequest = Callable[..., Request]

TOO_LARGE = bytes(4 << 20)


def test_a_folder_is_created_and_what_is_in_it_stays(tmp_path: Path, make_request: MakeRequest) -> None:
    target = Target(path=tmp_path / "run", kind="directory")

    def interrupted_run() -> None:
        with ask(make_request(writes={"run": target})) as permit:
            (permit.folder("run") / "log.csv").write_text("step\n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_run()

    assert [path.name for path in target.path.iterdir()] == ["log.csv"]


def test_a_folder_that_holds_files_needs_overwrite(tmp_path: Path, make_request: MakeRequest) -> None:
    (tmp_path / "log.csv").touch()

    with (
        pytest.raises(OutputError) as caught,
        ask(make_request(writes={"run": Target(path=tmp_path, kind="directory")})),
    ):
        pytest.fail("the work began")
    assert str(caught.value) == (
        f"{tmp_path}: the folder is not empty. "
        "Pass --overwrite to write into it anyway, or choose another folder"
    )

    with ask(make_request(writes={"run": Target(path=tmp_path, kind="directory", overwrite=True)})) as permit:
        assert [path.name for path in permit.folder("run").iterdir()] == ["log.csv"]


def test_a_file_is_not_a_folder(tmp_path: Path, make_request: MakeRequest) -> None:
    target = tmp_path / "run"
    target.touch()

    with (
        pytest.raises(OutputError) as caught,
        ask(make_request(writes={"run": Target(path=target, kind="directory", overwrite=True)})),
    ):
        pytest.fail("the work began")
    assert str(caught.value) == f"{target}: this is a file, not a folder. Choose another name"


def test_a_disk_that_fills_up_while_a_folder_is_written_is_named(
    tmp_path: Path, make_request: MakeRequest, full_disk: None
) -> None:
    target = Target(path=tmp_path / "run", kind="directory")

    with pytest.raises(OutputError) as caught, ask(make_request(writes={"run": target})) as permit:
        (permit.folder("run") / "last.ckpt").write_bytes(TOO_LARGE)

    assert str(caught.value) == (
        f"{target.path}: writing failed (File too large). Free some space there, or write to another disk"
    )


@pytest.mark.parametrize(
    "planted", ["checkpoints", ".unfinished", ".recipe.toml.partial", "data/.unfinished"]
)
def test_a_folder_with_a_link_out_of_it_is_refused_since_work_there_would_remove_files_elsewhere(
    planted: str, tmp_path: Path, make_request: MakeRequest
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "run" / planted
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    target = Target(path=tmp_path / "run", kind="directory", overwrite=True)

    with pytest.raises(OutputError) as caught, ask(make_request(writes={"run": target})):
        pytest.fail("the work began")

    assert str(caught.value) == (
        f"{link}: this is a link out of the folder, to {elsewhere}. "
        "Remove the link, or replace it by a copy of its target"
    )


def test_links_within_a_folder_stay_and_so_does_a_link_to_it(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    (tmp_path / "disk" / "wandb" / "run-1").mkdir(parents=True)
    (tmp_path / "disk" / "wandb" / "latest-run").symlink_to("run-1")
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    target = Target(path=tmp_path / "run", kind="directory", overwrite=True)

    with ask(make_request(writes={"run": target})) as permit:
        (permit.folder("run") / "log.csv").touch()

    assert (tmp_path / "disk" / "log.csv").exists()
