"""Programs and arrays for ``run-program``, and files that hold code, written into the current folder."""

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

SHAPE = (4, 5, 6)
SPACING = [0.7, 0.7, 1.25]
ANY = torch.export.Dim.AUTO


class Smooth(torch.nn.Module):
    """Convolves an array of any three sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv3d(1, 1, 3, padding=1)

    def forward(self, array: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.gelu(self.convolution(array[None, None]))[0, 0]


class Halve(torch.nn.Module):
    """Leaves out every second element, and says the spacing of the others."""

    def forward(self, array: torch.Tensor, spacing_mm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return array[::2, ::2, ::2], spacing_mm * 2


class Shrink(torch.nn.Module):
    """Changes the shape, and says no spacing."""

    def forward(self, array: torch.Tensor) -> torch.Tensor:
        return array[::2]


class Count(torch.nn.Module):
    """Takes and returns whole numbers."""

    def forward(self, array: torch.Tensor) -> torch.Tensor:
        return (array > 3).to(torch.uint8)


class Fill(torch.nn.Module):
    """Needs far more memory than any test grants."""

    def forward(self, array: torch.Tensor) -> torch.Tensor:
        return array + torch.ones(40_000, 40_000).sum() * 0


class Many(torch.nn.Module):
    """Returns three arrays."""

    def forward(self, array: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return array, array + 1, array + 2


def save_program(module: torch.nn.Module, *inputs: torch.Tensor, path: str = "program.pt2") -> None:
    shapes = tuple(dict.fromkeys(range(one.dim()), ANY) if one.dim() == 3 else {} for one in inputs)
    with torch.no_grad():
        torch.export.save(torch.export.export(module.eval(), inputs, dynamic_shapes=shapes), path)


def save_array(array: np.ndarray[Any, Any], spacing: Any = SPACING) -> None:
    np.save("input.npy", array)
    Path("input.json").write_text(json.dumps({"spacing_mm": spacing}))


def some_array(dtype: str = "float32") -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=SHAPE).astype(dtype)


class Steal:
    """Runs a line of Python when it is unpickled."""

    def __init__(self, line: str) -> None:
        self.line = line

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, (self.line,)


def plant(line: str) -> None:
    """Put a pickle that runs a line into an exported program, where torch unpickles it."""
    save_program(Smooth(), torch.zeros(3, 4, 5), path="good.pt2")
    buffer = io.BytesIO()
    torch.save(Steal(line), buffer, pickle_protocol=pickle.HIGHEST_PROTOCOL)
    with zipfile.ZipFile("good.pt2") as good, zipfile.ZipFile("program.pt2", "w") as bad:
        for entry in good.infolist():
            is_planted = entry.filename.endswith("sample_inputs/model.pt")
            bad.writestr(entry.filename, buffer.getvalue() if is_planted else good.read(entry))


class Sum(torch.nn.Module):
    """Takes three arrays."""

    def forward(self, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return a + b + c
