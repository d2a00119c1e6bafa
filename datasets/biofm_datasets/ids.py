"""Counts repeated ids, in bounded memory, and ids that stand for missing names.

This module needs numpy, so the package itself does not import it.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from biofm_datasets.records import Record

MOST_COMPARED = 10_000_000  # records, at 8 bytes each
REPEATED_IDS = (
    "records with the id of an earlier record of the same input"
    " (give each record an id of its own; programs such as anndata warn of names that are not unique)"
)
NAMELESS = "records without a name, which are called record_ and their number in the input"
NOT_COMPARED = f"records after the first {MOST_COMPARED:,}, whose ids were not compared"


def watch_ids(records: Iterable[Record], notices: Counter[str]) -> Iterator[Record]:
    """Yield the records and, after the last one, count in ``notices`` ids that repeat or were made up."""
    seen, n_records, n_nameless = array("q"), 0, 0
    for n_records, record in enumerate(records, start=1):
        n_nameless += not record.has_name
        if n_records <= MOST_COMPARED:
            seen.append(hash(record.id))
        yield record
    hashes = np.sort(np.frombuffer(seen, np.int64)) if seen else np.empty(0, np.int64)
    found = {
        NAMELESS: n_nameless,
        REPEATED_IDS: int(np.count_nonzero(hashes[1:] == hashes[:-1])),
        NOT_COMPARED: max(0, n_records - MOST_COMPARED),
    }
    notices.update({phrase: count for phrase, count in found.items() if count})
