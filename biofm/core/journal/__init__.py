"""The journal is the record of a run's finished work on the disk, from which ``--resume`` continues."""

from biofm.core.journal.database import KEY_BYTES, key_of
from biofm.core.journal.journal import KEPT, Entry, Fields, Journal

__all__ = ["KEPT", "KEY_BYTES", "Entry", "Fields", "Journal", "key_of"]
