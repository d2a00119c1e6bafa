"""What a model is, in numbers."""

from dataclasses import dataclass

from biofm.models.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """``trained_length`` counts tokens, <cls> and <eos> included; ``sha256`` is that of the weight files."""

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


def describe(name: str, checkpoint: Checkpoint, sha256: str, files: tuple[str, ...]) -> ModelInfo:
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
