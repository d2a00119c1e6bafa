"""The errors of this package: something is wrong with a file that a user gave."""


class DataError(ValueError):
    """Says that a file, or one record of it, cannot be used.

    The text names the place, the fault and the remedy, in this order: ``{where}: {what}. {remedy}``. Empty
    parts are left out.

    Args:
        what: The fault.
        where: The place: the file and, for a record, its number and id.
        remedy: What the user can do about it, as a sentence without a full stop.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        place = f"{where}: " if where else ""
        advice = f". {remedy}" if remedy else ""
        super().__init__(f"{place}{what}{advice}")


class NoProteinError(DataError):
    """Says that a record holds no protein that a model could read.

    It has a stop codon, a frameshift, an extension or an unknown consequence, or it is empty. Tables of
    measurements have rows like this for good reason, so callers may skip them.
    """
