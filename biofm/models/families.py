"""The families of models, what each family's module provides, and which modality it reads."""

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
    """Describes a family's module: how its folders are read, and the layout in which they are written."""

    MODEL_TYPE: str  # the model_type in the config.json of its folders
    HUB_IDS: dict[str, str]  # the published models: our names and their ids on the hub
    WRITTEN: NameMap
    NEW: NewModels | None  # its untrained models; None if its models are only read

    def owns(self, settings: Mapping[str, Any]) -> bool:
        """Return whether a folder with this ``config.json`` belongs to the family, even if it is broken."""

    def from_folder(self, settings: Mapping[str, Any], tensors: Tensors, where: str) -> Layout:
        """Return the layout of a folder.

        Raises:
            ModelError: The settings do not describe a model of the family.
        """

    def to_settings(self, model: MaskedLM) -> dict[str, Any]:
        """Return the ``config.json`` of a model."""

    def tokenizer(self) -> Tokenizer: ...

    def tokenizer_files(self) -> dict[str, bytes]:
        """Return the files from which ``transformers`` makes the same tokenizer, if it reads the layout."""


FAMILIES: Mapping[str, Family] = {
    "ESM-2": esm2,
    "ESM C": esmc,
    "ESM-1b/1v": esm1,
    "biofm protein": protein,
}

HUB_IDS = {alias: hub_id for family in FAMILIES.values() for alias, hub_id in family.HUB_IDS.items()}

DEFAULT_MODALITY = "protein"


def modalities() -> dict[str, Modality]:
    """Return the modalities that some family reads, by name."""
    return {it.name: it for it in (family.tokenizer().modality for family in FAMILIES.values())}


def modality_named(name: str | None = None, files: Sequence[str | Path] = ()) -> Modality:
    """Return the modality of this name, or the one that files have.

    Args:
        name: The name. None takes the only modality that reads the suffix of a file; if no suffix decides,
            proteins.
        files: Names of files; their suffixes must agree with the modality.

    Raises:
        OptionError: No modality has this name, or files belong to another modality.
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
            remedy = f"Give --as {owner.name}, and only files of this modality"
            raise OptionError(what, where="--as", remedy=remedy)
    return found or known[DEFAULT_MODALITY]
