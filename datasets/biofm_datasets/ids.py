"""Counts repeated ids in bounded memory.

This module needs numpy, so the package itself does not import it.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from biofm_datasets.records import Record

MOST_COMPARED = 10_000_000  # records, at 8 bytes each
REPEATED_IDS = "records with the id of an earlier record of the same input"
NOT_COMPARED = f"records after the first {MOST_COMPARED:,}, whose ids were not compared"


def watch_ids(records: Iterable[Record], notices: Counter[str]) -> Iterator[Record]:
    """Yield the records and, after the last one, count in ``notices`` those whose id repeats."""
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
