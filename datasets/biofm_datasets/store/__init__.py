"""Keeps data sets as tokens on the disk: written as a stream, checked by their sums, read as memory maps."""

from biofm_datasets.store.files import PARTS, store_files
from biofm_datasets.store.open import Store, open_store
from biofm_datasets.store.record import Alphabet, FileRecord, Source, SplitRecord, StoreRecord
from biofm_datasets.store.tokens import Ids, Members, TokenStore
from biofm_datasets.store.writer import StoreWriter

__all__ = [
    "PARTS",
    "Alphabet",
    "FileRecord",
    "Ids",
    "Members",
    "Source",
    "SplitRecord",
    "Store",
    "StoreRecord",
    "StoreWriter",
    "TokenStore",
    "open_store",
    "store_files",
]
