"""The command line, run in this process; and a tiny ESM-2 for it."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from biofm.cli import main
from biofm.models import Checkpoint, esm2, write_checkpoint
from biofm.nn import MaskedLM, initialise
from biofm.tokenizers import ProteinTokenizer


class Outcome(NamedTuple):
    """What a command left: its exit status, standard output and standard error."""

    status: int | str | None
    out: str
    err: str


Biofm = Callable[..., Outcome]


@pytest.fixture
def biofm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Biofm]:
    """Runs ``biofm`` with these words in an empty folder."""
    monkeypatch.chdir(tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*words: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["biofm", *(str(word) for word in words)])
        with pytest.raises(SystemExit) as end:
            main()
        return Outcome(end.value.code, *capsys.readouterr())

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def tiny_esm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of ``transformers`` that holds a random ESM-2 of two layers."""
    folder = tmp_path_factory.mktemp("models") / "tiny-esm2"
    folder.mkdir()
    module = MaskedLM(esm2.config(d_model=24, n_layers=2, n_heads=2))
    initialise(module, seed=1)
    checkpoint = Checkpoint("ESM-2", module.eval(), ProteinTokenizer())
    for name, content in write_checkpoint(checkpoint).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def damaged(tmp_path: Path, tiny_esm2: Path) -> Callable[[str, torch.Tensor | None], Path]:
    """A copy of the tiny model with one tensor replaced, or removed."""
    from safetensors.torch import load_file, save_file

    def damage(name: str, tensor: torch.Tensor | None) -> Path:
        folder = tmp_path / "damaged"
        folder.mkdir()
        (folder / "config.json").write_bytes((tiny_esm2 / "config.json").read_bytes())
        state = load_file(tiny_esm2 / "model.safetensors")
        del state[name]
        save_file(state | ({name: tensor} if tensor is not None else {}), folder / "model.safetensors")
        return folder

    return damage
