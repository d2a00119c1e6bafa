"""Ids that repeat, counted in bounded memory.

Needs numpy, so it is imported from here and not from the package.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from biofm_datasets.records import Record

MOST_COMPARED = 10_000_000  # records, at 8 bytes each
REPEATED_IDS = "records whose id an earlier record of the same input has too"
NOT_COMPARED = f"records behind the first {MOST_COMPARED:,}, whose ids were not compared"


def watch_ids(records: Iterable[Record], notices: Counter[str]) -> Iterator[Record]:
    """Pass records on, and count those whose id repeats, once the last one is through."""
    seen, n_records = array("q"), 0
    for n_records, record in enumerate(records, start=1):
        if n_records <= MOST_COMPARED:
            seen.append(hash(record.id))
        yield record
    hashes = np.sort(np.frombuffer(seen, np.int64)) if seen else np.empty(0, np.int64)
    found = {
        REPEATED_IDS: int(np.count_nonzero(hashes[1:] == hashes[:-1])),
        NOT_COMPARED: max(0, n_records - MOST_COMPARED),
    }
    notices.update({phrase: count for phrase, count in found.items() if count})
