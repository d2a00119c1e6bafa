"""Members at work: what they say is what the model said in training, in order, and some at a time."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from biofm_datasets import Record

from biofm.core.choices import HeadPool, Task
from biofm.evaluation import Calibration, Intervals
from biofm.inference import Compute, Embedder, EmbedOptions
from biofm.inference.prediction import (
    Branch,
    Head,
    MemberInfo,
    Predictor,
    PredictorInfo,
    combine,
    embedder_pool,
)
from biofm.modalities import ProteinTokenizer
from biofm.nn import (
    EncoderConfig,
    MaskedLM,
    ResidueModel,
    SequenceModel,
    initialise,
    initialise_head,
    pack,
)

TOKENIZER = ProteinTokenizer()
CPU = Compute(torch.device("cpu"), torch.float32, "as the test asks")
CONFIG = EncoderConfig(
    vocab_size=len(TOKENIZER.vocabulary), d_model=16, n_layers=2, n_heads=2, d_feedforward=24,
    trained_length=64, feedforward="swiglu",
)  # fmt: skip


def sequences(n: int) -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), rng.integers(2, 40))) for _ in range(n)]


def encoder(seed: int = 0) -> MaskedLM:
    model = MaskedLM(CONFIG)
    initialise(model, seed)
    return model.requires_grad_(False).eval()


def embedder(pool: HeadPool, task: Task = "regression", seed: int = 0) -> Embedder:
    options = EmbedOptions(pool=embedder_pool(task, pool), tokens_per_batch=64)
    return Embedder(encoder(seed).encoder, TOKENIZER, CPU, options)


def records(some: list[str]) -> Iterator[Record]:
    return (Record(f"p{i}", one, "", i + 1, "it") for i, one in enumerate(some))


@pytest.mark.parametrize("n_hidden", [0, 7])
@pytest.mark.parametrize("pool", ["mean", "cls", "attention"])
def test_a_member_says_what_the_model_said_in_training(pool: HeadPool, n_hidden: int) -> None:
    """Pooled by the embedder in batches of any kind, against the trained module on packed tokens."""
    assert pool != "max"
    model = SequenceModel(
        encoder().encoder, pool, 2, n_hidden=n_hidden, special_tokens=TOKENIZER.special
    ).eval()
    initialise_head(model, 1)
    if pool == "attention":
        model.pool.query.data = torch.randn(16, generator=torch.Generator().manual_seed(1))
    some = sequences(30)
    batch = pack([torch.from_numpy(TOKENIZER.encode(one).astype(np.int64)) for one in some])
    with torch.no_grad():
        expected = model(batch) * 3 + 5
    query = model.pool.query.detach() if pool == "attention" else None
    head = Head("regression", model.head, query, torch.full((2,), 5.0), torch.full((2,), 3.0))
    found = Branch(embedder(pool), [head]).answer(records(some), Counter()).outputs
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_residues_are_those_between_the_ends() -> None:
    model = ResidueModel(encoder().encoder, 3).eval()
    initialise_head(model, 1)
    some = sequences(12)
    batch = pack([torch.from_numpy(TOKENIZER.encode(one).astype(np.int64)) for one in some])
    with torch.no_grad():
        parts = model(batch).softmax(-1).split(batch.lengths.tolist())
    expected = torch.cat([part[1:-1] for part in parts])
    head = Head("per-residue", model.head)
    found = Branch(embedder("mean", "per-residue"), [head]).answer(records(some), Counter()).outputs
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def predictor(n_members: int) -> Predictor:
    branches, members = [], []
    for seed in range(n_members):
        layers = SequenceModel(encoder(seed).encoder, "mean", 1, special_tokens=TOKENIZER.special).head
        head = Head("regression", layers.requires_grad_(False), None, torch.zeros(1), torch.ones(1))
        branches.append(Branch(embedder("mean", seed=seed), [head]))
        members.append(MemberInfo(name=f"seed-{seed}", fold=0))
    info = PredictorInfo(
        task="regression", targets=("y",), classes=(), method="full", pool="mean", window=0, model="it",
        sha256="0", dtype="float32", members=tuple(members),
    )  # fmt: skip
    return Predictor(info, branches, Calibration(intervals=(Intervals(scores=np.empty(0)),)))


def test_members_are_asked_one_by_one_and_answer_as_one() -> None:
    together, some = predictor(3), sequences(40)
    parts = list(together.stream(together.embedder.tokenise(records(some), Counter())))
    assert [protein.id for part in parts for protein in part.items] == [f"p{i}" for i in range(40)]
    found = np.concatenate([part.found.outputs for part in parts])
    alone = [branch.answer(records(some), Counter()).outputs for branch in together.branches]
    np.testing.assert_allclose(found, np.mean(alone, axis=0), atol=1e-6)
    spread = np.concatenate([part.found.spread for part in parts if part.found.spread is not None])
    np.testing.assert_allclose(spread, np.std(alone, axis=0), atol=1e-6)


def test_an_endless_input_is_answered_some_at_a_time() -> None:
    n_read = 0

    def endless() -> Iterator[Record]:
        nonlocal n_read
        while True:
            n_read += 1
            yield Record(str(n_read), "MKTAYIAK", "", n_read, "it")

    together = predictor(1)
    stream = together.stream(together.embedder.tokenise(endless(), Counter()))
    n_answered = 0
    for _ in range(5):
        n_answered += len(next(stream).items)
        assert n_read <= n_answered + 1, "only the one that did not fit any more"


def test_the_mean_is_over_all_and_the_spread_within_folds() -> None:
    outputs = [np.array([[value]]) for value in (1.0, 3.0, 10.0, 14.0)]
    found = combine(outputs, [0, 0, 1, 1])
    assert found.outputs.tolist() == [[7.0]]
    assert found.spread is not None
    assert found.spread.tolist() == [[1.5]], "the mean of 1 and 2"


def test_members_of_different_folds_have_no_spread() -> None:
    assert combine([np.zeros((2, 1)), np.ones((2, 1))], [0, 1]).spread is None
    assert combine([np.zeros((2, 1))], [0]).spread is None
