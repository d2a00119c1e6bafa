"""The console command begins here, so that Ctrl-C ends it quietly while the command line is still imported.

``biofm``, ``python -m biofm`` and ``python cli.py`` all call ``main``.
"""

import os
import signal
from types import FrameType
from typing import NoReturn

NO_SIGNAL = 128
"""The exit code of a program that a signal ended is the number of the signal added to this one."""


def main() -> NoReturn:
    """Run the command line. Until it hears signals itself, Ctrl-C ends the process with exit code 130."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # A program may be told to ignore it.
        signal.signal(signal.SIGINT, _end)
    from biofm.cli import main as run  # takes a third of a second

    run()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End at once: no file is open yet, and an exception within an import would be shown as a traceback."""
    os._exit(NO_SIGNAL + number)


if __name__ == "__main__":
    main()
