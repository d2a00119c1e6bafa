"""The gate's evidence: labels of inputs, what would be lost, and what lies outside the roots."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import biofm
from biofm.gate import accounts
from biofm.gate.evidence import evidence_of
from biofm.policy import Approval, Evidence, Labels, Models, Request, Target
from biofm.policy.files import read_policy, shipped_text
from biofm.policy.policies import Policy

MakeRequest = Callable[..., Request]
U, P, X, E = Labels
DICOM = bytes(128) + b"DICM" + bytes(100)
EXAMPLE = Path(str(biofm.__file__)).parent / "examples" / "proteins.fasta"


def policy(*changes: tuple[str, str]) -> Policy:
    """Return the policy research after replacing parts of its text."""
    text = shipped_text("research").decode()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    found = read_policy(text.encode(), "policy.yaml")
    assert isinstance(found, Policy), found
    return found


def look(request: Request, *policies: Policy) -> Evidence:
    return evidence_of(request, Labels.NONE, policies or [policy()])


@pytest.fixture
def label_of(make_request: MakeRequest) -> Callable[..., Labels]:
    """Return a function that gives the labels of files as inputs."""

    def label(*paths: Path, by: Policy | None = None) -> Labels:
        return look(make_request({"input": paths}), by or policy()).inputs["input"]

    return label


def test_the_evidence_holds_what_the_holder_has_and_what_is_not_known_yet(make_request: MakeRequest) -> None:
    evidence = evidence_of(make_request(), U | P, [policy()])
    assert evidence.held == U | P
    assert (evidence.approval, evidence.is_confined, evidence.models) == (Approval.NONE, False, Models.NONE)


def test_a_file_is_untrusted_and_one_that_comes_with_biofm_is_not(
    tmp_path: Path, label_of: Callable[..., Labels]
) -> None:
    file = tmp_path / "a.fasta"
    file.write_bytes(b">a\nM\n")
    (tmp_path / "link.fasta").symlink_to(EXAMPLE)
    assert label_of(file) == U
    assert label_of(EXAMPLE) == Labels.NONE
    assert label_of(tmp_path / "link.fasta") == Labels.NONE
    assert label_of(EXAMPLE, file) == U
    assert label_of(Path("-")) == U


def test_no_file_outside_passes_as_one_of_biofm(tmp_path: Path, label_of: Callable[..., Labels]) -> None:
    (tmp_path / "biofm").mkdir()
    (tmp_path / "biofm" / "a.fasta").write_bytes(b">a\nM\n")
    assert label_of(tmp_path / "biofm" / "a.fasta") == U
    assert label_of(EXAMPLE.parent / ".." / ".." / "pyproject.toml") == U


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.fasta", b">a\nM\n", U),
        ("scan.dcm", b"", U | P),
        ("SCAN.DCM", b"", U | P),
        ("scan", DICOM, U | P),
        ("a.fasta", DICOM, U | P),
        ("short", DICOM[:131], U),
        ("shifted", b"\0" + DICOM, U),
        ("empty", b"", U),
    ],
)
def test_private_data_is_known_by_its_name_and_its_first_bytes(
    name: str, content: bytes, expected: Labels, tmp_path: Path, label_of: Callable[..., Labels]
) -> None:
    (tmp_path / name).write_bytes(content)
    assert label_of(tmp_path / name) == expected


def test_a_link_neither_hides_a_private_file_nor_a_private_name(
    tmp_path: Path, label_of: Callable[..., Labels]
) -> None:
    (tmp_path / "scan.dcm").write_bytes(b"")
    (tmp_path / "a").symlink_to("scan.dcm")
    (tmp_path / "plain").write_bytes(b"")
    (tmp_path / "b.dcm").symlink_to("plain")
    assert label_of(tmp_path / "a") == U | P
    assert label_of(tmp_path / "b.dcm") == U | P


def test_everything_below_a_private_root_is_private_by_whatever_way_it_is_named(
    tmp_path: Path, label_of: Callable[..., Labels], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "patients"
    root.mkdir()
    (root / "a.fasta").write_bytes(b"")
    (tmp_path / "patients-not").mkdir()
    (tmp_path / "patients-not" / "a.fasta").write_bytes(b"")
    (tmp_path / "link").symlink_to("patients")
    (tmp_path / "to-file").symlink_to("patients/a.fasta")
    by = policy(("roots: []\n  names", f"roots: [{root}]\n  names"))
    by_link = policy(("roots: []\n  names", f"roots: [{tmp_path}/link]\n  names"))
    monkeypatch.setattr(accounts, "home_of_account", lambda: str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "patients-not"))
    by_home = policy(("roots: []\n  names", "roots: [~/patients]\n  names"))
    monkeypatch.chdir(root)

    for way in ("a.fasta", "../patients/a.fasta", "../link/a.fasta", "../to-file", "../patients/./a.fasta"):
        for one in (by, by_link, by_home):
            assert label_of(Path(way), by=one) == U | P, way
    assert label_of(tmp_path / "patients-not" / "a.fasta", by=by) == U
    assert label_of(root / "missing", by=by) == U | P


def test_what_one_of_several_policies_calls_private_is_private(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    (tmp_path / "a.nii").write_bytes(b"")
    request = make_request({"input": tmp_path / "a.nii"})
    wider = policy(('["*.dcm"]', '["*.NII"]'))
    assert look(request, policy()).inputs == {"input": U}
    assert look(request, policy(), wider).inputs == {"input": U | P}


@pytest.mark.parametrize("name", ["missing", "folder", "a\0b", "x" * 300])
def test_what_cannot_be_read_is_labelled_all_the_same(
    name: str, tmp_path: Path, label_of: Callable[..., Labels]
) -> None:
    (tmp_path / "folder").mkdir()
    assert label_of(tmp_path / name) == U


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes of this kind")
def test_looking_neither_waits_for_a_pipe_nor_opens_it(
    tmp_path: Path, label_of: Callable[..., Labels]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert label_of(tmp_path / "pipe") == U
    assert label_of(Path("/dev/zero")) == U


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("file", {"overwrite": True}, "overwrites"),
        ("file", {}, None),
        ("journal", {"overwrite": True}, "overwrites"),
        ("journal", {"overwrite": True, "resume": True}, None),
        ("stream", {"overwrite": True}, None),
        ("directory", {"overwrite": True}, "overwrites"),
        ("scratch", {"overwrite": True}, "deletes"),
    ],
)
def test_what_would_be_lost_is_evidence(
    kind: Any, options: dict[str, bool], expected: str | None, tmp_path: Path, make_request: MakeRequest
) -> None:
    path = tmp_path / "out"
    request = make_request(writes={"output": Target(path=path, kind=kind, **options)})
    assert look(request).alters == ()
    if kind in ("directory", "scratch"):
        path.mkdir()
        assert look(request).alters == (), "nothing is lost in an empty folder"
        (path / "a").touch()
    else:
        path.touch()

    found = [(one.path, one.what, one.maker) for one in look(request).alters]

    assert found == ([(path, expected, "account")] if expected else [])


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_account_is_made_by_another(tmp_path: Path, make_request: MakeRequest) -> None:
    (tmp_path / "out").touch()
    os.chown(tmp_path / "out", 65534, 65534)
    (one,) = look(make_request(writes={"output": Target(path=tmp_path / "out", overwrite=True)})).alters
    assert one.maker == "other"


def test_files_outside_the_roots_of_any_policy_are_evidence(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    narrow = policy(("read: [/]", f"read: [{inside}]"), ("write: [/]", f"write: [{inside}]"))
    sound = make_request({"input": inside / "a"}, {"output": Target(path=inside / "b")})
    assert look(sound, policy(), narrow).outside == ()
    for path in (outside / "a", inside / "link" / "a", inside / ".." / "out" / "a", Path("a"), inside.parent):
        read = make_request({"input": path})
        assert look(read, policy()).outside == ()
        assert look(read, policy(), narrow).outside == (path,)
        assert look(make_request(writes={"output": Target(path=path)}), narrow).outside == (path,)
    streams = make_request({"input": Path("-")}, {"output": Target(path=Path("-"), kind="stream")})
    assert look(streams, narrow).outside == ()


def test_a_model_is_not_signed_until_its_manifest_says_so(tmp_path: Path, make_request: MakeRequest) -> None:
    assert look(make_request({"model": tmp_path / "a.safetensors"})).models is Models.UNSIGNED
