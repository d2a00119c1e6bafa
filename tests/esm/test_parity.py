"""Our client against the package's own model: every layer, the embeddings, the logits and the tokens."""

import inspect
import string
from collections.abc import Callable

import pytest
import torch
from esm.models import esmc
from esm.sdk.api import ESMProtein, ESMProteinTensor, LogitsConfig, LogitsOutput
from esm.utils.misc import stack_variable_length_tensors
from esm.utils.sampling import _BatchedESMProteinTensor
from torch import Tensor

from biofm.esm import ESMC
from biofm.modalities import ESMC_ALPHABET, ProteinTokenizer

Pair = tuple[esmc.ESMC, ESMC]

SHAPES = {
    "one head": {"d_model": 64, "n_layers": 3},
    "two heads": {"d_model": 128, "n_layers": 3},
    "300M, 3 of its 30 layers": {"d_model": 960, "n_layers": 3},
}
SEQUENCES = [
    "M",
    "MKTAYIAKQRQISFVKSHFSRQ",
    "MVLSPADKTN|VKAAWGKVGA",
    "MK_AYI<mask>KQRQ__",
    "ACDEFGHIKLMNPQRSTVWYXBUZO.-",
    "acdefJ*1MK TA\tY",
    "MSHHWGYGKHNGPEHWHKDFPIAKGERQSPVDIDTHTAKYDPSLKPLSVSYDQATSLRILNNGHAFNVEFDDSQDKAVLKGG" * 2,
]
EVERYTHING = LogitsConfig(sequence=True, return_embeddings=True, return_hidden_states=True)
PAD, UNKNOWN, MASK = 1, 3, 32
HAS_ATTENTIONS = "output_attentions" in inspect.signature(esmc.ESMC.forward).parameters

# The mask of a sequence, as the package's client of ESM C reads it: esm 3.4 takes "_" for an unknown residue.
THEIR_MASK = "_" if esmc.ESMC.__module__ == "esm.models.esmc" else "<mask>"

# Relative to the largest entry of a state: the order of additions alone differs.
FLOAT32 = 2e-5


@pytest.fixture(scope="module", params=list(SHAPES.values()), ids=list(SHAPES))
def pair(request: pytest.FixtureRequest, make_pair: Callable[..., Pair]) -> Pair:
    return make_pair(**request.param)


@pytest.fixture(scope="module")
def small_pair(make_pair: Callable[..., Pair]) -> Pair:
    return make_pair(d_model=64, n_layers=4)


def padded(client: esmc.ESMC | ESMC, sequences: list[str]) -> _BatchedESMProteinTensor:
    """A batch, made as the scripts of the package's users make it."""
    tokens = [client.encode(ESMProtein(sequence=sequence)).sequence for sequence in sequences]
    return _BatchedESMProteinTensor(
        sequence=stack_variable_length_tensors(tokens, constant_value=client.tokenizer.pad_token_id)
    )


def protein_of(client: esmc.ESMC | ESMC, sequence: str) -> ESMProtein:
    """A protein in the spelling that the client reads."""
    return ESMProtein(sequence=sequence if isinstance(client, ESMC) else sequence.replace("_", THEIR_MASK))


def states_of(output: LogitsOutput) -> list[Tensor]:
    """Every layer's hidden state, the embeddings and the logits, each (batch, length, width)."""
    return [*output.hidden_states, output.embeddings, output.logits.sequence]


def worst_difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest difference of any state, relative to that state's largest entry."""
    pairs = list(zip(found, expected, strict=True))
    assert all(one.shape == other.shape and one.dtype == other.dtype for one, other in pairs)
    differences = [float((one - other).abs().max() / other.abs().max()) for one, other in pairs]
    print("largest relative difference of each state:", " ".join(f"{x:.1e}" for x in differences))
    return max(differences)


def test_every_layer_of_one_protein_is_the_originals(pair: Pair) -> None:
    theirs, ours = pair
    for sequence in SEQUENCES:
        found, expected = (
            states_of(client.logits(client.encode(protein_of(client, sequence)), EVERYTHING))
            for client in (ours, theirs)
        )
        assert len(found) == 3 + 2
        assert worst_difference(found, expected) < FLOAT32


def test_every_layer_of_a_padded_batch_is_the_originals(pair: Pair) -> None:
    theirs, ours = pair
    batch = padded(ours, SEQUENCES)
    real = batch.sequence != PAD
    found, expected = (states_of(client.logits(batch, EVERYTHING)) for client in (ours, theirs))
    assert worst_difference([x[real] for x in found], [x[real] for x in expected]) < FLOAT32


def test_padding_is_zeros_in_every_answer(small_pair: Pair) -> None:
    ours = small_pair[1]
    batch = padded(ours, SEQUENCES)
    padding = batch.sequence == PAD
    assert padding.any()
    assert all(not state[padding].any() for state in states_of(ours.logits(batch, EVERYTHING)))


def test_a_protein_does_not_depend_on_what_it_was_batched_with(pair: Pair) -> None:
    ours = pair[1]
    batched = states_of(ours.logits(padded(ours, SEQUENCES), EVERYTHING))
    for i, sequence in enumerate(SEQUENCES):
        alone = ours.encode(ESMProtein(sequence=sequence))
        length = len(alone)
        expected = states_of(ours.logits(alone, EVERYTHING))
        assert worst_difference([state[[i], :length] for state in batched], expected) < FLOAT32


@pytest.mark.parametrize("masked_out", [[0, 1, 2], [7, 8], [0, 9, 21]], ids=["left", "inside", "scattered"])
def test_tokens_that_are_left_out_keep_the_places_of_the_others(
    small_pair: Pair, masked_out: list[int]
) -> None:
    theirs, ours = small_pair
    tokens = ours.encode(ESMProtein(sequence=SEQUENCES[1])).sequence[None]
    mask = torch.ones_like(tokens, dtype=torch.bool)
    mask[0, masked_out] = False
    found, expected = ours(tokens, mask), theirs(tokens, mask)
    assert worst_difference(
        [found.sequence_logits[mask], *(state[mask] for state in found.hidden_states)],
        [expected.sequence_logits[mask], *(state[mask] for state in expected.hidden_states)],
    ) < FLOAT32  # fmt: skip
    tokens[~mask] = PAD
    assert torch.equal(ours(tokens).sequence_logits, found.sequence_logits)


CHAINS = {
    "one after another": [0] * 9 + [1] * 13,
    "mixed, with padding inside": [5, -1, 0, 0, 7, 5, 5, 0, -1, -1, 7, 0, 5, 7, 7, 0, 0, 5, 5, -1, 0, -1],
    "a mask in whole numbers": [1] * 17 + [0] * 5,
}


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8])
@pytest.mark.parametrize("chains", CHAINS.values(), ids=CHAINS)
def test_a_chain_attends_to_itself_alone(small_pair: Pair, chains: list[int], dtype: torch.dtype) -> None:
    theirs, ours = small_pair
    rows = [SEQUENCES[1][:20], SEQUENCES[4][:20]]
    tokens, ids = padded(ours, rows).sequence, torch.tensor([chains, chains[::-1]], dtype=dtype)
    real = ids >= 0
    found, expected = ours(tokens, ids), theirs(tokens, ids)
    assert worst_difference(
        [found.sequence_logits[real], *(state[real] for state in found.hidden_states)],
        [expected.sequence_logits[real], *(state[real] for state in expected.hidden_states)],
    ) < FLOAT32  # fmt: skip
    assert not found.embeddings[~real].any()


def test_tokens_go_by_two_names(small_pair: Pair) -> None:
    ours = small_pair[1]
    tokens = padded(ours, SEQUENCES).sequence
    assert torch.equal(ours(input_ids=tokens).embeddings, ours(tokens).embeddings)


@pytest.mark.skipif(not HAS_ATTENTIONS, reason="esm before 3.4 gives no attention to compare with")
@pytest.mark.parametrize("with_chains", [False, True], ids=["padded", "chains"])
def test_attention_is_the_originals_in_every_head_of_every_layer(small_pair: Pair, with_chains: bool) -> None:
    theirs, ours = small_pair
    tokens = padded(ours, SEQUENCES[:3]).sequence
    columns = torch.arange(tokens.shape[1])
    ids = torch.where(tokens == PAD, -1, columns // 7) if with_chains else None
    found, expected = (client(tokens, ids, output_attentions=True).attentions for client in (ours, theirs))
    real = tokens != PAD
    assert len(found) == len(expected) == 4
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        rows, rows_expected = (x.transpose(1, 2)[real] for x in (one, other))
        assert float((rows - rows_expected).abs().max()) < FLOAT32
        assert not one.transpose(1, 2)[~real].any()


def test_attention_is_given_where_it_is_asked_for(small_pair: Pair) -> None:
    ours = small_pair[1]
    tokens = padded(ours, SEQUENCES[:3]).sequence
    assert ours(tokens).attentions is None
    sums = torch.stack(ours(tokens, output_attentions=True).attentions).sum(-1)
    real = (tokens != PAD)[:, None].expand_as(sums[0])
    assert torch.allclose(sums, real.float().expand_as(sums), atol=1e-5)


def test_a_row_of_padding_alone_is_zeros(small_pair: Pair) -> None:
    ours = small_pair[1]
    tokens = padded(ours, SEQUENCES[:3]).sequence
    with_empty_row = torch.cat([tokens[:2], torch.full_like(tokens[:1], PAD), tokens[2:]])
    found = ours(with_empty_row).embeddings
    assert not found[2].any()
    assert torch.equal(found[[0, 1, 3]], ours(tokens).embeddings)


@pytest.mark.parametrize("layer", [-5, -3, -2, -1, 0, 1, 3, 4, 9])
def test_a_hidden_layer_is_counted_as_in_the_original(small_pair: Pair, layer: int) -> None:
    theirs, ours = small_pair
    tensor = ours.encode(ESMProtein(sequence=SEQUENCES[1]))
    config = LogitsConfig(return_hidden_states=True, ith_hidden_layer=layer)
    found, expected = (client.logits(tensor, config).hidden_states for client in (ours, theirs))
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, rtol=0, atol=FLOAT32 * 50)


@pytest.mark.parametrize("wanted", ["sequence", "return_embeddings", "return_hidden_states", None])
def test_what_is_not_asked_for_is_none(small_pair: Pair, wanted: str | None) -> None:
    tensor = small_pair[1].encode(ESMProtein(sequence="MKT"))
    config = LogitsConfig(**({wanted: True} if wanted else {}))
    outputs = [client.logits(tensor, config) for client in small_pair]
    given = [(x.logits.sequence is None, x.embeddings is None, x.hidden_states is None) for x in outputs]
    assert given[0] == given[1]
    assert given[0].count(False) == (wanted is not None)


def test_every_printable_character_has_the_originals_token(small_pair: Pair) -> None:
    theirs, ours = small_pair
    for character in string.printable:
        sequence = f"M{character}K{character}{character}"
        found, expected = (client.encode(protein_of(client, sequence)).sequence for client in (ours, theirs))
        assert torch.equal(found, expected), repr(character)


def test_an_underscore_is_the_mask(small_pair: Pair) -> None:
    """As the package reads it everywhere but in the client of ESM C that its version 3.4 has kept."""
    theirs, ours = small_pair
    assert ours.encode(ESMProtein(sequence="M_")).sequence.tolist() == [0, 20, MASK, 2]
    expected = MASK if THEIR_MASK == "_" else UNKNOWN
    assert theirs.encode(ESMProtein(sequence="M_")).sequence.tolist() == [0, 20, expected, 2]


def test_the_tokenizer_of_biofm_gives_the_same_tokens(small_pair: Pair) -> None:
    """But for white space, which it drops; and "_" is the mask only to the client."""
    tokenizer = ProteinTokenizer(ESMC_ALPHABET)
    sequences = [f"M{c}K{c}{c}" for c in string.printable if not c.isspace() and c != "_"]
    for sequence in [*sequences, "M|K<mask>|", "<cls>M<eos>", "M<pad>K"]:
        expected = small_pair[0].encode(ESMProtein(sequence=sequence)).sequence
        assert tokenizer.encode(sequence).tolist() == expected.tolist(), sequence


@pytest.mark.parametrize("sequence", ["M", "MKTAYIAKQR", "MK_A__", "MVLS|PADK|T", "MXBUZO.-"])
def test_a_sequence_comes_back_from_its_tokens(small_pair: Pair, sequence: str) -> None:
    ours = small_pair[1]
    tensor = ours.encode(ESMProtein(sequence=sequence))
    assert ours.decode(tensor).sequence == sequence
    assert ours.decode(ESMProteinTensor(sequence=tensor.sequence[None])).sequence == sequence


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.filterwarnings("ignore:.*does not (start|end) with:UserWarning")
def test_tokens_are_spelled_as_the_original_spells_them(small_pair: Pair, sequence: str) -> None:
    """The original takes them only with a batch's dimension, and not as its own encode gives them."""
    theirs, ours = small_pair
    tensor = ours.encode(ESMProtein(sequence=sequence))
    expected = theirs.decode(ESMProteinTensor(sequence=tensor.sequence[None])).sequence
    assert ours.decode(tensor).sequence == expected.replace(THEIR_MASK, "_")
