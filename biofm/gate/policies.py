"""The policies in force: each that is named applies, and the gravest verdict of all counts.

They are the system's file, the account's file, what ``BIOFM_POLICY`` names, and what the command or the
program names. So no option and no variable can be laxer than the system's file. Where none is named, the
policy ``research`` is in force.
"""

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from biofm.gate.inputs import open_without_waiting
from biofm.gate.roots import EVERYWHERE, Roots, shared_roots
from biofm.policy.documents import MAX_BYTES
from biofm.policy.files import DEFAULT, SHIPPED, is_policy_name, read_policy, shipped_text
from biofm.policy.policies import Invalid, Policy

SYSTEM_FILE = Path("/etc/biofm/policy.yaml")
"""The system's policy, which nobody but root can write."""
VARIABLE = "BIOFM_POLICY"
_NAMED: list[str] = []  # by this process; threads add to it and take away only what they have added


@contextmanager
def policy_in_force(policy: str) -> Iterator[None]:
    """Have every request within the ``with`` judged by one more policy, in all threads of this process.

        with biofm.policy_in_force("script"):
            biofm.embed("proteins.fasta", "out.h5ad")

    The policies that are in force otherwise stay so: this can make them stricter, and never laxer.

    Args:
        policy: The name of a policy that comes with biofm, or the path of a policy file.
    """
    word = policy if is_policy_name(policy) else os.path.abspath(policy)
    _NAMED.append(word)
    try:
        yield
    finally:
        _NAMED.remove(word)


def policies_in_force() -> tuple[Policy | Invalid, ...]:
    """Return the policies that judge the requests of this process.

    A policy that cannot be read stands among them as ``Invalid``, and refuses everything.
    """
    found = []
    if sys.platform != "win32" and _exists(SYSTEM_FILE) is not False:
        found.append(_read_file(SYSTEM_FILE, is_system=True))
    account = account_file()
    # An account that may not even look into its home folder has no policy of its own there.
    if account is not None and _exists(account) is True:
        found.append(_read_file(account))
    named = [os.environ.get(VARIABLE, ""), *_NAMED]
    found += [read_named(word) for word in named if word]
    return tuple(found) or (read_named(DEFAULT),)


def roots_of(policies: Sequence[Policy | Invalid]) -> Roots:
    """Return the folders below which all of the policies allow to read and to write.

    Args:
        policies: The policies in force.
    """
    read: tuple[Path, ...] = EVERYWHERE
    write: tuple[Path, ...] = EVERYWHERE
    for policy in policies:
        if isinstance(policy, Policy):
            read = shared_roots(read, tuple(map(_resolved, policy.roots.read)))
            write = shared_roots(write, tuple(map(_resolved, policy.roots.write)))
    return Roots(read=read, write=write)


def _resolved(root: str) -> Path:
    return Path(os.path.realpath(os.path.expanduser(root)))


def read_named(word: str) -> Policy | Invalid:
    """Return the policy of this name, or of the file at this path.

    Args:
        word: The name of a policy that comes with biofm, or the path of a policy file.
    """
    if word in SHIPPED:
        return read_policy(shipped_text(word), word)
    if is_policy_name(word):
        remedy = f"Give {', '.join(SHIPPED)}, or the path of a file, such as ./{word}.yaml"
        return Invalid(
            source=word, where="--policy or BIOFM_POLICY", what="no policy has this name", remedy=remedy
        )
    return _read_file(Path(word))


def account_file() -> Path | None:
    """Return the path of the account's policy, ``$XDG_CONFIG_HOME/biofm/policy.yaml``.

    It is None where there is neither a folder for settings nor a home folder.
    """
    for folder in (os.environ.get("XDG_CONFIG_HOME", ""), os.path.expanduser("~/.config")):
        if os.path.isabs(folder):
            return Path(folder) / "biofm" / "policy.yaml"
    return None


def _exists(path: Path) -> bool | None:
    """Return whether there is anything at a path; None where that cannot be found out."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None
    return True


def _read_file(path: Path, *, is_system: bool = False) -> Policy | Invalid:
    """Return the policy of a file. It is opened without waiting, because it may be a pipe."""
    try:
        with open(path, "rb", opener=partial(open_without_waiting, EVERYWHERE)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return _invalid(path, "it is not an ordinary file", "Name a file of YAML")
            if is_system and (fault := _fault_of_system(status, os.stat(path.parent))):
                return _invalid(path, fault, f"As root: chown root {path.parent} {path}, and chmod go-w both")
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "Check the path and its permissions: ls -l shows them"
        return _invalid(path, f"it cannot be read ({reason})", remedy)
    return read_policy(data, str(path))


def _fault_of_system(*places: os.stat_result) -> str:
    """Return what is wrong with the system's file or its folder; empty if nothing is."""
    if any(place.st_uid != 0 for place in places):
        return "the system's policy and its folder must belong to root"
    if any(place.st_mode & 0o022 for place in places):
        return "the system's policy or its folder can be written by others than root"
    return ""


def _invalid(path: Path, what: str, remedy: str) -> Invalid:
    return Invalid(source=str(path), where="the file", what=what, remedy=remedy)
