"""Weight names of other layouts, as tables from our modules to theirs."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

BLOCKS = "encoder.blocks."
"""What the names of our blocks' weights begin with; the number of the layer follows."""


@dataclass(frozen=True, kw_only=True)
class NameMap:
    """Where each of our weights lies in a foreign checkpoint.

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
        """The foreign tensors that make up our tensor ``ours``, in order; none where the layout lacks it."""
        module, _, parameter = ours.rpartition(".")
        if module.startswith(BLOCKS):
            _, _, layer, part = module.split(".", 3)
            prefix = self.block_prefix.format(layer=layer)
            return tuple(_joined(f"{prefix}{theirs}", parameter) for theirs in self.block[part])
        return tuple(_joined(theirs, parameter) for theirs in self.modules.get(module, ()))

    def n_layers(self, present: Iterable[str]) -> int:
        """How many layers the tensors are of: one more than the last that has any."""
        before, _, after = self.block_prefix.partition("{layer}")
        number = re.compile(f"{re.escape(before)}([0-9]{{1,6}}){re.escape(after)}")
        found = (number.match(name) for name in present)
        return max((int(place[1]) + 1 for place in found if place), default=0)

    def unused(self, present: Iterable[str], used: set[str]) -> list[str]:
        """Tensors that nobody asked for and that ``ignored`` does not explain."""
        known = (*self.ignored, *((self.tied,) if self.tied else ()))
        spare = {place for places in self.optional.values() for place in places}
        return sorted(name for name in present if name not in used | spare and not name.endswith(known))


def _joined(place: str, parameter: str) -> str:
    return place + parameter if place.endswith("_") or not place else f"{place}.{parameter}"


class _Same(NameMap):
    """Our own layout: every tensor bears our name."""

    def sources(self, ours: str) -> tuple[str, ...]:
        return (ours,)


OWN_NAMES: NameMap = _Same(modules={}, block={}, block_prefix=f"{BLOCKS}{{layer}}.", optional={})
