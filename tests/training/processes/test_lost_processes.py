"""When one process of a run is gone, all end, one of them reports it, and the run can be resumed."""

import re
from pathlib import Path

import pytest

from biofm.training.folder import newest_step
from tests.training.processes.conftest import Ended, One, Train, check_same

DIED = re.compile(
    r"biofm: the run ended, because (one of its processes died|process 0 is gone)\. "
    r"Repeat the command with --resume to continue from step (\d+)"
)


def check_death(ended: Ended, dead: int, step: int) -> None:
    """Check that one process was killed, the others failed, and one true line was printed."""
    assert ended.exit_codes == [-9 if rank == dead else 1 for rank in range(len(ended.exit_codes))]
    (line,) = ended.said
    found = DIED.fullmatch(line)
    assert found is not None, line
    assert int(found[2]) == newest_step(ended.folder / "checkpoints") == step


def test_a_killed_process_ends_the_run_with_one_message_and_a_usable_checkpoint(
    one: One, train: Train, tmp_path: Path
) -> None:
    check_death(train(tmp_path, 2, fault=(1, "SIGKILL", "training", 14)), dead=1, step=6)
    assert train(tmp_path, 2).exit_codes == [0, 0]
    check_same(tmp_path, one())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "dead", "strategy", "moment"),
    [
        (2, 0, "ddp", "training"), (2, 0, "fsdp", "training"), (2, 1, "fsdp", "training"),
        (4, 2, "fsdp", "training"), (2, 1, "ddp", "validation"),
    ],
)  # fmt: skip
def test_whichever_process_dies_in_every_strategy(
    n: int, dead: int, strategy: str, moment: str, one: One, train: Train, tmp_path: Path
) -> None:
    number = 20 // n - 1 if moment == "training" else 0
    ended = train(tmp_path, n, strategy=strategy, fault=(dead, "SIGKILL", moment, number))
    check_death(ended, dead, step=4 if moment == "training" else 3)
    assert train(tmp_path, 2, strategy=strategy).exit_codes == [0, 0]
    check_same(tmp_path, one())


@pytest.mark.slow
@pytest.mark.parametrize(("dead", "moment"), [(0, "written"), (1, "written"), (0, "named")])
def test_a_process_that_dies_while_it_saves_its_part_leaves_the_older_checkpoint(
    dead: int, moment: str, one: One, train: Train, tmp_path: Path
) -> None:
    ended = train(tmp_path, 2, strategy="fsdp", fault=(dead, "SIGKILL", moment, 1))
    check_death(ended, dead, step=3)
    assert train(tmp_path, 2, strategy="fsdp").exit_codes == [0, 0]
    check_same(tmp_path, one())


def test_a_fault_of_one_process_is_told_once_and_by_itself(train: Train, tmp_path: Path) -> None:
    ended = train(tmp_path, 2, fault=(1, "bad record", "training", 14))
    assert (ended.exit_codes, ended.said) == ([1, 1], ["ValueError: a bad record"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rank", "strategy", "fault", "moment", "line"),
    [
        (3, "fsdp", "bad record", "training", "ValueError: a bad record"),
        (2, "fsdp", "disk full", "written", "OSError: [Errno 28] No space left on device"),
        (0, "ddp", "disk full", "named", "OSError: [Errno 28] No space left on device"),
    ],
)
def test_of_four_processes_one_tells_its_fault(
    rank: int, strategy: str, fault: str, moment: str, line: str, train: Train, tmp_path: Path
) -> None:
    ended = train(tmp_path, 4, strategy=strategy, fault=(rank, fault, moment, 1))
    assert (ended.exit_codes, ended.said) == ([1] * 4, [line])


@pytest.mark.parametrize(
    ("rank", "name", "exit_code"),
    [(1, "SIGTERM", 143), pytest.param(0, "SIGINT", 130, marks=pytest.mark.slow)],
)
def test_a_signal_to_one_process_ends_all_of_them_behind_the_same_step(
    rank: int, name: str, exit_code: int, one: One, train: Train, tmp_path: Path
) -> None:
    """The signal comes in step 5, which is then saved."""
    ended = train(tmp_path, 2, fault=(rank, name, "training", 9))
    assert (ended.exit_codes, ended.said) == ([exit_code] * 2, [])
    assert newest_step(tmp_path / "checkpoints") == 5
    assert train(tmp_path, 2).exit_codes == [0, 0]
    check_same(tmp_path, one())
