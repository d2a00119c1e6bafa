"""Array types that many functions of this package take and return."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]
Hashes = NDArray[np.uint64]
"""A 64-bit hash of each sequence or of each group; equal sequences or groups have equal hashes."""
Indices = NDArray[np.int64]
"""Indices and counts."""
Tokens = NDArray[np.unsignedinteger[Any]]
"""Token numbers."""
Values = NDArray[np.float32]
"""One number for each token, such as a gene's expression."""
