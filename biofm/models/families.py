"""The families of models, what a family's module provides, and which modality each reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from biofm_datasets.formats import suffix_of

from biofm.core.errors import OptionError
from biofm.modalities import Modality, Tokenizer
from biofm.models import esm1, esm2, esmc, protein
from biofm.models.layout import Layout, NameMap, NewModels
from biofm.models.tensors import Tensors
from biofm.nn import MaskedLM


class Family(Protocol):
    """A family's module: how its folders are read, and the layout that it is written in."""

    MODEL_TYPE: str  # in the config.json of its folders
    HUB_IDS: dict[str, str]  # the published models: our names for them, and theirs on the hub
    WRITTEN: NameMap
    NEW: NewModels | None  # its untrained models; None of a family whose models are only read

    def owns(self, settings: Mapping[str, Any]) -> bool:
        """Whether a folder with this ``config.json`` is one of the family, be it broken or not."""

    def from_folder(self, settings: Mapping[str, Any], tensors: Tensors, where: str) -> Layout:
        """Raises ModelError where the settings describe no model of the family."""

    def to_settings(self, model: MaskedLM) -> dict[str, Any]:
        """The ``config.json`` to be written."""

    def tokenizer(self) -> Tokenizer: ...

    def tokenizer_files(self) -> dict[str, bytes]:
        """The files from which ``transformers`` makes the same tokenizer, where it reads the layout."""


FAMILIES: Mapping[str, Family] = {
    "ESM-2": esm2,
    "ESM C": esmc,
    "ESM-1b/1v": esm1,
    "biofm protein": protein,
}

HUB_IDS = {alias: hub_id for family in FAMILIES.values() for alias, hub_id in family.HUB_IDS.items()}

DEFAULT_MODALITY = "protein"


def modalities() -> dict[str, Modality]:
    """Return the modalities that some family reads, by their names."""
    return {it.name: it for it in (family.tokenizer().modality for family in FAMILIES.values())}


def modality_named(name: str | None = None, files: Sequence[str | Path] = ()) -> Modality:
    """Return the modality of this name that some family reads; without a name the modality that alone reads a
    suffix of these files, by default proteins.

    Raises OptionError: none has this name, or files are of another modality than that or than each other.
    """
    known = modalities()
    if name is not None and name not in known:
        raise OptionError(
            f"no such modality: {name or 'no name'}", where="--as", remedy=f"Give {', '.join(known)}"
        )
    found = None if name is None else known[name]
    owners = {suffix: modality for modality in known.values() for suffix in modality.formats}
    for file in files:
        if (owner := owners.get(suffix_of(str(file)))) is None:
            continue
        found = found or owner
        if owner != found:
            what = f"{file} holds {owner.words.items}, not {found.words.items}"
            remedy = f"Give --as {owner.name}, and files of one modality alone"
            raise OptionError(what, where="--as", remedy=remedy)
    return found or known[DEFAULT_MODALITY]
