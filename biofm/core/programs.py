"""Programs: what the verb ``run-program`` asks of its worker, and what the worker answers.

An array never travels without the spacing of its elements, which stands in a JSON file beside it:
``{"spacing_mm": [0.7, 0.7, 1.25]}``, one number for each axis of the array.
"""

from dataclasses import dataclass
from pathlib import Path

DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
"""The types of numbers that an array may have, by numpy's names."""
LARGEST_JSON_BYTES = 1 << 20
MOST_AXES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramJob:
    """Asks a worker to run a program.

    Attributes:
        program, input, spacing: The names of the three files, for messages.
    """

    program: str
    input: str
    spacing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramResult:
    """Describes the array that a program returned. Its elements are in the worker's memory, in C order.

    Attributes:
        dtype: The type of its numbers, one of ``DTYPES``.
        shape: Its size along each axis.
        spacing_mm: The distance of its elements along each axis, in millimetres.
    """

    dtype: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check what a worker says, which may be wrong.

        Raises:
            ValueError: There can be no such array.
        """
        if self.dtype not in DTYPES:
            raise ValueError(f"{self.dtype!r} is no type of numbers")
        if not 1 <= len(self.shape) <= MOST_AXES or min(self.shape) < 0:
            raise ValueError(f"no array has the shape {self.shape}")
        if len(self.spacing_mm) != len(self.shape) or not min(self.spacing_mm) > 0:
            raise ValueError(f"{self.spacing_mm} is no spacing of an array of {len(self.shape)} axes")


def spacing_path(array: Path) -> Path:
    """Return the JSON file that lies beside an array and holds its spacing.

    Args:
        array: The array, a ``.npy`` file.
    """
    return array.with_suffix(".json")
