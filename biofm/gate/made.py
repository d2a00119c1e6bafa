"""What biofm has made, and what it looks at, is known by the identity of its files.

The ledger notes each finished output with the labels of what it was made from, so that reading it again
raises them. A file that is opened must be the one that was looked at for the verdict.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from biofm.core.errors import InputError, OutputError
from biofm.core.provenance import sha256_of
from biofm.gate.carried import state_labels
from biofm.gate.holders import holder_of
from biofm.gate.inputs import STANDARD_INPUT
from biofm.gate.judging import Judgement, identity_of_file
from biofm.gate.ledger import Book, FileIdentity
from biofm.gate.permit import Permit
from biofm.policy import Labels, Request

MOST_FILES = 10_000
"""How many files of one output folder the ledger notes."""

Identities = Mapping[Path, FileIdentity]


def identities_of(request: Request) -> Identities:
    """Return the identities of the ordinary files that a request reads.

    Args:
        request: The request.
    """
    found = {}
    for paths in request.reads.values():
        for path in paths:
            if path != STANDARD_INPUT and (identity := identity_of_file(path)) is not None:
                found[path] = identity
    return found


def check_same(permit: Permit, request: Request, looked_at: Identities) -> None:
    """Raise InputError if a file that was opened is not the one that was looked at for the verdict.

    Args:
        permit: The opened files.
        request: The request.
        looked_at: The files that were looked at.
    """
    for role, paths in request.reads.items():
        for path, reader in zip(paths, permit.readers(role), strict=True):
            if path == STANDARD_INPUT or path not in looked_at:
                continue
            status = os.fstat(reader.fileno())
            if stat.S_ISREG(status.st_mode) and FileIdentity.of(status) != looked_at[path]:
                what = "this file was changed or replaced while the policy was asked about it"
                remedy = "Repeat the command when nothing changes the file"
                raise InputError(what, where=str(path), remedy=remedy)


def note_outputs(book: Book, request: Request, judgement: Judgement) -> None:
    """Write the finished outputs of a request into the ledger, with the labels of its inputs.

    A private one is noted with its checksum too, by which a copy of it is known.

    Args:
        book: The ledger, within a transaction.
        request: The request.
        judgement: What was decided about it.
    """
    holder = holder_of(request.principal)
    for path in _made_by(request, judgement.time_s):
        identity = identity_of_file(path)
        if identity is None:
            continue
        checksum = ""
        if Labels.PRIVATE in judgement.made_from:
            with path.open("rb") as file:
                checksum = sha256_of([file])
        labels = judgement.made_from.value
        book.note_output(identity, checksum, labels, holder, path=str(path), request=judgement.entry)


def state_labels_of_folders(request: Request, judgement: Judgement) -> None:
    """Let the output folders of a request state that they were made from private data.

    Args:
        request: The request, which has ended or failed.
        judgement: What was decided about it.

    Raises:
        OutputError: A folder cannot be written.
    """
    if Labels.PRIVATE not in judgement.made_from:
        return
    for target in request.writes.values():
        if target.kind == "directory":
            try:
                state_labels(target.path, judgement.made_from)
            except OSError as error:
                what = f"the labels of this folder cannot be written into it ({error.strerror})"
                remedy = "Keep what is in it as private, because it was made from private data"
                raise OutputError(what, where=str(target.path), remedy=remedy) from error


def _made_by(request: Request, since_s: float) -> Iterator[Path]:
    """Yield the absolute paths of the files that a request has made.

    A folder may have held files before, which others made: those that were last changed before ``since_s``
    are left out.
    """
    for target in request.writes.values():
        path = Path(os.path.abspath(target.path))
        if target.kind in ("file", "journal"):
            yield path
        elif target.kind == "directory":
            files = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
            new = (file for file in files if os.lstat(file).st_ctime >= since_s)
            yield from islice(new, MOST_FILES)
