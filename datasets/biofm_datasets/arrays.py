"""Kinds of arrays that many functions take and give."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]
Indices = NDArray[np.int64]
