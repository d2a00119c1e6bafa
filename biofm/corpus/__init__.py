"""Token stores and descriptions of data sets: functions that write stores, and that count lengths, letters,
copies and leakage.
"""

from biofm.corpus.describe import (
    Description,
    Histogram,
    Shared,
    SourceDescription,
    Tally,
    describe_sources,
    describe_store,
)
from biofm.corpus.leakage import BY_RELATIVES, Leakage, has_letters, measure_leakage
from biofm.corpus.reading import (
    BlockReader,
    Input,
    Reading,
    check_not_standard_input,
    check_store_reading,
    modality_of,
    open_inputs,
    short_names,
)
from biofm.corpus.writing import request_digest, write_store

__all__ = [
    "BY_RELATIVES",
    "BlockReader",
    "Description",
    "Histogram",
    "Input",
    "Leakage",
    "Reading",
    "Shared",
    "SourceDescription",
    "Tally",
    "check_not_standard_input",
    "check_store_reading",
    "describe_sources",
    "describe_store",
    "has_letters",
    "measure_leakage",
    "modality_of",
    "open_inputs",
    "request_digest",
    "short_names",
    "write_store",
]
