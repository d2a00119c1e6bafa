"""The families of models, and what each of their files holds for the loader."""

from collections.abc import Mapping
from typing import Any, Protocol

from biofm.core.errors import OptionError
from biofm.modalities import Modality, Tokenizer
from biofm.models import esm1, esm2, esmc, protein
from biofm.models.layout import Layout, NewModels
from biofm.models.names import NameMap
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


def modality_named(name: str | None = None) -> Modality:
    """The modality of this name that some family reads, by default proteins. Raises OptionError for a name
    that none has.
    """
    name = name or DEFAULT_MODALITY
    known = {it.name: it for it in (family.tokenizer().modality for family in FAMILIES.values())}
    if name not in known:
        raise OptionError(f"no such modality: {name}", where="--as", remedy=f"Give {', '.join(known)}")
    return known[name]
