"""A real browser without a window, spoken to in the DevTools protocol over a pair of pipes.

https://chromedevtools.github.io/devtools-protocol: messages are JSON, each ended by a zero byte.
"""

import base64
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",  # a container's root may not make one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-pipe",
)
# What the browser asks for on its own account, before any page does.
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync")

MOST_SECONDS = 60


def find_browser() -> str | None:
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


NEEDS_BROWSER = pytest.mark.skipif(
    find_browser() is None, reason=f"no browser is installed: none of {', '.join(PROGRAMS)}"
)


class Browser:
    """``with Browser(folder) as browser: page = browser.open(url)``; the folder is for its profile."""

    def __init__(self, folder: Path) -> None:
        program = find_browser()
        assert program is not None, "NEEDS_BROWSER skips where there is none"
        requests, self._requests = os.pipe()
        answers_here, answers = os.pipe()
        # The browser reads what it is asked from descriptor 3 and answers on 4.
        shell = f'exec "$0" "$@" 3<&{requests} 4>&{answers}'
        command = [program, *FLAGS, *QUIET, f"--user-data-dir={folder}"]
        self._process = subprocess.Popen(
            ["bash", "-c", shell, *command],
            pass_fds=(requests, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(requests)
        os.close(answers)
        self._answers = os.fdopen(answers_here, "rb")
        self._numbers = itertools.count(1)
        self._buffer = b""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._requests)
        self._answers.close()
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The answer; events that come before it are kept."""
        number = next(self._numbers)
        request = {"id": number, "method": method, "params": parameters}
        if session:
            request["sessionId"] = session
        os.write(self._requests, json.dumps(request).encode() + b"\0")
        while True:
            message = self.read()
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def read(self) -> dict[str, Any]:
        """The next message; an event is kept too."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], MOST_SECONDS)
            assert ready, f"the browser has said nothing for {MOST_SECONDS} s"
            part = os.read(self._answers.fileno(), 1 << 16)
            assert part, "the browser has gone"
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return message

    def open(self, url: str, *, width: int = 1200, height: int = 900, scheme: str = "light") -> "Page":
        """The page as it is when it has loaded, in a window of that size, by day (light) or night (dark)."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.ask(f"{domain}.enable", session)
        page = Page(self, session)
        page.resize(width, height)
        page.prefer(scheme)
        page.visit(url)
        return page


class Page:
    """A tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.ask(method, self._session, **parameters)

    def visit(self, url: str) -> None:
        """Wait until it has loaded."""
        n_before = len(self.events("Page.loadEventFired"))
        self.ask("Page.navigate", url=url)
        while len(self.events("Page.loadEventFired")) == n_before:
            self._browser.read()

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", **size)

    def prefer(self, scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", features=features)

    def evaluate(self, expression: str) -> Any:
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def point(self, x: float, y: float) -> None:
        """Move the mouse there."""
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def screenshot(self) -> bytes:
        """The whole page as a PNG."""
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def print(self) -> bytes:
        """The page on paper, a PDF."""
        return base64.b64decode(self.ask("Page.printToPDF", printBackground=False)["data"])

    def events(self, method: str) -> list[dict[str, Any]]:
        events = (event for event in self._browser.events if event.get("sessionId") == self._session)
        return [event["params"] for event in events if event["method"] == method]

    @property
    def requests(self) -> list[str]:
        """Every address that the page asked for, itself too."""
        return [event["request"]["url"] for event in self.events("Network.requestWillBeSent")]

    @property
    def complaints(self) -> list[str]:
        """What the browser's console says: faults of scripts, what the page's policy held back."""
        entries = [event["entry"]["text"] for event in self.events("Log.entryAdded")]
        entries += [str(event["args"]) for event in self.events("Runtime.consoleAPICalled")]
        faults = self.events("Runtime.exceptionThrown")
        return entries + [str(event["exceptionDetails"]) for event in faults]
