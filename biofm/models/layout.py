"""The layout of a checkpoint: the encoder's configuration, the tensors, and where each weight is among them.

A family reads the settings of a checkpoint and returns a ``Layout``. Its ``NameMap`` leads from our names of
weights to theirs. A family with untrained models lists them with ``NewModels``.
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
"""The beginning of our names of weights in blocks; the number of the layer follows."""
WRONG_SETTINGS = (TypeError, ValueError, ArithmeticError, AttributeError)
"""The errors, besides KeyError, of reading settings that have a wrong type or are far out of range."""


@dataclass(frozen=True, kw_only=True)
class NameMap:
    """Maps our names of weights to those of a checkpoint in another layout.

    Several modules of theirs are joined along the first axis (q, k and v). The parameter follows after a dot,
    or directly if their name ends in ``_``.

    Attributes:
        modules: Our modules outside the blocks, with theirs.
        block: Our modules relative to ``encoder.blocks.<i>.``, with theirs relative to ``block_prefix``.
        block_prefix: The beginning of their names in a block, with ``{layer}`` for its number.
        optional: Tensors that have a default, each with the names it may have.
        tied: Their name for a copy of the token vectors; empty if there is none.
        ignored: Endings of the names of tensors that the model does not use.
    """

    modules: Mapping[str, tuple[str, ...]]
    block: Mapping[str, tuple[str, ...]]
    block_prefix: str
    optional: Mapping[str, tuple[str, ...]]
    tied: str = ""
    ignored: tuple[str, ...] = ()

    def sources(self, ours: str) -> tuple[str, ...]:
        """Return the names of their tensors that make up one of ours, in order; none if the layout lacks it.

        Args:
            ours: Our name of the tensor.
        """
        module, _, parameter = ours.rpartition(".")
        if module.startswith(BLOCKS):
            _, _, layer, part = module.split(".", 3)
            prefix = self.block_prefix.format(layer=layer)
            return tuple(_joined(f"{prefix}{theirs}", parameter) for theirs in self.block[part])
        return tuple(_joined(theirs, parameter) for theirs in self.modules.get(module, ()))

    def n_layers(self, present: Iterable[str]) -> int:
        """Return how many layers these tensors belong to: one more than the number of the last.

        Args:
            present: Their names of the tensors.
        """
        before, _, after = self.block_prefix.partition("{layer}")
        number = re.compile(f"{re.escape(before)}([0-9]{{1,6}}){re.escape(after)}")
        found = (number.match(name) for name in present)
        return max((int(place[1]) + 1 for place in found if place), default=0)

    def unused(self, present: Iterable[str], used: set[str]) -> list[str]:
        """Return the tensors that are not used, tied, optional or ignored.

        Args:
            present: Their names of the tensors.
            used: The names of those that the model used.
        """
        known = (*self.ignored, *((self.tied,) if self.tied else ()))
        spare = {place for places in self.optional.values() for place in places}
        return sorted(name for name in present if name not in used | spare and not name.endswith(known))


def _joined(place: str, parameter: str) -> str:
    return place + parameter if place.endswith("_") or not place else f"{place}.{parameter}"


class _Same(NameMap):
    """Maps each name to itself, for our own layout."""

    def sources(self, ours: str) -> tuple[str, ...]:
        return (ours,)


OWN_NAMES: NameMap = _Same(modules={}, block={}, block_prefix=f"{BLOCKS}{{layer}}.", optional={})


class Layout(NamedTuple):
    """Holds a checkpoint that was understood, before its weights are read.

    Attributes:
        config: The configuration of the encoder.
        tensors: The tensors of the files.
        names: Where each weight is among them.
    """

    config: EncoderConfig
    tensors: Tensors
    names: NameMap


class NewModels(NamedTuple):
    """Lists the untrained models of a family.

    Attributes:
        sizes: The names of the sizes.
        config: Returns the configuration of a size, from its name, the length of the longest sequence to
            train on (in tokens, special ones included), and whether the model is causal.
    """

    sizes: tuple[str, ...]
    config: Callable[[str, int, bool], EncoderConfig]


@contextmanager
def configuration_errors(model: str, where: str) -> Iterator[None]:
    """Turn the errors of reading wrong settings into ModelError. ``model`` is what they should describe."""
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
