"""Kinds of arrays that many functions take and give."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]
Hashes = NDArray[np.uint64]
"""64 bits of each sequence, or of each group, equal where these are equal."""
Indices = NDArray[np.int64]
"""Places, numbers and counts."""
Tokens = NDArray[np.unsignedinteger[Any]]
"""The numbers of the tokens of sequences."""
Values = NDArray[np.float32]
"""A number for each token, such as a gene's expression."""
