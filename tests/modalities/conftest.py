"""Proteins on which tokenizers are compared; a toy model, and a file of the toy's own format with a column
that travels.
"""

from itertools import islice
from pathlib import Path
from random import Random

import pytest
import torch
from biofm_datasets import Record, read_sequences
from transformers import PreTrainedTokenizerBase

from biofm.modalities import ProteinTokenizer
from biofm.models import Checkpoint, families, write_checkpoint
from biofm.nn import MaskedLM, initialise
from tests.modalities import toy

PLACES = ("north", "south-west", "", 'öst, "x"')


def same_tokens(sequence: str, ours: ProteinTokenizer, theirs: PreTrainedTokenizerBase) -> bool:
    return ours.encode(sequence).tolist() == list(theirs(sequence)["input_ids"])


@pytest.fixture(scope="session")
def uniref90(real_data: Path) -> list[Record]:
    """A thousand proteins of UniRef90."""
    with (real_data / "protein" / "uniref90_10k.fasta.gz").open("rb") as stream:
        records = list(islice(read_sequences(stream, "uniref90_10k.fasta.gz"), 1000))
    assert len(records) == 1000
    return records


@pytest.fixture
def toy_family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(families.FAMILIES, "toy", toy)  # type: ignore[arg-type]


@pytest.fixture
def model(toy_family: None, tmp_path: Path) -> Path:
    """Return a model of the toy modality."""
    module = MaskedLM(toy.config())
    initialise(module, seed=3)
    for weight in module.parameters():
        weight.data += 0.2 * torch.randn(
            weight.shape, generator=torch.Generator().manual_seed(weight.numel())
        )
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in write_checkpoint(Checkpoint("toy", module.eval(), toy.ToyTokenizer())).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def records() -> list[Record]:
    """Return records whose ids and texts repeat, the texts in several places."""
    random = Random(4)
    texts = [
        "".join(f"{random.choice(toy.PAIRS)}{random.randrange(10)}" for _ in range(random.randint(1, 20)))
        for _ in range(25)
    ]
    return [
        Record(f"s{i % 17}", random.choice(texts), columns={"place": random.choice(PLACES)})
        for i in range(60)
    ]


@pytest.fixture
def file(toy_family: None, records: list[Record], tmp_path: Path) -> Path:
    return toy.write(records, tmp_path / "in.toy")
