"""Processes of one machine meet where nobody else can reach them."""

import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from biofm.core import OptionError
from biofm.training.processes import Processes, meeting_place
from tests.training.processes.conftest import free_port

FIRST, SECOND = Processes(0, 2, 2), Processes(1, 2, 2)
LIMIT = timedelta(seconds=30)


def test_processes_that_one_starts_meet_in_a_folder_of_this_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(meeting_place.PLACE, "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    meeting_place.make_place()
    place = Path(os.environ[meeting_place.PLACE])
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    first, second = (meeting_place.open_rendezvous(it, LIMIT) for it in (FIRST, SECOND))
    first.set("word", "7")
    assert second.get("word") == b"7"
    meeting_place.leave_place()
    assert list(tmp_path.iterdir()) == []


def test_processes_that_somebody_starts_meet_at_a_loopback_port(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("MASTER_ADDR", socket.gethostname())
    monkeypatch.setenv("MASTER_PORT", str(port))
    with ThreadPoolExecutor() as threads:
        first, second = threads.map(lambda it: meeting_place.open_rendezvous(it, LIMIT), (FIRST, SECOND))
    first.set("word", "7")
    assert second.get("word") == b"7"
    with pytest.raises(ConnectionRefusedError):  # what listens on all addresses would answer here too
        socket.create_connection(("127.0.0.2", port))
    with pytest.raises(OptionError, match=f"MASTER_PORT: port {port} cannot be opened"):
        meeting_place.open_rendezvous(FIRST, LIMIT)


def test_where_to_meet_must_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_PORT", raising=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(OptionError, match="MASTER_PORT: processes that you start yourself need an address"):
        meeting_place.open_rendezvous(SECOND, LIMIT)
