"""The one error of this package: something is wrong with a file that a user gave."""


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
