"""The evidence about a request: what its inputs are labelled, what it would alter, and what lies outside.

It is gathered before the verdict. Of the inputs, and only of ordinary files, no more is looked at than the
first bytes, to recognise DICOM, and the provenance, which may state labels.
"""

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from biofm.gate.accounts import expanded
from biofm.gate.carried import labels_stated
from biofm.gate.inputs import STANDARD_INPUT, open_without_waiting
from biofm.gate.roots import EVERYWHERE
from biofm.policy import Alteration, Approval, Evidence, Labels, Models, Request, Screening, Target
from biofm.policy.policies import Invalid, Policy, Private

INSTALLATION = Path(__file__).resolve().parents[1]
"""The package biofm, with the models and examples that come with it."""
MODELS = ("model", "predictor")
"""The roles of files that are a model: one that is loaded, and a fine-tuned one with its head."""
DICOM_MAGIC = b"DICM"
DICOM_PREAMBLE = 128


def evidence_of(
    request: Request, held: Labels, policies: Sequence[Policy | Invalid], *, in_worker: bool = False
) -> Evidence:
    """Return what can be found out about a request before anything is opened.

    Args:
        request: The request.
        held: The labels that its holder has already.
        policies: The policies in force, which say what is private and where a request may read and write.
        in_worker: Whether a confined worker will read the files.
    """
    sound = [policy for policy in policies if isinstance(policy, Policy)]
    privates = [policy.private for policy in sound]
    is_parsed = all(policy.confinement != "required" for policy in sound)
    read = [path for paths in request.reads.values() for path in paths if path != STANDARD_INPUT]
    written = [target.path for target in request.writes.values() if target.kind != "stream"]
    outside = (
        *_outside(read, [policy.roots.read for policy in sound]),
        *_outside(written, [policy.roots.write for policy in sound]),
    )
    return Evidence(
        held=held,
        inputs={role: _labels_of(paths, privates, is_parsed) for role, paths in request.reads.items()},
        alters=tuple(_alterations(request)),
        outside=tuple(dict.fromkeys(outside)),
        approval=Approval.NONE,
        is_confined=_is_confined(request, sound, in_worker=in_worker),
        models=_signature_of(request.reads, sound),
        screening=Screening.SKIP,
    )


def _signature_of(reads: Mapping[str, Sequence[Path]], policies: Sequence[Policy]) -> Models:
    """Return whether the manifests of all policies that want signed models have the models that are read.

    A policy that wants them and names no manifest has no model signed.
    """
    models = [reads[role] for role in MODELS if reads.get(role)]
    if not models:
        return Models.NONE
    wanting = [policy for policy in policies if policy.models == "signed"]
    is_signed = bool(wanting) and all(_is_in_manifest(one, policy) for one in models for policy in wanting)
    return Models.SIGNED if is_signed else Models.UNSIGNED


def _is_in_manifest(files: Sequence[Path], policy: Policy) -> bool:
    """Return whether a manifest has a model of these files, of which the first lies in the model's folder."""
    if policy.manifest is None or policy.manifest_key is None:
        return False
    from biofm.gate.manifest import check_model, read_manifest  # only a policy that wants it needs it

    models = read_manifest(expanded(policy.manifest), expanded(policy.manifest_key))
    with ExitStack() as opened:
        try:
            readers = {
                path.relative_to(files[0].parent).as_posix(): opened.enter_context(path.open("rb"))
                for path in files
            }
        except (OSError, ValueError):
            return False  # The permit would say what is wrong with it.
        return check_model(readers, models).is_signed


def _is_confined(request: Request, policies: Sequence[Policy], *, in_worker: bool) -> bool:
    """Return whether the kernel confines what reads the files; False also where no rule and no program asks.

    A request that reads nothing, or only a model that an operator has signed, needs no confinement, and a
    program runs nowhere but in a worker.
    """
    if not request.code and all(policy.confinement != "required" for policy in policies):
        return False
    if not (in_worker or request.code) and _reads_unsigned(request, policies):
        return False
    from biofm.gate.confinement import enforcement  # loads ctypes and looks for libseccomp

    return enforcement().is_whole


def _reads_unsigned(request: Request, policies: Sequence[Policy]) -> bool:
    """Return whether a request reads anything but a model that an operator has signed."""
    return any(
        role not in MODELS or _signature_of({role: paths}, policies) is not Models.SIGNED
        for role, paths in request.reads.items()
        if paths
    )


def _labels_of(paths: Iterable[Path], privates: Sequence[Private], is_parsed: bool) -> Labels:
    """Return the labels of the files of one role."""
    labels = Labels.NONE
    for path in paths:
        if path == STANDARD_INPUT:
            labels |= Labels.UNTRUSTED
            continue
        real = _real(path)
        if real.is_relative_to(INSTALLATION):
            continue
        labels |= Labels.UNTRUSTED
        if Labels.PRIVATE in labels:
            continue
        is_private = any(_is_private(path, real, one) for one in privates)
        labels |= Labels.PRIVATE if is_private else labels_stated(real, is_parsed=is_parsed)
    return labels


def _is_private(path: Path, real: Path, private: Private) -> bool:
    places = (path.absolute(), real)
    if any(_is_below(place, root) for place in places for root in private.roots):
        return True
    names = {place.name.casefold() for place in places}
    if any(fnmatchcase(name, pattern.casefold()) for name in names for pattern in private.names):
        return True
    return "dicom" in private.formats and _is_dicom(real)


def _is_dicom(path: Path) -> bool:
    """Return whether an ordinary file begins as DICOM does (PS3.10, section 7.1)."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb", buffering=0, opener=partial(open_without_waiting, EVERYWHERE)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return False  # It has become a pipe.
            start = file.read(DICOM_PREAMBLE + len(DICOM_MAGIC)) or b""
    except (OSError, ValueError):
        return False  # The permit will say what is wrong with it.
    return start[DICOM_PREAMBLE:] == DICOM_MAGIC


def _real(path: Path) -> Path:
    """Return a path without links, or as it is if no file can have such a name."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return path.absolute()


def _outside(paths: Iterable[Path], roots: Sequence[Sequence[str]]) -> Iterator[Path]:
    """Yield the paths that do not lie below a root of each policy."""
    limits = [some for some in roots if "/" not in some]  # everything lies below the root of all files
    if limits:
        for path in paths:
            real = _real(path)
            if not all(any(_is_below(real, root) for root in some) for some in limits):
                yield path


def _is_below(path: Path, root: str) -> bool:
    return path.is_relative_to(_real(expanded(root)))


def _alterations(request: Request) -> Iterator[Alteration]:
    """Yield what the request would delete or overwrite."""
    for target in request.writes.values():
        if target.overwrite and not target.resume and target.kind != "stream":
            status = _status_of(target)
            if status is not None:
                is_own = sys.platform == "win32" or status.st_uid == os.geteuid()
                yield Alteration(
                    path=target.path,
                    what="overwrites" if target.kind in ("file", "directory", "journal") else "deletes",
                    maker="account" if is_own else "other",
                )


def _status_of(target: Target) -> os.stat_result | None:
    """Return the status of what would be lost at a target; None if that is nothing."""
    try:
        status = os.lstat(target.path)
        if stat.S_ISDIR(status.st_mode) and not os.listdir(target.path):
            return None
    except (OSError, ValueError):
        return None
    return status
