"""What a test sees of the pictures that are drawn."""

from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[Any]]:
    """The values of every image that matplotlib draws."""
    shown: list[NDArray[Any]] = []
    plain_imshow = Axes.imshow

    def imshow(axes: Axes, values: NDArray[Any], **options: Any) -> AxesImage:
        shown.append(values)
        return plain_imshow(axes, values, **options)

    monkeypatch.setattr(Axes, "imshow", imshow)
    return shown
