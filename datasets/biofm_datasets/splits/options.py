"""The options of a split, which are checked against each other."""

from dataclasses import InitVar, dataclass
from math import isfinite
from typing import Any, get_args

from biofm_datasets.choices import SplitMethod, SplitTool
from biofm_datasets.errors import DataError

METHODS = get_args(SplitMethod)
BY_SIMILARITY = ("validation", "test", "seed", "max_identity", "min_coverage")
LARGEST_SEED = 2**32 - 1
"""Some random generators do not accept larger seeds."""
TOOLS = get_args(SplitTool)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitOptions:
    """Says how a data set is split.

    Attributes:
        method: "none": everything is for training. "random": by sequence. "identity": at random, and proteins
            that are similar to a held-out one are removed. "cluster": by whole clusters of similar proteins.
            "column": as a column of a table says. "group": by whole groups, which a column or the records
            themselves name.
        validation, test: How much is held out: a share below 1, or a number; of sequences, or of groups.
        seed: Seed of the random choice, 0 to 4,294,967,295.
        column: The column with the parts or groups; empty without one.
        validation_groups, test_groups: Groups to hold out, by name.
        max_identity: The identity of an alignment from which two proteins are similar, 0.1 to 1.
        min_coverage: The share of the shorter protein that this alignment covers, 0.1 to 1.
        tool: The search for relatives. "mmseqs": MMseqs2. "kmer": biofm's own. "auto": both, without MMseqs2
            where it is not installed, and without biofm's where it would take long.
        per_source: Whether the amounts are held out of each source rather than of all together.
        own_groups: Whether the records name their groups themselves, such as chromosomes.

    Raises:
        DataError: A value is out of range, or values contradict each other.
    """

    method: str = "none"
    validation: float = 0
    test: float = 0
    seed: int = 0
    column: str = ""
    validation_groups: tuple[str, ...] = ()
    test_groups: tuple[str, ...] = ()
    max_identity: float = 0.3
    min_coverage: float = 0.5
    tool: str = "auto"
    per_source: bool = False
    own_groups: InitVar[bool] = False

    def __post_init__(self, own_groups: bool) -> None:
        _require_one_of(self.method, METHODS, "--split")
        _require_one_of(self.tool, TOOLS, "--split-tool")
        for option, amount in (("--validation", self.validation), ("--test", self.test)):
            if not (isfinite(amount) and amount >= 0) or (amount > 1 and amount != int(amount)):
                remedy = "Give a share below 1, such as 0.05, or a whole number"
                raise DataError(f"{amount} is no amount to hold out", where=option, remedy=remedy)
        for option, share in (("--max-identity", self.max_identity), ("--min-coverage", self.min_coverage)):
            if not 0.1 <= share <= 1:
                what, remedy = f"{share} is not between 0.1 and 1", "Give a number from 0.1 to 1"
                raise DataError(what, where=option, remedy=remedy)
        if not 0 <= self.seed <= LARGEST_SEED:
            what, remedy = f"{self.seed} is no seed", f"Give a whole number from 0 to {LARGEST_SEED:,}"
            raise DataError(what, where="--seed", remedy=remedy)
        self._check_column(own_groups)
        self._check_amounts()

    @property
    def needs_keys(self) -> bool:
        """Whether the split depends on a part or a group of each record and not on its sequence."""
        return self.method in ("column", "group")

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that decide this split: only those that its method uses."""
        names = {
            "none": (),
            "random": ("validation", "test", "seed"),
            **dict.fromkeys(("identity", "cluster"), BY_SIMILARITY),
            "column": ("column",),
            "group": ("column", "validation", "test", "seed", "validation_groups", "test_groups"),
        }[self.method]
        found = {name: getattr(self, name) for name in names}
        return {name: int(it) if isinstance(it, float) and it >= 1 else it for name, it in found.items()}

    def _check_column(self, own_groups: bool) -> None:
        is_known = own_groups and self.method == "group"
        if self.needs_keys and not self.column and not is_known:
            what = f"--split {self.method} needs a column that names the part or group of each row"
            raise DataError(what, where="--split-column", remedy="Name a column of the table")
        if self.column and not self.needs_keys:
            what, remedy = "a column is for --split column and --split group", "Leave it out"
            raise DataError(what, where="--split-column", remedy=remedy)

    def _check_amounts(self) -> None:
        amounts, names = self.validation or self.test, self.validation_groups or self.test_groups
        if self.method in ("none", "column") and amounts:
            what, remedy = f"nothing is held out with --split {self.method}", "Choose another --split"
            if self.method == "column":
                what, remedy = "the column already says what is held out", "Leave the amounts out"
            raise DataError(what, where="--validation, --test", remedy=remedy)
        if names and self.method != "group":
            what, remedy = "groups are for --split group", "Leave them out"
            raise DataError(what, where="--validation-group, --test-group", remedy=remedy)
        if self.method in ("random", "identity", "cluster", "group") and not (amounts or names):
            what = "the amount to hold out is missing"
            remedy = "Give a share, such as --validation 0.05, or a number"
            raise DataError(what, where=f"--split {self.method}", remedy=remedy)
        if both := set(self.validation_groups) & set(self.test_groups):
            what, remedy = f"the group {min(both)!r} is named for both parts", "Name it for one part"
            raise DataError(what, where="--validation-group, --test-group", remedy=remedy)
        if (self.validation_groups and self.validation) or (self.test_groups and self.test):
            what, remedy = "groups were given by name and by amount", "Give names or an amount"
            raise DataError(what, where="--validation, --test", remedy=remedy)


def _require_one_of(word: str, words: tuple[str, ...], option: str) -> None:
    if word not in words:
        remedy = f"Give {', '.join(words[:-1])} or {words[-1]}"
        raise DataError(f"no such choice: {word!r}", where=option, remedy=remedy)
