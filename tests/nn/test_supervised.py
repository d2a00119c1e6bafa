"""Supervised models: packing never changes a prediction, pooling is what a plain loop does, all learns."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biofm.nn import (
    EncoderConfig,
    MaskedLM,
    PackedBatch,
    ResidueModel,
    SequenceModel,
    SequencePool,
    initialise_head,
    pack,
)

CLS, EOS = 8, 9
ENDS = (CLS, EOS)
POOLS: list[SequencePool] = ["mean", "cls", "attention"]
N_RESIDUES = [5, 1, 14, 14, 0, 30]

MakeConfig = Callable[..., EncoderConfig]
MakeModel = Callable[..., MaskedLM]
Predictor = SequenceModel | ResidueModel
MakePredictor = Callable[..., Predictor]


@pytest.fixture
def proteins() -> list[Tensor]:
    """<cls>, residues, <eos>; one has no residue, and one is a crop without ends."""
    residues = [torch.randint(0, CLS, (n,)) for n in N_RESIDUES]
    whole = [torch.cat([torch.tensor([CLS]), part, torch.tensor([EOS])]) for part in residues]
    return [*whole, torch.randint(0, CLS, (9,))]


@pytest.fixture
def make_predictor(make_config: MakeConfig, make_model: MakeModel) -> MakePredictor:
    """Every weight is random, the query too."""

    def make(kind: str, **options: Any) -> Predictor:
        encoder = make_model(make_config()).encoder
        model: Predictor = ResidueModel(encoder, 3, **options)
        if kind != "residues":
            model = SequenceModel(encoder, kind, 3, special_tokens=ENDS, **options)  # type: ignore[arg-type]
        for part in (model.head, *([model.pool] if isinstance(model, SequenceModel) else [])):
            for weight in part.parameters():
                nn.init.normal_(weight, std=0.3)
        return model.eval()

    return make


@pytest.mark.parametrize("n_hidden", [0, 16], ids=["linear", "a hidden layer"])
@pytest.mark.parametrize("kind", [*POOLS, "residues"])
def test_packing_never_changes_a_prediction(
    kind: str, n_hidden: int, proteins: list[Tensor], make_predictor: MakePredictor
) -> None:
    model = make_predictor(kind, n_hidden=n_hidden).double()
    with torch.no_grad():
        packed = model(pack(proteins))
        alone = torch.cat([model(pack([tokens])) for tokens in proteins])
        backwards = model(pack(proteins[::-1]))
    rows = len(proteins) if kind != "residues" else sum(map(len, proteins))
    assert packed.shape == (rows, 3)
    torch.testing.assert_close(packed, alone, rtol=0, atol=1e-6)
    if kind != "residues":
        torch.testing.assert_close(packed, backwards.flip(0), rtol=0, atol=1e-6)


def by_loop(model: SequenceModel, hidden: Tensor, batch: PackedBatch) -> Tensor:
    """The pooled vectors, a sequence at a time."""
    rows = []
    lengths = batch.lengths.tolist()
    for x, tokens in zip(hidden.split(lengths), batch.tokens.split(lengths), strict=True):
        residues = x[(tokens != CLS) & (tokens != EOS)]
        query = getattr(model.pool, "query", torch.zeros(x.shape[1]))
        weights = (residues @ query).softmax(0)
        rows.append(weights @ residues)
    return torch.stack(rows)


@pytest.mark.parametrize("size", [0.3, 30.0], ids=["soft", "nearly one residue"])
@pytest.mark.parametrize("pool", ["mean", "attention"])
def test_pooling_is_over_residues_as_a_plain_loop_does_it(
    pool: str, size: float, proteins: list[Tensor], make_predictor: MakePredictor
) -> None:
    model, batch = make_predictor(pool), pack(proteins)
    assert isinstance(model, SequenceModel)
    for weight in model.pool.parameters():
        nn.init.normal_(weight, std=size)
    hidden = torch.randn(len(batch.tokens), 24)
    inputs = [hidden.clone().requires_grad_() for _ in range(2)]
    found, expected = model.pool(inputs[0], batch), by_loop(model, inputs[1], batch)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)

    direction = torch.randn(found.shape)
    wanted = [*model.pool.parameters()]
    ours = torch.autograd.grad(found, [inputs[0], *wanted], direction)
    theirs = torch.autograd.grad(expected, [inputs[1], *wanted], direction)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_the_first_token_stands_for_its_sequence(
    proteins: list[Tensor], make_predictor: MakePredictor
) -> None:
    model, batch = make_predictor("cls"), pack(proteins)
    assert isinstance(model, SequenceModel)
    firsts = batch.positions == 0
    torch.testing.assert_close(model(batch), model.head(model.encoder(batch)[firsts]))


@pytest.mark.parametrize("pool", ["mean", "attention"])
def test_a_protein_without_residues_is_pooled_to_nothing(pool: str, make_predictor: MakePredictor) -> None:
    model = make_predictor(pool)
    (outputs,) = model(pack([torch.tensor([CLS, EOS])]))
    assert torch.equal(outputs, model.head(torch.zeros(24)))


@pytest.mark.parametrize("n_hidden", [0, 16], ids=["linear", "a hidden layer"])
@pytest.mark.parametrize("kind", [*POOLS, "residues"])
def test_every_weight_has_a_gradient(
    kind: str, n_hidden: int, proteins: list[Tensor], make_predictor: MakePredictor
) -> None:
    model = make_predictor(kind, n_hidden=n_hidden).requires_grad_()
    model(pack(proteins)).square().sum().backward()
    idle = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert idle == []


@pytest.mark.parametrize("kind", ["attention", "residues"])
def test_first_weights_of_a_head_depend_on_the_seed_alone(kind: str, make_predictor: MakePredictor) -> None:
    model = make_predictor(kind, n_hidden=16)
    encoder = {name: weight.clone() for name, weight in model.encoder.state_dict().items()}
    random_state = torch.random.get_rng_state()

    def first_weights(seed: int) -> dict[str, Tensor]:
        for weight in model.head.parameters():
            weight.data.fill_(7)
        initialise_head(model, seed)
        return {name: w.clone() for name, w in model.state_dict().items() if not name.startswith("encoder.")}

    first, again, other = (first_weights(seed) for seed in (1, 1, 2))
    assert [name for name in first if not torch.equal(first[name], again[name])] == []
    assert not torch.equal(first["head.1.weight"], other["head.1.weight"])
    assert not first["head.1.bias"].any()
    assert all(torch.equal(model.encoder.state_dict()[name], weight) for name, weight in encoder.items())
    assert torch.equal(torch.random.get_rng_state(), random_state)


def test_attention_begins_as_the_mean(proteins: list[Tensor], make_predictor: MakePredictor) -> None:
    attention, batch = make_predictor("attention"), pack(proteins)
    initialise_head(attention, seed=1)
    mean = SequenceModel(attention.encoder, "mean", 3, special_tokens=ENDS).eval()
    initialise_head(mean, seed=1)
    torch.testing.assert_close(attention(batch), mean(batch))


@pytest.mark.parametrize("kind", ["mean", "residues"])
def test_dropout_is_for_training_alone(
    kind: str, proteins: list[Tensor], make_predictor: MakePredictor
) -> None:
    model, batch = make_predictor(kind, dropout=0.5), pack(proteins)
    assert torch.equal(model(batch), model(batch))
    model.train()
    assert not torch.equal(model(batch), model(batch))


def test_what_is_no_weight_is_not_in_the_state(make_predictor: MakePredictor) -> None:
    names = make_predictor("attention").state_dict()
    assert [name for name in names if not name.startswith("encoder.")] == [
        "pool.query",
        "head.1.weight",
        "head.1.bias",
    ]


def test_a_causal_encoder_has_no_first_token_to_pool(make_config: MakeConfig, make_model: MakeModel) -> None:
    encoder = make_model(make_config(causal=True)).encoder
    with pytest.raises(AssertionError, match="<cls> sees nothing but itself"):
        SequenceModel(encoder, "cls", 1, special_tokens=ENDS)


@pytest.mark.parametrize("kind", [*POOLS, "residues"])
def test_a_predictor_learns_one_batch_by_heart(
    kind: str, proteins: list[Tensor], make_predictor: MakePredictor
) -> None:
    batch = pack([tokens for tokens in proteins if len(tokens) > 2])
    model = make_predictor(kind).train().requires_grad_()
    initialise_head(model, seed=1)
    targets = torch.randn(model(batch).shape)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(40):
        loss = F.mse_loss(model(batch), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1 * targets.square().mean().item()


@pytest.mark.usefixtures("_unchecked_shapes")
@pytest.mark.slow
@pytest.mark.parametrize("kind", [*POOLS, "residues"])
def test_it_compiles_whole_with_symbolic_shapes(
    kind: str, proteins: list[Tensor], make_predictor: MakePredictor
) -> None:
    torch.compiler.reset()  # what was compiled before counts towards a limit
    model = make_predictor(kind)
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="aot_eager")
    for batch in (pack(proteins[:2]), pack(proteins)):
        torch.testing.assert_close(compiled(batch), model(batch), rtol=1e-5, atol=1e-6)
