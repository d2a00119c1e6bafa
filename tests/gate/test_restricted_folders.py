"""Under a policy that restricts folders, a permit opens and creates nothing outside them."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from biofm.core import BiofmError, InputError, OutputError, RefusedError
from biofm.gate import ask
from biofm.gate.confinement import Confinement
from biofm.gate.permit import open_permit
from biofm.gate.roots import Roots
from biofm.policy import Request, Target, TargetKind

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a policy cannot restrict folders there")
MakeRequest = Callable[..., Request]
Attempt = Callable[..., str]


def no_worker(worker: Confinement) -> None:
    """Fail, because no worker starts in these tests."""
    pytest.fail(f"a worker ran: {worker}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an allowed folder, beside which a secret lies, with links to it."""
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "in.fasta").write_text(">P\nMK\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.fasta").write_text("secret")
    (folder / "link").symlink_to("../outside")
    (folder / "link.fasta").symlink_to("../outside/secret.fasta")
    (folder / "inner.fasta").symlink_to("in.fasta")
    return folder


@pytest.fixture
def attempt(root: Path, make_request: MakeRequest) -> Iterator[Attempt]:
    """Return a function that opens a permit in the root, copies the input to the output, and returns it."""

    def act(reads: str = "in.fasta", kind: TargetKind = "file", **writes: str) -> str:
        targets = {role: Target(path=root / name, kind=kind, overwrite=True) for role, name in writes.items()}
        request = make_request({"input": root / reads}, targets)
        with open_permit(request, Roots(read=(root,), write=(root,)), no_worker) as permit:
            content = permit.reader("input").read()
            if kind == "file":
                for role in writes:
                    permit.writer(role).write(content)
            return content.decode()

    yield act
    assert [path.name for path in (root.parent / "outside").iterdir()] == ["secret.fasta"]
    assert (root.parent / "outside" / "secret.fasta").read_text() == "secret"


def test_files_in_the_folder_are_read_and_written(attempt: Attempt, root: Path) -> None:
    assert attempt("inner.fasta", output="sub/out.fasta") == ">P\nMK\n"
    assert (root / "sub" / "out.fasta").read_text() == ">P\nMK\n"


@pytest.mark.parametrize(
    "name", ["link.fasta", "link/secret.fasta", "../outside/secret.fasta", "/etc/passwd"]
)
def test_an_input_outside_is_refused(name: str, attempt: Attempt, root: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        attempt(name)
    assert str(caught.value) == (
        f"{root / name}: the policy does not allow this path: it lies outside the folders that the policy "
        "allows. Give a path inside them, without .. and without links that lead elsewhere"
    )


@pytest.mark.parametrize("kind", ["file", "directory", "scratch", "journal"])
@pytest.mark.parametrize("name", ["link/new", "../outside/new", "/nowhere/new"])
def test_a_target_outside_is_refused(kind: TargetKind, name: str, attempt: Attempt) -> None:
    with pytest.raises(RefusedError, match="it lies outside the folders that the policy allows"):
        attempt(kind=kind, output=name)


def test_a_target_that_is_a_link_is_refused(attempt: Attempt, root: Path) -> None:
    (root / "other.fasta").write_text(">Q\nMK\n")
    for name in ("link.fasta", "inner.fasta"):
        with pytest.raises(RefusedError, match="the policy does not allow links here"):
            attempt("other.fasta", output=name)


def test_the_usual_faults_have_their_usual_messages(attempt: Attempt) -> None:
    expected: dict[str, tuple[type[BiofmError], str]] = {
        "missing.fasta": (InputError, "there is no such file"),
        "sub": (InputError, "this is a folder, not a file"),
    }
    for name, (kind, message) in expected.items():
        with pytest.raises(kind, match=message):
            attempt(name)
    with pytest.raises(OutputError, match="there is no folder"):
        attempt(output="nowhere/out")


def test_a_pipe_is_read_where_a_stream_is(root: Path, make_request: MakeRequest) -> None:
    os.mkfifo(root / "pipe")
    both = os.open(root / "pipe", os.O_RDWR)  # Neither end then waits for the other.
    request = make_request({"input": root / "pipe"})
    with open_permit(request, Roots(read=(root,), write=(root,)), no_worker) as permit:
        os.write(both, b">P")
        assert permit.reader("input").read(2) == b">P"
    os.close(both)


def test_a_folder_that_is_swapped_for_a_link_during_the_run_gets_nothing(
    root: Path, make_request: MakeRequest
) -> None:
    request = make_request(writes={"output": Target(path=root / "sub" / "out.csv")})

    def write_and_swap() -> None:
        with open_permit(request, Roots(read=(root,), write=(root,)), no_worker) as permit:
            permit.writer("output").write(b"ours")
            (root / "sub").rename(root / "moved")
            (root / "sub").symlink_to("../outside")

    with pytest.raises(OutputError, match="its folder was moved or replaced during the run"):
        write_and_swap()
    assert list((root / "moved").iterdir()) == []
    assert [path.name for path in (root / "sub").iterdir()] == ["secret.fasta"]


def test_a_library_reads_the_file_that_was_opened_whatever_its_name_means_by_now(
    root: Path, make_request: MakeRequest
) -> None:
    with ask(make_request({"input": root / "in.fasta"})) as permit:
        (root / "in.fasta").rename(root / "old.fasta")
        (root / "in.fasta").symlink_to("../outside/secret.fasta")
        name = permit.path_for_library("input")
        assert name.read_text() == ">P\nMK\n"
    if sys.platform.startswith("linux"):
        assert str(name).startswith("/proc/self/fd/")


def test_a_name_that_misleads_a_library_is_an_error_of_the_input_or_the_output(
    root: Path, make_request: MakeRequest
) -> None:
    with pytest.raises(InputError) as caught, ask(make_request({"input": root / "a##idx##b"})):
        pass
    reason = "its name holds ##idx##, after which some libraries read a second name"
    assert str(caught.value) == f"{root}/a##idx##b: the file cannot be read ({reason}). Check the path"
    target = Target(path=root / "a##idx##b")
    with pytest.raises(OutputError) as failed, ask(make_request(writes={"output": target})):
        pass
    assert failed.value.what == f"nothing can be written there ({reason})"
    with (
        pytest.raises(InputError, match="its name is an address"),
        ask(make_request({"input": Path("s3:/x")})),
    ):
        pass
