"""What a model family says of its files: the encoder's configuration and where each weight lies.

A family reads the settings of a checkpoint and answers with a ``Layout``: the configuration of the encoder,
the tensors of the files, and a ``NameMap`` from our names of weights to theirs. A family with untrained
models says with ``NewModels`` which there are.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from biofm.core.errors import ModelError
from biofm.models.tensors import Tensors
from biofm.nn import EncoderConfig

BLOCKS = "encoder.blocks."
"""The beginning of the names of our blocks' weights; the number of the layer follows."""
WRONG_SETTINGS = (TypeError, ValueError, ArithmeticError, AttributeError)
"""What reading settings of a wrong type, or far out of range, raises besides KeyError."""


@dataclass(frozen=True, kw_only=True)
class NameMap:
    """The place of each of our weights in a checkpoint of another layout.

    ``modules`` and ``block`` go from our module to theirs; several of theirs are joined along the first axis
    (q, k and v). In ``block`` ours is relative to ``encoder.blocks.<i>.`` and theirs to ``block_prefix`` with
    the layer's number filled in. The parameter follows after a dot, or at once where theirs ends in ``_``.
    ``optional`` names tensors that have a default, each with the places where it may lie; ``tied`` repeats
    the token vectors; ``ignored`` are endings of tensors that the model does not use.
    """

    modules: Mapping[str, tuple[str, ...]]
    block: Mapping[str, tuple[str, ...]]
    block_prefix: str
    optional: Mapping[str, tuple[str, ...]]
    tied: str = ""
    ignored: tuple[str, ...] = ()

    def sources(self, ours: str) -> tuple[str, ...]:
        """Return the names of the foreign tensors that make up our tensor ``ours``, in order; none where the
        layout lacks it.
        """
        module, _, parameter = ours.rpartition(".")
        if module.startswith(BLOCKS):
            _, _, layer, part = module.split(".", 3)
            prefix = self.block_prefix.format(layer=layer)
            return tuple(_joined(f"{prefix}{theirs}", parameter) for theirs in self.block[part])
        return tuple(_joined(theirs, parameter) for theirs in self.modules.get(module, ()))

    def n_layers(self, present: Iterable[str]) -> int:
        """Return how many layers these tensors belong to: one more than the number of the last."""
        before, _, after = self.block_prefix.partition("{layer}")
        number = re.compile(f"{re.escape(before)}([0-9]{{1,6}}){re.escape(after)}")
        found = (number.match(name) for name in present)
        return max((int(place[1]) + 1 for place in found if place), default=0)

    def unused(self, present: Iterable[str], used: set[str]) -> list[str]:
        """Return the tensors that are not used, tied, optional or ignored."""
        known = (*self.ignored, *((self.tied,) if self.tied else ()))
        spare = {place for places in self.optional.values() for place in places}
        return sorted(name for name in present if name not in used | spare and not name.endswith(known))


def _joined(place: str, parameter: str) -> str:
    return place + parameter if place.endswith("_") or not place else f"{place}.{parameter}"


class _Same(NameMap):
    """The names of our own layout: every tensor bears our name."""

    def sources(self, ours: str) -> tuple[str, ...]:
        return (ours,)


OWN_NAMES: NameMap = _Same(modules={}, block={}, block_prefix=f"{BLOCKS}{{layer}}.", optional={})


class Layout(NamedTuple):
    """A checkpoint that was understood, before its weights are read: the encoder to build, the tensors of the
    files, and where each weight lies among them.
    """

    config: EncoderConfig
    tensors: Tensors
    names: NameMap


class NewModels(NamedTuple):
    """The untrained models of a family.

    sizes: their names. config: returns the configuration of a size, given the longest sequence to train on
    (in tokens, special ones included) and whether the model is causal.
    """

    sizes: tuple[str, ...]
    config: Callable[[str, int, bool], EncoderConfig]


@contextmanager
def configuration_errors(model: str, where: str) -> Iterator[None]:
    """Turn what reading wrong settings raises into ModelError. ``model`` is what they should describe."""
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
