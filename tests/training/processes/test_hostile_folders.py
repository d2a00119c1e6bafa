"""A run's folder from another person is data: resuming it runs no code of the folder."""

import os
import pickle
import shutil
from io import BytesIO
from pathlib import Path

import pytest
import torch

from biofm.training.folder import checkpoint_path
from tests.models.test_pickles import Malice
from tests.training.processes.conftest import Train

N_STEPS = 4
BYTES, TENSOR = "optimizer_0.param_groups.0.lr", "state_dict.model.encoder.embedding.tokens.weight"


@pytest.fixture(scope="module")
def begun(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run whose weights are spread over two processes."""
    folder = tmp_path_factory.mktemp("begun")
    assert train(folder, 2, strategy="fsdp", n_steps=N_STEPS).exit_codes == [0, 0]
    return folder


def poison(checkpoint: Path, place: str, malice: Malice) -> Path:
    """Put malicious code into a file, or into an entry of a part, and return that file."""
    if place == ".metadata":
        (checkpoint / place).write_bytes(pickle.dumps(malice))
        return checkpoint / place
    if place == "meta.pt":
        torch.save({"callbacks": malice}, checkpoint / place)
        return checkpoint / place
    metadata = pickle.loads((checkpoint / ".metadata").read_bytes())
    entry = next(it for index, it in metadata.storage_data.items() if index.fqn == place)
    content, part = BytesIO(), checkpoint / entry.relative_path
    torch.save(malice, content)
    entry.offset, entry.length = part.stat().st_size, len(content.getvalue())
    part.write_bytes(part.read_bytes() + content.getvalue())
    (checkpoint / ".metadata").write_bytes(pickle.dumps(metadata))
    return part


@pytest.mark.parametrize(
    ("place", "n", "strategy", "n_steps"),
    [
        (".metadata", 2, "fsdp", 6), (BYTES, 2, "fsdp", 6), (BYTES, 1, "auto", 6),
        (".metadata", 1, "auto", N_STEPS),
        *(pytest.param(*it, marks=pytest.mark.slow) for it in [
            (TENSOR, 2, "fsdp", 6), ("meta.pt", 2, "fsdp", 6), (".metadata", 1, "auto", 6),
            ("meta.pt", 1, "auto", 6), (TENSOR, 1, "auto", 6), ("meta.pt", 2, "fsdp", N_STEPS),
            (TENSOR, 1, "auto", N_STEPS),
        ]),
    ],
)  # fmt: skip
def test_code_in_a_checkpoint_in_parts_is_refused_and_does_not_run(
    place: str, n: int, strategy: str, n_steps: int, begun: Path, train: Train, tmp_path: Path
) -> None:
    """The run resumes with the same or another number of processes, for more steps or for none."""
    folder, marker = tmp_path / "run", tmp_path / "it-ran"
    shutil.copytree(begun, folder)
    file = poison(checkpoint_path(folder / "checkpoints", N_STEPS), place, Malice(marker))
    ended = train(folder, n, strategy=strategy, n_steps=n_steps)
    assert not marker.exists()
    assert ended.exit_codes == [1] * n
    held = f"{os.system.__module__}.system"
    (line,) = ended.said
    assert line == (
        f"biofm: {file}: refused: this checkpoint holds more than data ({held}), which could run as code. "
        "Find out where it comes from; remove it, and start the run again"
    )


def test_code_in_a_checkpoint_of_one_file_is_refused_and_does_not_run(train: Train, tmp_path: Path) -> None:
    marker, file = tmp_path / "it-ran", checkpoint_path(tmp_path / "checkpoints", 2)
    file.parent.mkdir()
    torch.save({"callbacks": Malice(marker)}, file)
    ended = train(tmp_path)
    assert not marker.exists()
    assert ended.exit_codes == [1]
    (line,) = ended.said
    assert line.startswith(f"biofm: {file}: refused: this checkpoint holds more than data")
