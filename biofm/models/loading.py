"""From opened files to a model, and from a model to files."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from biofm.core.errors import ModelError, OptionError
from biofm.models import esm2, protein
from biofm.models.checkpoint import contents
from biofm.models.names import OWN_NAMES, NameMap
from biofm.models.tensors import Files, Tensors, held, read_contact_regression, read_fair_esm, read_tensors
from biofm.models.weights import build, foreign_state, unused
from biofm.nn import EncoderConfig, MaskedLM, initialise
from biofm.tokenizers import ProteinTokenizer

FAMILIES = {"esm": "ESM-2", protein.MODEL_TYPE: "biofm protein"}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model as it was read: what kind it is, the module on the CPU in its stored dtype, its tokenizer, what
    was not used.
    """

    family: str
    module: MaskedLM
    tokenizer: ProteinTokenizer
    unused: tuple[str, ...] = ()


def read_checkpoint(files: Files, where: str) -> Checkpoint:
    """Read a model from its opened files (a fair-esm ``.pt``, or ``config.json`` and weights).

    Raises ModelError: an unknown kind of model, a damaged or incomplete file, a tensor that does not fit.
    """
    if "config.json" not in files:
        (name, handle), *beside = files.items()
        extra = [read_contact_regression(other, name_of_other) for name_of_other, other in beside]
        return _read_fair_esm(read_fair_esm(handle, name), where, extra)
    settings = _read_settings(files, where)
    tensors = read_tensors(files)
    match settings.get("model_type"):
        case "esm":
            config = esm2.config_from_transformers(settings, where)
            tensors = tensors.renamed(esm2.modern_transformers_name)
            return _checkpoint("ESM-2", config, tensors, esm2.TRANSFORMERS, where)
        case protein.MODEL_TYPE:
            config = protein.config_from_settings(settings, where)
            return _checkpoint("biofm protein", config, tensors, OWN_NAMES, where)
        case other:
            what = f"model_type {other!r} is none of {', '.join(FAMILIES)}"
            raise ModelError(what, where=where, remedy="See `biofm models` for what can be loaded")


def new_protein_model(size: str, *, trained_length: int, seed: int) -> Checkpoint:
    """An untrained model of ours; its weights depend on ``seed`` alone.

    Raises OptionError for a size that does not exist.
    """
    if size not in protein.SIZES:
        raise OptionError(f"no such size: {size}", where="--size", remedy=f"Give {', '.join(protein.SIZES)}")
    module = MaskedLM(protein.config(size, trained_length=trained_length))
    initialise(module, seed)
    return Checkpoint("biofm protein", module, ProteinTokenizer())


def write_checkpoint(checkpoint: Checkpoint) -> dict[str, bytes]:
    """The files of the model's own layout: that of ``transformers`` for ESM-2, ours for ours."""
    config = checkpoint.module.config
    if checkpoint.family == "ESM-2":
        settings = esm2.config_to_transformers(config, with_head=checkpoint.module.head is not None)
        files = contents(settings, foreign_state(checkpoint.module, esm2.TRANSFORMERS))
        return files | esm2.tokenizer_files()
    return contents(protein.config_to_settings(config), checkpoint.module.state_dict())


def _read_settings(files: Files, where: str) -> dict[str, Any]:
    try:
        settings = json.load(files["config.json"])
    except ValueError as error:
        raise ModelError(
            f"config.json is not JSON ({error})", where=where, remedy="Download it again"
        ) from error
    if not isinstance(settings, dict):
        raise ModelError("config.json holds no settings", where=where, remedy="Download it again")
    return settings


def _read_fair_esm(content: Mapping[str, Any], where: str, extra: Iterable[Tensors]) -> Checkpoint:
    try:
        options, state = content["cfg"]["model"], content["model"]
    except (KeyError, TypeError) as error:
        remedy = "Give an ESM-2 .pt file of fair-esm; ESM-1 files are of another architecture"
        raise ModelError("no ESM-2 options in this file", where=where, remedy=remedy) from error
    tensors = held(state, where).renamed(esm2.strip_fair_esm_prefix)
    for others in extra:
        tensors = tensors.joined(others)
    return _checkpoint("ESM-2", esm2.config_from_fair_esm(options, where), tensors, esm2.FAIR_ESM, where)


def _checkpoint(
    family: str, config: EncoderConfig, tensors: Mapping[str, Tensor], names: NameMap, where: str
) -> Checkpoint:
    module = build(config, tensors, names, where)
    return Checkpoint(family, module, ProteinTokenizer(), tuple(unused(tensors, module, names)))
