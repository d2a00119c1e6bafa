"""The ledger keeps what was asked, answered and done, in a chain of entries that can be verified."""

from biofm.gate.ledger.book import ApprovalState, Book, FileIdentity
from biofm.gate.ledger.fold import parent_of
from biofm.gate.ledger.ledger import Ledger
from biofm.gate.ledger.place import ledger_path
from biofm.gate.ledger.records import Outcome, clear_words, fields_of_request

__all__ = [
    "ApprovalState",
    "Book",
    "FileIdentity",
    "Ledger",
    "Outcome",
    "clear_words",
    "fields_of_request",
    "ledger_path",
    "parent_of",
]
