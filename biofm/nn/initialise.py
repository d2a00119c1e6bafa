"""Initial weights: all random weights of new models and heads are drawn here."""

import torch
from torch import nn

from biofm.nn.head import MaskedLM, UntiedMaskedLMHead
from biofm.nn.supervised import AttentionPool, ResidueModel, SequenceModel

STANDARD_DEVIATION = 0.02


def initialise(model: MaskedLM, seed: int) -> None:
    """Set normally distributed weights with standard deviation 0.02, zero biases and unit norms.

    The weights of the projections that write into the residual stream are smaller by sqrt(2 n_layers), so
    that the stream's variance at the last layer does not depend on depth (Radford et al. 2019, section 2.3).
    All token vectors share one random part: without it, attention in a model without biases could not depend
    on position alone in the first steps.

    Args:
        model: The model to change.
        seed: Seed of the weights. The result depends on nothing else.
    """
    generator = torch.Generator().manual_seed(seed)
    into_stream = STANDARD_DEVIATION / (2 * model.config.n_layers) ** 0.5
    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm):
            module.reset_parameters()
        elif isinstance(module, nn.Linear | nn.Embedding):
            deviation = (
                into_stream if name.endswith((".attention.out", ".feedforward.down")) else STANDARD_DEVIATION
            )
            nn.init.normal_(module.weight, std=deviation, generator=generator)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    if model.head is not None:
        nn.init.zeros_(model.head.bias)
    if isinstance(model.head, UntiedMaskedLMHead):
        nn.init.normal_(model.head.weight, std=STANDARD_DEVIATION, generator=generator)
    shared = torch.randn(model.config.d_model, generator=generator) * STANDARD_DEVIATION
    model.encoder.embedding.tokens.weight.data += shared


def initialise_head(model: SequenceModel | ResidueModel, seed: int) -> None:
    """Set normally distributed weights with standard deviation 0.02 and zero biases in the head and the
    pooling.

    The encoder stays as it is. Pooling by attention starts as the mean.

    Args:
        model: The model to change.
        seed: Seed of the weights. The result depends on nothing else.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.head:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=STANDARD_DEVIATION, generator=generator)
            nn.init.zeros_(module.bias)
    if isinstance(model, SequenceModel) and isinstance(model.pool, AttentionPool):
        nn.init.zeros_(model.pool.query)
