"""The watch sees what a call opens, alters, starts and connects to, in this process."""

import os
import sys
from pathlib import Path
from typing import Any


class Watch:
    """Sees by an audit hook what is opened, altered, started and connected to while a call runs."""

    ALTERING = ("os.", "shutil.", "tempfile.", "sqlite3.connect")
    HARMLESS = (
        "os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.getxattr", "os.listxattr", "os.putenv",
        "os.unsetenv", "os.add_dll_directory",
    )  # fmt: skip
    STARTING = ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec", "os.system")
    CONNECTING = ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo")

    def __init__(self, folder: Path, models: Path, own: Path) -> None:
        """Watch the reading of a folder and of the models that ship, and writing but in the gate's own."""
        self.touched: list[str] | None = None
        self._read = (f"{folder}/", f"{models}/")
        self._own = (f"{own}/", os.devnull)
        sys.addaudithook(self.see)

    def see(self, event: str, given: tuple[Any, ...]) -> None:
        if self.touched is None or (event in self.STARTING and given[0] == "fc-list"):
            return  # matplotlib asks for the fonts as it is imported
        if event.startswith((*self.STARTING, *self.CONNECTING)):
            self.touched.append(f"{event} {given[:2]}")
        elif event == "open":
            if not isinstance(given[0], int):
                self.see_file(
                    event, given[0], is_written=bool(given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
                )
        elif event.startswith(self.ALTERING) and event not in self.HARMLESS:
            for path in given:
                if isinstance(path, str | bytes | os.PathLike):
                    self.see_file(event, path, is_written=True)

    def see_file(self, event: str, given: Any, *, is_written: bool) -> None:
        is_looked_at = not is_written or "?mode=ro" in os.fsdecode(given)
        if is_looked_at and _in_evidence():
            return  # Before the verdict the gate itself looks for the labels that a file states.
        path = os.path.abspath(os.fsdecode(given))
        if path.startswith(self._read) or (is_written and not path.startswith(self._own)):
            assert self.touched is not None
            self.touched.append(f"{event} {path}")


def _in_evidence() -> bool:
    """Return whether the gate is gathering evidence."""
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "evidence_of" and frame.f_globals["__name__"] == "biofm.gate.evidence":
            return True
        frame = frame.f_back
    return False
