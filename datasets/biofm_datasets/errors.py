"""The errors of this package: something is wrong with a file that a user gave."""


class DataError(ValueError):
    """A file, or one record of it, cannot be used.

    The text names the place, the fault and the remedy, in that order: ``{where}: {what}. {remedy}``.
    Empty parts are left out.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        place = f"{where}: " if where else ""
        advice = f". {remedy}" if remedy else ""
        super().__init__(f"{place}{what}{advice}")


class NoProteinError(DataError):
    """What a record says makes no protein that a model could read: a stop codon, a frameshift, an extension,
    an unknown consequence, or nothing is said. Tables of measurements have such rows for good reason.
    """
