"""Loading: open a model by its name, list the names, and describe a model and what computes on a device."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from biofm.api.opening import open_model
from biofm.api.options import DEFAULT_MODEL

if TYPE_CHECKING:
    from biofm_kernels import Explanation

    from biofm.api.model import Model
    from biofm.models import Checkpoint, ModelInfo


DEMONSTRATION = (
    "{} is a small model for demonstrations: for results to rely on, use a published model, such as "
    "esm2-650m (`biofm models` lists them)."
)
"""The notice for a model that biofm ships, which is small so that biofm can be tried without a download."""
EMBEDDED_BY_DEMONSTRATION = (
    "The embeddings come from {}, a small model for demonstrations: for results to rely on, embed with a "
    "published model, such as esm2-650m (`biofm models` lists them)."
)
PREDICTS_BY_DEMONSTRATION = (
    "The predictor was trained on {}, a small model for demonstrations: for results to rely on, train one on "
    "a published model, such as esm2-650m (`biofm models` lists them)."
)


def load(model: str | Path = DEFAULT_MODEL, *, device: str = "auto", dtype: str = "auto") -> "Model":
    """Load a model.

    Args:
        model: A bundled model, an alias such as ``esm2-8m``, a hub id, a Hugging Face folder, a ``.pt`` file
            of fair-esm or a ``.pth`` file of esm.
        device: Where the model runs, such as cuda, cuda:1, mps or cpu. auto takes a CUDA device if there is
            one, else Apple's MPS, else the CPU.
        dtype: The precision, float32, bfloat16 or float16. auto takes bfloat16 where the hardware multiplies
            it, else float32.

    Raises:
        ModelError: There is no such model, or its files are damaged, incomplete or not plain weights.
        OptionError: There is no such device or dtype.
    """
    from biofm.api.model import Model  # these bring torch
    from biofm.inference import choose_compute
    from biofm.models import read_checkpoint

    compute = choose_compute(device, dtype)
    with open_model(str(model)) as (files, where):
        checkpoint = read_checkpoint(files, where)
        return Model(checkpoint, compute, _describe(str(model), checkpoint, files))


def model_for(model: str | Path | None, modality: str | None, file: str | Path) -> str | Path:
    """Return the named model or, without a name, the default model of the modality that a file holds.

    Raises:
        OptionError: There is no such modality, or the file has another one.
    """
    from biofm.models import modality_named  # brings torch

    return modality_named(modality, [file]).default_model if model is None else model


def info(model: str | Path = DEFAULT_MODEL) -> "ModelInfo":
    """Return the description of a model, read from its files.

    Args:
        model: The name or the path of the model, as ``load`` takes it.

    Raises:
        ModelError: There is no such model, or its files cannot be read.
    """
    from biofm.models import read_checkpoint  # brings torch

    with open_model(str(model)) as (files, where):
        return _describe(str(model), read_checkpoint(files, where), files)


def models() -> dict[str, str]:
    """Return the names of the models that ``load`` knows, each with the place of its weights."""
    from biofm.models import HUB_IDS, bundled_models  # bring torch

    return dict.fromkeys(bundled_models(), "bundled with biofm") | HUB_IDS


def kernels(device: str = "auto") -> "list[Explanation]":
    """Return for each operation of the kernels the code that computes it on this device, and the reason.

    Args:
        device: The device, such as cuda, mps or cpu; auto is the best one of this machine.

    Raises:
        OptionError: This machine has no such device.
    """
    from biofm_kernels import explain  # these bring torch

    from biofm.inference import choose_compute

    return explain(choose_compute(device, "auto").device)


def with_demonstration(notices: Mapping[str, int], *used: str, notice: str = DEMONSTRATION) -> dict[str, int]:
    """Return the notices of a run, and behind them one for each demonstration model among those it used.

    ``notice`` says what the model was used for, with ``{}`` for its name.
    """
    from biofm.models import bundled_models  # brings torch

    bundled = bundled_models()
    return dict(notices) | {notice.format(name): 1 for name in used if name in bundled}


def _describe(name: str, checkpoint: "Checkpoint", files: Mapping[str, BinaryIO]) -> "ModelInfo":
    from biofm.core import sha256_of  # these bring numpy and torch
    from biofm.models import describe

    weights = [handle for file, handle in files.items() if not file.endswith(".json")]
    return describe(name, checkpoint, sha256_of(weights), tuple(files))
