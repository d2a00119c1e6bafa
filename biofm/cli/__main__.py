"""Runs the command line: ``python -m biofm.cli``."""

from biofm.cli.main import main

main()
