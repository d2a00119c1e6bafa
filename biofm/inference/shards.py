"""A share of a file for each of several processes: identical sequences always meet in the same one."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from biofm.core.errors import OptionError


@dataclass(frozen=True, slots=True)
class Shard:
    """The ``index``-th, from 1, of ``n`` shares."""

    index: int
    n: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``2/8``. Raises OptionError for anything else."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        index, n = map(int, found.groups()) if found else (0, 0)
        if not 1 <= index <= n:
            remedy = "Give a number and how many there are, such as 2/8: the second of eight"
            raise OptionError(f"{text or 'nothing'} is no shard", where="--shard", remedy=remedy)
        return cls(index, n)

    def holds(self, key: bytes) -> bool:
        """Whether the sequence of this key is in this share."""
        return int.from_bytes(key[:8], "big") % self.n == self.index - 1

    def path(self, output: Path) -> Path:
        """Where this share of ``output`` is left for ``biofm merge``."""
        return output.with_name(f"{output.name}.shard-{self.index}-of-{self.n}")

    def __str__(self) -> str:
        return f"{self.index}/{self.n}"


WHOLE = Shard(1, 1)
