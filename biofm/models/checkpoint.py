"""Models are read from opened files, made untrained, described and written here.

``read_checkpoint`` finds the family (``families.py``), which reads the settings and returns a layout
(``layout.py``). ``build`` (``weights.py``) makes the module and reads the tensors (``tensors.py``) into it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from biofm_datasets.documents import load_json
from biofm_datasets.text import format_count
from safetensors.torch import save
from torch import Tensor

from biofm.core.errors import ModelError, OptionError
from biofm.modalities import Tokenizer
from biofm.models import esm1, esm2, esmc
from biofm.models.families import DEFAULT_MODALITY, FAMILIES, Family
from biofm.models.layout import Layout
from biofm.models.tensors import Files, read_contact_regression, read_fair_esm, read_pickle, read_tensors
from biofm.models.weights import build, foreign_state, unused
from biofm.nn import MaskedLM, initialise


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Holds a model as it was read.

    Attributes:
        family: The name of its family.
        module: The model on the CPU, in its stored dtype.
        tokenizer: The tokenizer of its family.
        unused: The names of the tensors in the files that were not used.
    """

    family: str
    module: MaskedLM
    tokenizer: Tokenizer
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """Describes a model in numbers.

    Attributes:
        name: The name by which the model was read.
        family: The name of its family.
        n_parameters: The number of its weights.
        n_layers: The number of its blocks.
        d_model: The width of its hidden states.
        n_heads: The number of attention heads of a block.
        trained_length: The length of the longest sequence in training, in tokens, special ones included.
        has_head: Whether it predicts tokens.
        has_contact_head: Whether it predicts contacts.
        stored_dtype: The dtype of the weights in the files.
        sha256: The checksum of the weight files.
        files: The files it was read from.
        unused_tensors: The names of the tensors in the files that were not used.
    """

    name: str
    family: str
    n_parameters: int
    n_layers: int
    d_model: int
    n_heads: int
    trained_length: int
    has_head: bool
    has_contact_head: bool
    stored_dtype: str
    sha256: str
    files: tuple[str, ...]
    unused_tensors: tuple[str, ...]


def read_checkpoint(files: Files, where: str) -> Checkpoint:
    """Read a model from its opened files.

    Args:
        files: ``config.json`` and weights, a fair-esm ``.pt``, or an esm ``.pth``.
        where: The model's name, for messages.

    Raises:
        ModelError: The kind of model is unknown, a file is damaged or incomplete, or a tensor does not fit.
    """
    read = _read_folder if "config.json" in files else _read_lone_file
    family, layout = read(files, where)
    tokenizer = FAMILIES[family].tokenizer()
    _check_inputs(layout, tokenizer, where)
    module = build(layout.config, layout.tensors, layout.names, where)
    spare = tuple(unused(layout.tensors, module, layout.names))
    return Checkpoint(family, module, tokenizer, spare)


def new_model(
    size: str,
    *,
    trained_length: int,
    seed: int,
    causal: bool = False,
    modality: str = DEFAULT_MODALITY,
) -> Checkpoint:
    """Return an untrained model.

    Args:
        size: The name of its size.
        trained_length: The length of the longest sequence to train on, in tokens, special ones included.
        seed: Seed of the initial weights, which depend on nothing else.
        causal: Whether a token attends only to itself and earlier ones.
        modality: The name of the modality that the model reads.

    Raises:
        OptionError: The modality has no untrained models, or the size does not exist.
    """
    name = next((name for name, it in FAMILIES.items() if it.NEW and _modality_of(it) == modality), None)
    if name is None:
        known = {_modality_of(it): None for it in FAMILIES.values() if it.NEW}
        what = f"there is no untrained model for the modality {modality}"
        raise OptionError(what, where="--as", remedy=f"Give {' or '.join(known)}, or --start-from a model")
    new = FAMILIES[name].NEW
    assert new is not None, "only families with untrained models were searched"
    if size not in new.sizes:
        raise OptionError(f"no such size: {size}", where="--size", remedy=f"Give {', '.join(new.sizes)}")
    module = MaskedLM(new.config(size, trained_length, causal))
    initialise(module, seed)
    return Checkpoint(name, module, FAMILIES[name].tokenizer())


def write_checkpoint(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Return the files of a model by name, in the layout of ``transformers`` for a published family, else in
    ours.

    Args:
        checkpoint: The model.
    """
    family, module = FAMILIES[checkpoint.family], checkpoint.module
    files = _folder_files(family.to_settings(module), foreign_state(module, family.WRITTEN))
    return files | family.tokenizer_files()


def describe(name: str, checkpoint: Checkpoint, sha256: str, files: tuple[str, ...]) -> ModelInfo:
    """Return what a model is, in numbers.

    Args:
        name: The name by which it was read.
        checkpoint: The model.
        sha256: The checksum of its weight files.
        files: The files it was read from.
    """
    module, config = checkpoint.module, checkpoint.module.config
    return ModelInfo(
        name=name,
        family=checkpoint.family,
        n_parameters=sum(weight.numel() for weight in module.parameters()),
        n_layers=config.n_layers,
        d_model=config.d_model,
        n_heads=config.n_heads,
        trained_length=config.trained_length,
        has_head=module.head is not None,
        has_contact_head=module.contacts is not None,
        stored_dtype=str(module.encoder.embedding.tokens.weight.dtype).removeprefix("torch."),
        sha256=sha256,
        files=files,
        unused_tensors=checkpoint.unused,
    )


def _check_inputs(layout: Layout, tokenizer: Tokenizer, where: str) -> None:
    """Raise ModelError if the encoder needs inputs that the family's tokenizer does not provide."""
    config = layout.config
    if (config.values != "none") != tokenizer.has_values or config.n_segments:
        what = f"its encoder reads values ({config.values}) and {format_count(config.n_segments, 'segment')}"
        remedy = "Download the configuration again"
        what += f", which does not match the tokenizer of {tokenizer.modality.words.items}"
        raise ModelError(what, where=where, remedy=remedy)


def _read_folder(files: Files, where: str) -> tuple[str, Layout]:
    """Find the family of a folder's configuration and return its name with the layout."""
    settings = _read_settings(files, where)
    for name, family in FAMILIES.items():
        if family.owns(settings):
            return name, family.from_folder(settings, read_tensors(files), where)
    known = ", ".join(dict.fromkeys(family.MODEL_TYPE for family in FAMILIES.values()))
    what = f"biofm does not load the model_type {settings.get('model_type')!r}, only {known}"
    raise ModelError(what, where=where, remedy="See `biofm models` for what can be loaded")


def _read_lone_file(files: Files, where: str) -> tuple[str, Layout]:
    """Find the family of a ``.pt`` or ``.pth`` file and return its name with the layout."""
    (name, handle), *beside = files.items()
    if name.endswith(".pth"):
        return "ESM C", esmc.from_pth(read_pickle(handle, name), where)
    contact_heads = [read_contact_regression(other, name_of_other) for name_of_other, other in beside]
    content = read_fair_esm(handle, name)
    family, read = ("ESM-1b/1v", esm1) if esm1.owns_fair_esm(content) else ("ESM-2", esm2)
    layout = read.from_fair_esm(content, where)
    for tensors in contact_heads:
        layout = layout._replace(tensors=layout.tensors.joined(tensors))
    return family, layout


def _read_settings(files: Files, where: str) -> dict[str, Any]:
    try:
        settings = load_json(files["config.json"])
    except ValueError as error:
        raise ModelError(
            f"config.json is not JSON ({error})", where=where, remedy="Download it again"
        ) from error
    if not isinstance(settings, dict):
        raise ModelError("config.json is not a JSON object", where=where, remedy="Download it again")
    return settings


def _modality_of(family: Family) -> str:
    """Return the name of the modality that the family reads."""
    return family.tokenizer().modality.name


def _folder_files(settings: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, bytes]:
    """Return the files of a checkpoint folder by name: ``config.json`` and ``model.safetensors``."""
    return {
        "config.json": (json.dumps(settings, indent=2) + "\n").encode(),
        "model.safetensors": save(dict(state), metadata={"format": "pt"}),
    }
