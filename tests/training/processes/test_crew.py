"""Processes that have met take turns: the first one works first, and the others get its results."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from torch.distributed import (  # type: ignore[attr-defined]  # not in the list of what it exports
    FileStore,
    HashStore,
    Store,
    TCPStore,
)

from biofm.core import InputError, OptionError
from biofm.core.errors import ProcessError
from biofm.training import PretrainRecipe
from biofm.training.processes import Crew, Processes, SilentExit, crew, launch, rendezvous

N = 3
DEADLINE_S = 30


@pytest.fixture
def crews() -> list[Crew]:
    """Make the crews of three processes, here three threads with one store."""
    store = HashStore()
    return [Crew(Processes(rank, N, N), store) for rank in range(N)]


@pytest.fixture
def begin() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor(N) as threads:
        yield threads.submit


def test_what_the_first_process_makes_is_what_every_one_gets(
    crews: list[Crew], begin: Callable[..., Future[Any]]
) -> None:
    def work(of: Crew) -> list[int]:
        turns = iter(range(4))
        return [of.from_main(lambda: 10 * of.processes.rank + next(turns)) for _ in range(4)]

    futures = [begin(work, of) for of in crews]
    assert [future.result(DEADLINE_S) for future in futures] == [[0, 1, 2, 3]] * N


def test_the_others_wait_until_the_first_one_is_through(
    crews: list[Crew], begin: Callable[..., Future[Any]]
) -> None:
    order: list[int] = []

    def work(of: Crew) -> None:
        with of.main_first():
            order.append(of.processes.rank)

    others = [begin(work, of) for of in crews[1:]]
    assert order == []
    work(crews[0])
    for other in others:
        other.result(DEADLINE_S)
    assert order[0] == 0
    assert sorted(order) == [0, 1, 2]


@pytest.mark.parametrize(
    ("fault", "exit_code"),
    [(InputError("a bad record"), 1), (MemoryError(), 1), (KeyboardInterrupt(), 130), (SystemExit(143), 143)],
    ids=["user's", "program's", "Ctrl-C", "SIGTERM"],
)
@pytest.mark.parametrize("turn", ["from_main", "main_first"])
def test_where_the_first_process_fails_the_others_end_in_silence_with_its_exit_code(
    turn: str, fault: BaseException, exit_code: int, crews: list[Crew], begin: Callable[..., Future[Any]]
) -> None:
    def fail() -> None:
        raise fault

    def work(of: Crew) -> None:
        if turn == "from_main":
            of.from_main(fail)
        with of.main_first():
            fail()

    others = [begin(work, of) for of in crews[1:]]
    with pytest.raises(type(fault)):
        work(crews[0])
    for other in others:
        with pytest.raises(SilentExit) as caught:
            other.result(DEADLINE_S)
        assert caught.value.code == exit_code


@pytest.mark.parametrize("started_by", ["somebody", "the first process"])
def test_where_the_first_process_is_gone_the_others_end_in_silence(
    started_by: str, begin: Callable[..., Future[Any]], tmp_path: Path
) -> None:
    held = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    store: Store = TCPStore("127.0.0.1", held.port, is_master=False, wait_for_workers=False)
    parent = None
    if started_by == "the first process":
        store, parent = FileStore(str(tmp_path / "words"), 2), os.getppid()
    other = Crew(Processes(1, 2, 2), store, parent)
    waiting = begin(other.from_main, lambda: None)
    assert other.is_main_there()
    del held
    other._parent = parent and os.getpid()  # as after the first process has died
    with pytest.raises(SilentExit) as caught:
        waiting.result(DEADLINE_S)
    assert caught.value.code == 1
    assert other.find_lost() == "process 0 is gone"


@pytest.mark.parametrize("word", [b"\x80\x04.", b"cos\nsystem\n.", b"[]", b"7", b"{}"])
def test_a_word_that_is_not_of_the_first_process_is_told_and_nothing_else(word: bytes) -> None:
    store = HashStore()
    store.set("turn/1", word)  # type: ignore[arg-type]  # bytes it takes too
    with pytest.raises(ProcessError, match="a message between its processes does not come from biofm"):
        Crew(Processes(1, 2, 2), store).from_main(lambda: None)


def test_what_is_no_data_is_not_told(crews: list[Crew]) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        crews[0].from_main(lambda: Path("here"))


def test_the_first_process_goes_last(crews: list[Crew], begin: Callable[..., Future[Any]]) -> None:
    first = begin(crews[0].dismiss)
    for other in crews[1:]:
        assert not first.done()
        with pytest.raises(SilentExit) as caught:
            other.dismiss()
        assert caught.value.code == 0
    first.result(DEADLINE_S)


def test_one_process_alone_meets_nobody() -> None:
    alone = rendezvous(PretrainRecipe(n_steps=1))
    assert alone.is_main
    assert alone.from_main(lambda: 7) == 7
    alone.dismiss()
    assert rendezvous(PretrainRecipe(n_steps=2)).from_main(lambda: 8) == 8


def test_a_process_that_hangs_is_ended_when_another_one_is_gone(
    crews: list[Crew], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "SECONDS_TO_END", 0.0)
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with subprocess.Popen([sys.executable, "-c", code]) as child:
        monkeypatch.setattr(launch, "_children", [child])
        given_up, found = threading.Event(), []

        def give_up(lost: str) -> None:
            found.append(lost)
            given_up.set()

        with crews[0].watched(give_up):
            assert given_up.wait(DEADLINE_S)
    assert found[0] == "process 1 of this machine was killed by SIGKILL"


def test_a_prompt_cannot_be_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(OptionError, match="--devices: an interactive Python cannot start"):
        launch.launch(Processes(0, 2, 2))
