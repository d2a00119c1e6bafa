"""Files are opened below allowed folders, and nothing leads out of them: links, ``..``, names, races."""

import errno
import os
import random
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from biofm.gate.kernel_open import openat2
from biofm.gate.roots import (
    ON_THE_WAY,
    OutsideRootsError,
    UnsafeNameError,
    check_below,
    check_name,
    has_openat2,
    open_below,
    shared_roots,
    walk,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a policy cannot restrict folders there")

Opened = tuple[int, int] | str
OpenFrom = Callable[[Path, str], Opened]

NAMES = ("a", "A", "b", unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"))


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, ON_THE_WAY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def by_the_kernel(root: Path, name: str) -> Opened:
    """What the system call opens: the file's identity, or "outside", or the name of an error."""
    with opened(root) as folder:
        return identity(lambda: openat2(folder, name, os.O_RDONLY, 0))


def step_by_step(root: Path, name: str) -> Opened:
    with opened(root) as folder:
        return identity(lambda: walk(folder, list(Path(name).parts), os.O_RDONLY, 0))


def identity(open_one: Callable[[], int]) -> Opened:
    try:
        descriptor = open_one()
    except OSError as error:
        return "outside" if error.errno == errno.EXDEV else errno.errorcode[error.errno or 0]
    status = os.fstat(descriptor)
    os.close(descriptor)
    return status.st_dev, status.st_ino


ENGINES = [
    pytest.param(
        by_the_kernel, marks=pytest.mark.skipif(not has_openat2(), reason="the kernel has no openat2")
    ),
    step_by_step,
]


def plant(folder: Path, draw: random.Random, targets: tuple[str, ...], depth: int = 2) -> None:
    """Fill a folder with folders, files and links to names like its own and to the targets."""
    for name in draw.sample(NAMES, 3):
        place, kind = folder / name, draw.random()
        if kind < 0.4 and depth:
            place.mkdir()
            plant(place, draw, targets, depth - 1)
        elif kind < 0.6:
            place.write_text("content")
        else:
            place.symlink_to("/".join(draw.choices(targets, k=draw.randint(1, 3))))


def reference(root: Path, name: str) -> Opened:
    """What the path means to any program, by the system's own resolution."""
    whole = os.path.join(root, name)
    try:
        status = os.stat(whole)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    inside = os.path.realpath(whole) == str(root) or os.path.realpath(whole).startswith(f"{root}/")
    return (status.st_dev, status.st_ino) if inside else "outside"


def cases(folder: Path, targets: tuple[str, ...], n_trees: int) -> Iterator[tuple[Path, str]]:
    for seed in range(n_trees):
        draw = random.Random(seed)
        outer = (folder / str(seed)).resolve()
        root = outer / "root"
        root.mkdir(parents=True)
        (outer / "a").write_text("secret")
        plant(root, draw, targets)
        for _ in range(100):
            yield root, "/".join(draw.choices((*NAMES, *targets), k=draw.randint(1, 4))).strip("/")


@pytest.mark.parametrize("engine", ENGINES)
def test_without_steps_upwards_a_path_means_what_it_means_to_any_program(
    engine: OpenFrom, tmp_path: Path
) -> None:
    outcomes = [(engine(*case), reference(*case)) for case in cases(tmp_path, NAMES, 60)]
    assert [pair for pair in outcomes if pair[0] != pair[1]] == []
    assert sum(isinstance(found, tuple) for found, _ in outcomes) > 300
    assert {found for found, _ in outcomes if isinstance(found, str)} >= {"ENOENT", "ELOOP", "ENOTDIR"}


@pytest.mark.parametrize("engine", ENGINES)
def test_with_links_and_steps_that_lead_out_nothing_outside_is_ever_opened(
    engine: OpenFrom, tmp_path: Path
) -> None:
    targets = (*NAMES, "..", "../..", "../root", "../a", str(tmp_path), "/etc/passwd")
    outcomes = [(engine(*case), reference(*case)) for case in cases(tmp_path, targets, 60)]
    wrong = [(found, meant) for found, meant in outcomes if isinstance(found, tuple) and found != meant]
    assert wrong == []
    meant_outside = [found for found, meant in outcomes if meant == "outside"]
    assert len(meant_outside) > 100
    assert set(meant_outside) == {"outside"}
    assert sum(isinstance(found, tuple) for found, _ in outcomes) > 100


@pytest.mark.skipif(not has_openat2(), reason="the kernel has no openat2")
def test_the_kernel_and_the_steps_answer_alike(tmp_path: Path) -> None:
    targets = (*NAMES, "..", "../root", str(tmp_path))
    for root, name in cases(tmp_path, targets, 60):
        assert step_by_step(root, name) == by_the_kernel(root, name), (root, name)


def opens(open_one: Callable[[], Opened], until: set[int | str]) -> set[int | str]:
    """What thousands of attempts opened: inodes and errors; at least as many as it takes to see ``until``."""
    found: set[int | str] = set()
    for n_tried in range(1_000_000):
        one = open_one()
        found.add(one if isinstance(one, str) else one[1])
        if n_tried > 10_000 and until <= found:
            break
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_a_folder_that_is_swapped_for_a_link_while_it_is_opened_never_leads_out(
    engine: OpenFrom, tmp_path: Path
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder, content in ((root / "sub", "inside"), (outside, "secret")):
        folder.mkdir(parents=True)
        (folder / "file").write_text(content)
    inside, secret = (os.stat(folder / "file").st_ino for folder in (root / "sub", outside))
    (root / "link").symlink_to("../outside")
    is_over = threading.Event()

    def swap() -> None:
        while not is_over.is_set():
            for step in (("sub", "kept"), ("link", "sub"), ("sub", "link"), ("kept", "sub")):
                with suppress(OSError):
                    os.rename(root / step[0], root / step[1])

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        found = opens(lambda: engine(root, "sub/file"), until={inside, "outside"})
        # A program that takes no care is led out: so the race is a real one.
        careless = opens(lambda: identity(lambda: os.open(root / "sub" / "file", os.O_RDONLY)), {secret})
    finally:
        is_over.set()
        thread.join()
    assert secret not in found
    assert {inside, "outside"} <= found
    assert secret in careless


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("a\0b", "its name holds a NUL character"),
        ("s3://bucket/reads.bam", "its name is an address"),
        ("http:/host/file", "its name is an address"),  # pathlib makes one slash of two
        ("data:/x", "its name is an address"),
        ("reads.bam##idx##/etc/passwd", "its name holds ##idx##"),
    ],
)
def test_a_name_that_misleads_a_library_is_refused_before_anything_is_opened(name: str, what: str) -> None:
    with pytest.raises(UnsafeNameError, match=what):
        check_name(name)
    for roots in ((Path("/"),), (Path("/nowhere"),)):
        with pytest.raises(UnsafeNameError, match=what):
            open_below(roots, Path(name), os.O_RDONLY)


def test_an_address_inside_a_longer_name_is_refused_too() -> None:
    with pytest.raises(UnsafeNameError, match="its name is an address"):
        check_name("folder/https://host/x")


@pytest.mark.parametrize("name", ["chr1:100-200.fa", "/run:/x", "a/b:/c", "a##b", "C:x"])
def test_other_names_with_colons_are_plain_names(name: str) -> None:
    check_name(name)


def test_case_and_the_form_of_an_accent_tell_roots_apart(tmp_path: Path) -> None:
    root = tmp_path / unicodedata.normalize("NFC", "Café")
    root.mkdir()
    (root / "file").write_text("inside")
    check_below((root,), root / "file")
    for other in (unicodedata.normalize("NFD", "Café"), unicodedata.normalize("NFC", "café")):
        with pytest.raises(OutsideRootsError):
            open_below((root,), tmp_path / other / "file", os.O_RDONLY)


def test_a_root_is_no_prefix_of_letters_and_may_itself_be_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("inside")
    (tmp_path / "data2").mkdir()
    (tmp_path / "data2" / "file").write_text("outside")
    (tmp_path / "link").symlink_to("data")
    monkeypatch.chdir(tmp_path / "data")
    for path in (Path("file"), tmp_path / "link" / "file", tmp_path / "data" / "file"):
        os.close(open_below((tmp_path / "link",), path, os.O_RDONLY))
    for path in (tmp_path / "data2" / "file", Path("../data2/file"), tmp_path / "data2/../data/file"):
        with pytest.raises(OutsideRootsError):
            open_below((tmp_path / "link",), path, os.O_RDONLY)


def test_below_the_shared_roots_lies_what_is_below_a_root_of_both_policies() -> None:
    draw = random.Random(0)
    folders = [Path("/", *parts) for parts in ((), ("a",), ("a", "b"), ("a", "b", "c"), ("b",), ("ab",))]
    for _ in range(2000):
        first, second = (draw.sample(folders, draw.randint(0, 3)) for _ in range(2))
        shared = shared_roots(first, second)
        for path in (folder / "file" for folder in folders):
            below = [any(path.is_relative_to(root) for root in roots) for roots in (first, second, shared)]
            assert below[2] == (below[0] and below[1])


def test_a_magic_link_of_the_kernel_is_not_followed_out(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to("/proc/self/cwd")
    with pytest.raises(OutsideRootsError):
        open_below((tmp_path / "root",), tmp_path / "root" / "link" / "pyproject.toml", os.O_RDONLY)
    if sys.platform.startswith("linux"):
        with pytest.raises(OSError, match=r"outside the folders|Too many levels"):
            open_below((Path("/proc/self"),), Path("/proc/self/cwd/pyproject.toml"), os.O_RDONLY)


@pytest.mark.parametrize("engine", ["kernel", "steps"])
def test_a_file_is_created_below_and_never_through_a_link_that_leads_out(engine: str, tmp_path: Path) -> None:
    if engine == "kernel" and not has_openat2():
        pytest.skip("the kernel has no openat2")
    root = tmp_path / "root"
    root.mkdir()
    (root / "inner").symlink_to("new")
    (root / "outer").symlink_to("../new")
    flags = os.O_WRONLY | os.O_CREAT
    with opened(root) as folder:

        def create(name: str) -> int:
            return (
                openat2(folder, name, flags, 0o600)
                if engine == "kernel"
                else walk(folder, [name], flags, 0o600)
            )

        os.close(create("inner"))
        assert identity(lambda: create("outer")) == "outside"
    assert os.stat(root / "new").st_mode & 0o777 == 0o600
    assert not (tmp_path / "new").exists()
