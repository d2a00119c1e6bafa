"""Our client in the place of the package's own: its examples, what scripts do with it, and wrong inputs."""

import re
from collections.abc import Callable
from importlib.metadata import metadata, version
from pathlib import Path

import pytest
import torch
from esm.sdk import batch_executor
from esm.sdk.api import ESMCInferenceClient, ESMProtein, ESMProteinTensor, LogitsConfig, LogitsOutput
from esm.utils.sampling import _BatchedESMProteinTensor

import biofm.esm
from biofm.core import BiofmError, InputError, ModelError, OptionError
from biofm.esm import ESMC
from biofm.gate import ledger_path
from tests.ledgers import open_ledger

N_LAYERS, WIDTH, N_TOKENS = 2, 64, 64


@pytest.fixture(scope="module")
def path(write_pth: Callable[..., tuple[object, Path]]) -> Path:
    return write_pth(d_model=WIDTH, n_layers=N_LAYERS)[1]


@pytest.fixture(scope="module")
def client(path: Path) -> ESMC:
    return ESMC.from_pretrained(path, device="cpu")


def embed(client: ESMC, sequence: str) -> LogitsOutput:
    return client.logits(client.encode(ESMProtein(sequence=sequence)), LogitsConfig(return_embeddings=True))


def readme_example() -> str:
    """The package's own example of a local ESM C, on a CPU."""
    blocks = re.findall(r"```py\n(.*?)```", str(metadata("esm").json["description"]), re.DOTALL)
    examples = [block for block in blocks if "ESMC.from_pretrained" in block]
    if not examples:
        pytest.skip(f"esm {version('esm')} keeps this class for older scripts, and has no example of it")
    (example,) = examples
    return str(example.replace('"cuda"', '"cpu"'))


def test_the_packages_example_runs_with_one_line_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(biofm.esm.ALIASES, "esmc_300m", str(path))
    theirs, ours = "from esm.models.esmc import ESMC", "from biofm.esm import ESMC"
    assert readme_example().count(theirs) == 1
    names: dict[str, object] = {}
    exec(readme_example().replace(theirs, ours), names)
    output = names["logits_output"]
    assert isinstance(names["client"], biofm.esm.ESMC)
    assert isinstance(output, LogitsOutput)
    assert output.logits.sequence.shape == (1, 7, N_TOKENS)
    assert output.embeddings.shape == (1, 7, WIDTH)
    assert "ForwardTrackData(sequence=tensor(" in capsys.readouterr().out


def test_the_example_of_our_page_runs(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(biofm.esm.ALIASES, "esmc_300m", str(path))
    page = (Path(__file__).parents[2] / "docs/how-to/esm-scripts.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (example,) = [block for block in blocks if "biofm.esm" in block]
    exec(example, {})
    shapes = f"torch.Size([1, 24, {N_TOKENS}]) torch.Size([1, 24, {WIDTH}])"
    assert capsys.readouterr().out.strip() == shapes


def test_the_packages_executor_of_batches_takes_it(client: ESMC) -> None:
    """Many threads at once share the client."""
    sequences = ["M" * n for n in range(1, 40)]
    with batch_executor(show_progress=False) as executor:
        outputs = executor.execute_batch(user_func=embed, client=client, sequence=sequences)
    for sequence, output in zip(sequences, outputs, strict=True):
        assert torch.equal(output.embeddings, embed(client, sequence).embeddings)


def test_a_script_makes_a_batch_by_the_clients_own_tokens(client: ESMC) -> None:
    sequences = ["MKTAYIAKQR", "MV_S", "M"]
    tokens = client._tokenize(sequences)
    assert client._detokenize(tokens) == sequences
    output = client.raw_model(tokens)
    assert output.sequence_logits.shape == (3, 12, N_TOKENS)
    assert output.hidden_states.shape == (N_LAYERS, 3, 12, WIDTH)
    batched = client.logits(_BatchedESMProteinTensor(sequence=tokens), LogitsConfig(return_embeddings=True))
    assert torch.equal(output.embeddings, batched.embeddings)


def test_it_is_the_client_that_scripts_expect(client: ESMC) -> None:
    assert isinstance(client, ESMCInferenceClient)
    assert client.eval() is client
    assert client.to("cpu") is client
    assert client.to(torch.device("cpu")) is client
    assert client.raw_model is client
    assert client.device == torch.device("cpu")
    assert client.encode(ESMProtein(sequence="M")).device == client.device


def test_a_probe_can_be_trained_on_its_answers(client: ESMC) -> None:
    probe = torch.nn.Linear(WIDTH, 1)
    probe(embed(client, "MKTAYIAKQR").embeddings).sum().backward()
    assert probe.weight.grad is not None
    assert probe.weight.grad.abs().max() > 0


def test_a_protein_without_a_sequence_has_no_tokens(client: ESMC) -> None:
    assert client.encode(ESMProtein(secondary_structure="HH")).sequence is None


def test_loading_passes_the_gate(path: Path) -> None:
    ESMC.from_pretrained(path, device="cpu")
    with open_ledger(ledger_path()) as ledger:
        verb, reads = ledger.execute("SELECT verb, reads FROM requests ORDER BY id DESC").fetchone()
    assert verb == "load"
    assert str(path) in reads


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("protein-nano", "protein-nano: this is a model of the family biofm protein, not ESM C"),
        ("esmc_301m", "esmc_301m: no such model"),
        ("nowhere.pth", "nowhere.pth: no such model"),
    ],
)
def test_a_model_that_is_no_esm_c_is_refused(name: str, fault: str) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(fault)}"):
        ESMC.from_pretrained(name)


def test_a_checkpoint_without_a_head_is_refused(path: Path, tmp_path: Path) -> None:
    weights = {name: w for name, w in torch.load(path).items() if "_head." not in name}
    torch.save(weights, tmp_path / "headless.pth")
    with pytest.raises(ModelError, match="no language-model head"):
        ESMC.from_pretrained(tmp_path / "headless.pth")


@pytest.mark.parametrize(
    ("device", "fault"),
    [
        ("gpu", "no such device: gpu"),
        ("cuda:99", "device cuda:99 cannot be used here"),
        ("torch.float16", "no such device: torch.float16"),
    ],
)
def test_a_device_that_is_not_there_is_refused_and_nothing_moves(
    client: ESMC, device: str, fault: str
) -> None:
    with pytest.raises(OptionError, match=f"^--device: {fault}"):
        client.to(device)
    assert embed(client, "M").embeddings.device.type == "cpu"


TOKENS = torch.tensor([[0, 20, 15, 2]])
WRONG_CALLS: dict[str, tuple[Callable[[ESMC], object], str]] = {
    "no tokens": (lambda client: client.logits(ESMProteinTensor()), "not none"),
    "no batch": (lambda client: client(TOKENS[0]), r"not torch.int64 of shape \[4\]"),
    "a batch in a single": (lambda client: client.logits(ESMProteinTensor(sequence=TOKENS)), "shape"),
    "fractions": (lambda client: client(TOKENS.float()), "not torch.float32"),
    "padding alone": (lambda client: client(torch.ones_like(TOKENS)), "all tokens are padding"),
    "an empty batch": (lambda client: client(TOKENS[:0]), "all tokens are padding"),
    "a token too large": (lambda client: client(TOKENS + 62), "not a number from 0 to 63"),
    "a negative token": (lambda client: client(TOKENS - 1), "not a number from 0 to 63"),
    "fractions of chains": (
        lambda client: client(TOKENS, TOKENS / 2),
        "or the number of its chain, not torch.f",
    ),
    "a mask of another shape": (lambda client: client(TOKENS, TOKENS[0] > 0), "the number of its chain, not"),
    "no chain but padding": (lambda client: client(TOKENS, -TOKENS - 1), "all tokens are padding"),
    "tokens by two names": (lambda client: client(TOKENS, input_ids=TOKENS), "two names of the same tokens"),
    "nothing to decode": (lambda client: client.decode(ESMProteinTensor()), "tokens of one protein"),
    "two to decode": (
        lambda client: client.decode(ESMProteinTensor(sequence=TOKENS.repeat(2, 1))),
        "tokens of one protein",
    ),
}


@pytest.mark.parametrize(("call", "fault"), WRONG_CALLS.values(), ids=WRONG_CALLS)
def test_a_wrong_call_is_told_what_was_wrong(
    client: ESMC, call: Callable[[ESMC], object], fault: str
) -> None:
    with pytest.raises(InputError, match=fault) as caught:
        call(client)
    assert isinstance(caught.value, BiofmError)
    assert caught.value.remedy
