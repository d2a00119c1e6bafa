"""Policy files of tests, and what is in force under them."""

import os
from pathlib import Path

import pytest

from biofm.gate import policies_in_force
from biofm.policy.files import shipped_text
from biofm.policy.policies import Invalid

NAMED_MYLAB = shipped_text("research").replace(b"policy: research", b"policy: mylab")


def names() -> list[str]:
    """Return the names of the policies in force; of an invalid one, what is wrong with it."""
    return [one.what if isinstance(one, Invalid) else one.name for one in policies_in_force()]


def become_a_pipe(path: Path) -> None:
    """Put a pipe, which waits for a writer, in the place of a file."""
    path.unlink()
    os.mkfifo(path)


needs_root = pytest.mark.skipif(
    os.name == "nt" or os.geteuid() != 0, reason="only root can make a file that belongs to root"
)
