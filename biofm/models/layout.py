"""A checkpoint that was understood, before its weights are read; and what an untrained model is made of."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from biofm.core.errors import ModelError
from biofm.models.names import NameMap
from biofm.models.tensors import Tensors
from biofm.nn import EncoderConfig

WRONG_SETTINGS = (TypeError, ValueError, ArithmeticError, AttributeError)
"""What arithmetic with settings of another type, or out of all range, raises besides KeyError."""


class Layout(NamedTuple):
    """What the model is made of, and where its weights lie: in ``tensors``, by the names of ``names``."""

    config: EncoderConfig
    tensors: Tensors
    names: NameMap


class NewModels(NamedTuple):
    """The untrained models of a family: the names of their sizes, and the configuration of one, by its size,
    the longest sequence to train on (in tokens, special ones included), and whether it is causal.
    """

    sizes: tuple[str, ...]
    config: Callable[[str, int, bool], EncoderConfig]


@contextmanager
def configuration_errors(model: str, where: str) -> Iterator[None]:
    """Turn what reading wrong settings raises into a ModelError; ``model`` is what they should describe."""
    try:
        yield
    except KeyError as error:
        raise ModelError(
            f"the configuration lacks {error}", where=where, remedy="Download it again"
        ) from error
    except WRONG_SETTINGS as error:
        raise ModelError(
            f"not the configuration of {model} ({error})", where=where, remedy="Download it again"
        ) from error
