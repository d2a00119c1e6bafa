"""A tiny encoder with random weights, proteins for it, and what a plain loop over single proteins makes of
them.
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch
from biofm_datasets import Record
from numpy.typing import NDArray

from biofm.core.outputs import EmbeddingBlock
from biofm.inference import Compute, Embedder, EmbedOptions
from biofm.modalities import ProteinTokenizer
from biofm.nn import Encoder, EncoderConfig, pack

TRAINED_LENGTH = 42
CPU = Compute(torch.device("cpu"), torch.float32, "as asked")

MakeEmbedder = Callable[..., Embedder]
HiddenOf = Callable[..., NDArray[np.float32]]


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """Return an encoder of three layers with large weights: small ones would hide a wrong layer."""
    config = EncoderConfig(
        vocab_size=33, d_model=16, n_layers=3, n_heads=2, d_feedforward=32, trained_length=TRAINED_LENGTH
    )
    encoder = Encoder(config).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(20)
    for weight in encoder.parameters():
        weight.normal_(0, 0.5, generator=generator)
    return encoder


@pytest.fixture
def make_embedder(encoder: Encoder) -> MakeEmbedder:
    """Return a function that builds an embedder in float32 on the CPU with these options."""

    def make(**options: Any) -> Embedder:
        return Embedder(encoder, ProteinTokenizer(), CPU, EmbedOptions(**options))

    return make


@pytest.fixture(scope="session")
def hidden_of(encoder: Encoder) -> HiddenOf:
    """Return the hidden states of one protein alone, <cls> and <eos> left in; shape (residues + 2, d)."""

    @cache
    def run(sequence: str, layer: int = 3) -> NDArray[np.float32]:
        tokens = torch.from_numpy(ProteinTokenizer().encode(sequence).astype(np.int64))
        with torch.inference_mode():
            hidden: NDArray[np.float32] = encoder(pack([tokens]), layer).numpy()
        return hidden

    return run


@pytest.fixture(scope="session")
def proteins() -> list[Record]:
    """Proteins of 1 to 57 residues in no order of length; ids and sequences repeat."""
    generator = random.Random(20)
    sequences = ["".join(generator.choices("ACDEFGHIKLMNPQRSTVWYX", k=n)) for n in [*range(1, 61, 4), 40, 40]]
    generator.shuffle(sequences)
    sequences += sequences[:4]
    return [Record(id=f"p{i % 18}", sequence=sequence, number=i + 1) for i, sequence in enumerate(sequences)]


@pytest.fixture
def embed_all() -> Callable[..., EmbeddingBlock]:
    """Embeds records in memory."""

    def embed(
        embedder: Embedder, records: list[Record], notices: Counter[str] | None = None
    ) -> EmbeddingBlock:
        return embedder.embed_all(records, Counter() if notices is None else notices)

    return embed


@pytest.fixture
def pipe() -> Iterator[BinaryIO]:
    """Return the reading end of a pipe that nobody writes to."""
    reading, writing = os.pipe()
    with open(reading, "rb") as stream:
        yield stream
    os.close(writing)
