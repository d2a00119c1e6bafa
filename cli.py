"""Runs the command line from a checkout, without an install: ``python cli.py --help``."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent

if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "datasets")]
    from biofm.__main__ import main  # needs the source roots on the path

    main()
