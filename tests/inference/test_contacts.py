"""Contacts of a stream of proteins: in order, and the same in every batch."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from biofm_datasets import Record

from biofm.core import InputError, OptionError
from biofm.inference import Compute, ContactMap, ContactMapper, short_enough
from biofm.modalities import ProteinTokenizer
from biofm.models import esm1, esm2
from biofm.nn import MaskedLM

CPU = Compute(torch.device("cpu"), torch.float32, "as asked")


@pytest.fixture(scope="module")
def model() -> MaskedLM:
    """Weights large enough that contacts are neither all 0 nor all 1, nor all a half."""
    model = MaskedLM(esm2.config(d_model=24, n_layers=2, n_heads=2), with_contacts=True)
    generator = torch.Generator().manual_seed(20)
    for weight in model.eval().requires_grad_(False).parameters():
        weight.normal_(0, 0.4, generator=generator)
    assert model.contacts is not None
    model.contacts.regression.weight.mul_(10)
    return model


def predict(model: MaskedLM, records: list[Record], **options: Any) -> list[ContactMap]:
    predictor = ContactMapper(model, ProteinTokenizer(), CPU, **options)
    return list(predictor.stream(records, Counter()))


def test_maps_come_in_order_whatever_the_batches(model: MaskedLM, proteins: list[Record]) -> None:
    alone = [predict(model, [record])[0] for record in proteins]
    assert max(float(one.probabilities.std()) for one in alone) > 0.05
    for tokens_per_batch in (2, 50, 200, 100_000):
        found = predict(model, proteins, tokens_per_batch=tokens_per_batch)
        assert [one.id for one in found] == [record.id for record in proteins]
        for one, other in zip(found, alone, strict=True):
            assert one.probabilities.dtype == np.float32
            assert one.probabilities.shape == (len(one.sequence), len(one.sequence))
            np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)


def test_memory_holds_one_batch(model: MaskedLM) -> None:
    read: list[int] = []

    def records() -> Any:
        for number in range(20):
            read.append(number)
            yield Record(id=str(number), sequence="MKTAYIAK")

    stream = ContactMapper(model, ProteinTokenizer(), CPU, tokens_per_batch=40).stream(records(), Counter())
    next(stream)
    assert len(read) <= 5


def test_progress_hears_of_every_token(model: MaskedLM, proteins: list[Record]) -> None:
    heard: Counter[str] = Counter()
    predictor = ContactMapper(model, ProteinTokenizer(), CPU, tokens_per_batch=100)
    list(predictor.stream(proteins, Counter(), lambda t, r: heard.update(tokens=t, residues=r)))
    n_residues = sum(len(record.sequence) for record in proteins)
    assert heard == {"tokens": n_residues + 2 * len(proteins), "residues": n_residues}


def test_a_mask_is_one_residue(model: MaskedLM) -> None:
    (found,) = predict(model, [Record(id="p", sequence="MK<mask>AY")])
    assert (found.sequence, found.probabilities.shape) == ("MKXAY", (5, 5))


def test_what_was_unusual_is_counted(model: MaskedLM) -> None:
    notices: Counter[str] = Counter()
    records = [Record(id="long", sequence="A" * 1023), Record(id="j", sequence="AJJ")]
    list(ContactMapper(model, ProteinTokenizer(), CPU).stream(records, notices))
    assert notices == {
        "residues read as <unk>": 2,
        "sequences longer than the 1022 residues of the model's training, run whole": 1,
    }


def test_too_small_a_batch_is_refused(model: MaskedLM) -> None:
    with pytest.raises(OptionError, match="--tokens-per-batch: 1 is too small"):
        ContactMapper(model, ProteinTokenizer(), CPU, 1)


def test_a_protein_that_is_too_long_stops_or_is_skipped() -> None:
    sequences = ["MKTAY", "MKTAYI", "<mask>AAAA"]
    records = [
        Record(id=f"p{i}", sequence=one, number=i, source="p.fasta") for i, one in enumerate(sequences)
    ]
    notices: Counter[str] = Counter()
    assert [one.id for one in short_enough(records, 5, notices, on_error="skip")] == ["p0", "p2"]
    assert notices.pop("records skipped") == 1
    assert [notice[:39] for notice in notices] == ["Skipped: p.fasta, record 1 (p1): 6 resi"]
    with pytest.raises(InputError, match=r"p\.fasta, record 1 \(p1\): 6 residues; .* at most 5 .*\. Cut the"):
        list(short_enough(records, 5, notices, on_error="stop"))


def test_learned_positions_end_what_can_be_predicted() -> None:
    endless = MaskedLM(esm2.config(d_model=24, n_layers=1, n_heads=2), with_contacts=True)
    shape: dict[str, Any] = {"d_model": 24, "n_layers": 1, "n_heads": 2, "n_positions": 34}
    learned = MaskedLM(esm1.config(embedding_norm=True, **shape), with_contacts=True)
    assert ContactMapper(endless, ProteinTokenizer(), CPU).longest == 10_000
    assert ContactMapper(learned, ProteinTokenizer(), CPU).longest == 30
