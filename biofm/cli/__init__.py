"""The command line. Nothing heavy is imported before a command runs."""

from biofm.cli.main import app, main

__all__ = ["app", "main"]
