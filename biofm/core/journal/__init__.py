"""A run's work so far, on the disk."""

from biofm.core.journal.digest import KEY_BYTES, key_of
from biofm.core.journal.journal import KEPT, Entry, Fields, Journal

__all__ = ["KEPT", "KEY_BYTES", "Entry", "Fields", "Journal", "key_of"]
