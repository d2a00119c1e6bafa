"""Builds a module from a checkpoint's tensors, renamed, joined and checked, and does the reverse."""

from collections.abc import Mapping

import torch
from biofm_datasets.text import format_count
from torch import Tensor

from biofm.core.errors import ModelError
from biofm.models.layout import BLOCKS, NameMap
from biofm.nn import EncoderConfig, MaskedLM

REMEDY = "The files are incomplete or from another model: download them again, with their own configuration"


def build(config: EncoderConfig, tensors: Mapping[str, Tensor], names: NameMap, where: str) -> MaskedLM:
    """Return a model with these weights in their stored dtype, without heads that the checkpoint lacks.

    Raises:
        ModelError: A tensor is missing, has another shape, or is not tied as the architecture ties it; the
            message names it.
    """
    n_stored = names.n_layers(tensors)
    _check_sizes(config, n_stored, tensors, names, where)
    with torch.device("meta"):
        model = MaskedLM(config, with_contacts=True)
    for head in ("head", "contacts"):
        of_head = (name for name in model.state_dict() if name.startswith(f"{head}."))
        if not any(source in tensors for name in of_head for source in names.sources(name)):
            setattr(model, head, None)
    state = {ours: _read(ours, like, tensors, names, where) for ours, like in model.state_dict().items()}
    if config.n_layers < n_stored:
        layers = format_count(config.n_layers, "layer")
        what = f"the configuration says {layers}, but the files hold {n_stored:,}"
        raise ModelError(what, where=where, remedy=REMEDY)
    _check_tied(state["encoder.embedding.tokens.weight"], tensors, names, where)
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


def unused(tensors: Mapping[str, Tensor], model: MaskedLM, names: NameMap) -> list[str]:
    """Return the tensors of the checkpoint that the model does not use and that are not known needless."""
    used = {
        source for ours in model.state_dict() if ours not in names.optional for source in names.sources(ours)
    }
    return names.unused(tensors, used)


def foreign_state(model: MaskedLM, names: NameMap) -> dict[str, Tensor]:
    """Return the model's weights under the names of another layout; joined weights are split again."""
    state: dict[str, Tensor] = {}
    for ours, tensor in model.state_dict().items():
        theirs = names.optional[ours][:1] if ours in names.optional else names.sources(ours)
        parts = tensor.chunk(len(theirs)) if theirs else ()
        state |= dict(zip(theirs, (part.contiguous() for part in parts), strict=True))
    return state


def _check_sizes(
    config: EncoderConfig, n_stored: int, tensors: Mapping[str, Tensor], names: NameMap, where: str
) -> None:
    """Check vocabulary, width and depth against the files before a model is made.

    Even without weights, a thousand layers take a second.
    """
    vectors = names.sources("encoder.embedding.tokens.weight")[0]
    _checked(vectors, torch.Size((config.vocab_size, config.d_model)), tensors, where)
    if config.n_layers > n_stored:
        first = names.sources(f"{BLOCKS}{n_stored}.attention_norm.weight")[0]
        raise ModelError(f"tensor {first} is missing", where=where, remedy=REMEDY)


def _read(ours: str, like: Tensor, tensors: Mapping[str, Tensor], names: NameMap, where: str) -> Tensor:
    if ours in names.optional:
        present = [source for source in names.optional[ours] if source in tensors]
        return _checked(present[0], like.shape, tensors, where) if present else like
    sources = names.sources(ours)
    expected = torch.Size((like.shape[0] // len(sources), *like.shape[1:]))
    parts = [_checked(source, expected, tensors, where) for source in sources]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _checked(source: str, expected: torch.Size, tensors: Mapping[str, Tensor], where: str) -> Tensor:
    if source not in tensors:
        raise ModelError(f"tensor {source} is missing", where=where, remedy=REMEDY)
    tensor = tensors[source]
    if tensor.shape != expected:
        found, wanted = list(tensor.shape), list(expected)
        raise ModelError(f"tensor {source} has shape {found} instead of {wanted}", where=where, remedy=REMEDY)
    if tensor.nbytes > tensor.untyped_storage().nbytes():
        what = f"tensor {source} should have {tensor.nbytes:,} bytes, but the file holds fewer"
        raise ModelError(what, where=where, remedy=REMEDY)
    if not tensor.is_floating_point():
        raise ModelError(
            f"tensor {source} holds {tensor.dtype}, not floating-point numbers", where=where, remedy=REMEDY
        )
    return tensor


def _check_tied(token_vectors: Tensor, tensors: Mapping[str, Tensor], names: NameMap, where: str) -> None:
    if names.tied in tensors and not torch.equal(tensors[names.tied], token_vectors):
        what = f"tensor {names.tied} differs from the token vectors, to which this architecture ties it"
        raise ModelError(what, where=where, remedy=REMEDY)
