"""The command line imports nothing heavy before a command runs, so that ``--help`` is quick."""

from biofm.cli.main import app, main

__all__ = ["app", "main"]
