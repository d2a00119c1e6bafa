"""A checkpoint that was understood, before its weights are read."""

from typing import NamedTuple

from biofm.models.names import NameMap
from biofm.models.tensors import Tensors
from biofm.nn import EncoderConfig


class Layout(NamedTuple):
    """What the model is made of, and where its weights lie: in ``tensors``, by the names of ``names``."""

    config: EncoderConfig
    tensors: Tensors
    names: NameMap
