"""What is made from private data says so in the file itself, also where the ledger does not know the file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import biofm
from biofm.core.labels import OF_FOLDER
from biofm.gate import ask, labels_held, policies_in_force, principal_of_account
from biofm.gate.carried import labels_stated
from biofm.policy import Labels, Request, Target
from tests.gate.conftest import make_request

__all__ = ["make_request"]
SECRET = Labels.UNTRUSTED | Labels.PRIVATE


def held() -> Labels:
    return labels_held(principal_of_account(), policies_in_force())


@pytest.fixture
def on_another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Path], Path]:
    """Return a function that copies a file, with what lies beside it, to where no ledger knows it."""

    def move(path: Path) -> Path:
        folder = tmp_path / "elsewhere" / "away"
        shutil.copytree(path.parent, folder)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another state"))
        return folder / path.name

    return move


@pytest.fixture
def private(fasta: Path, tmp_path: Path) -> Path:
    """Return proteins under a name that the policy ``research`` takes for private data."""
    return Path(shutil.copy(fasta, tmp_path / "patient.dcm"))


@pytest.mark.parametrize("suffix", [".h5ad", ".parquet", ".npz", ".safetensors", ".csv"])
def test_a_copy_on_another_machine_still_raises_private_data(
    suffix: str,
    private: Path,
    tmp_path: Path,
    on_another_machine: Callable[[Path], Path],
    make_request: Callable[..., Request],
) -> None:
    output = tmp_path / "made" / f"out{suffix}"
    output.parent.mkdir()
    biofm.embed(private, output, model="protein-nano", format="fasta")
    copy = on_another_machine(output)

    assert held() is Labels.NONE
    assert labels_stated(copy) == SECRET
    with ask(make_request({"input": copy})):
        assert held() == SECRET


@pytest.mark.parametrize("suffix", [".h5ad", ".parquet", ".npz", ".safetensors", ".csv"])
def test_what_is_made_from_a_file_that_is_not_private_says_u_alone(
    suffix: str, fasta: Path, tmp_path: Path
) -> None:
    biofm.embed(fasta, tmp_path / f"out{suffix}", model="protein-nano")
    assert labels_stated(tmp_path / f"out{suffix}") == Labels.UNTRUSTED


def test_shards_carry_their_labels_to_where_they_are_merged(
    private: Path, tmp_path: Path, on_another_machine: Callable[[Path], Path]
) -> None:
    output = tmp_path / "made" / "out.npz"
    output.parent.mkdir()
    for shard in ("1/2", "2/2"):
        biofm.embed(private, output, model="protein-nano", format="fasta", shard=shard)
    name = sorted(path.name for path in output.parent.iterdir())[0]
    shards = sorted(on_another_machine(output.with_name(name)).parent.iterdir())
    biofm.merge(shards, output=tmp_path / "merged.npz")

    assert labels_stated(tmp_path / "merged.npz") == SECRET
    assert held() == SECRET


@pytest.mark.parametrize(
    "stated", ['{"biofm": {}}', '{"biofm": {"labels": ""}}', '{"biofm": {"labels": 3}}', "{"]
)
def test_a_missing_or_a_forged_label_sheds_nothing(stated: str, private: Path) -> None:
    private.with_name(f"{private.name}.provenance.json").write_text(stated)
    biofm.perplexity(private, private.with_name("a.csv"), model="protein-nano", format="fasta")
    assert held() == SECRET


@pytest.mark.parametrize("is_failing", [False, True])
def test_a_folder_made_from_private_data_says_so_and_a_copy_of_it_too(
    is_failing: bool, private: Path, tmp_path: Path, make_request: Callable[..., Request]
) -> None:
    run = tmp_path / "run"
    target = Target(path=run, kind="directory")
    try:
        with ask(make_request({"input": private}, {"run": target})) as permit:
            (permit.folder("run") / "weights").mkdir()
            (permit.folder("run") / "weights" / "model.bin").write_bytes(b"numbers")
            assert not is_failing, "the run fails"
    except AssertionError:
        assert is_failing
    copy = shutil.copytree(run, tmp_path / "elsewhere" / "copy")

    assert labels_stated(copy / "weights" / "model.bin") == SECRET
    assert json.loads((copy / OF_FOLDER).read_text()) == {"biofm": {"labels": "UP"}}


def test_a_folder_that_is_not_made_from_private_data_gets_no_file(
    fasta: Path, tmp_path: Path, make_request: Callable[..., Request]
) -> None:
    with ask(
        make_request({"input": fasta}, {"run": Target(path=tmp_path / "run", kind="directory")})
    ) as permit:
        (permit.folder("run") / "a").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["a"]


def test_what_an_inner_request_reads_is_private_about_the_outputs_of_the_outer_one(
    fasta: Path, private: Path, make_request: Callable[..., Request]
) -> None:
    """So ``embed``, which starts ``load``, carries the labels of a private model."""
    with ask(make_request({"input": fasta})) as outer:
        assert outer.labels == "U"
        with ask(make_request({"input": private})) as inner:
            assert inner.labels == "UP"
        assert outer.labels == "UP"
    with ask(make_request({"input": fasta})) as later:
        assert later.labels == "U"
