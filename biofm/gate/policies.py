"""The policies in force: each that is named applies, and the gravest verdict of all counts.

They are the system's file, the account's file, what ``BIOFM_POLICY`` names, and what the command or the
program names. So no option and no variable can be laxer than the system's file. Where none is named, the
policy ``research`` is in force. The system's file holds one policy for all accounts, or says which account
has which; the account comes from the operating system, because the environment can be changed.
"""

import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from biofm.gate.accounts import names_of_account
from biofm.gate.inputs import open_without_waiting
from biofm.gate.roots import EVERYWHERE, Roots, shared_roots
from biofm.policy.accounts import Accounts, read_policy_or_accounts
from biofm.policy.documents import MAX_BYTES
from biofm.policy.files import DEFAULT, SHIPPED, is_policy_name, read_policy, shipped_text
from biofm.policy.policies import Invalid, Policy

SYSTEM_FILE = Path("/etc/biofm/policy.yaml")
"""The system's policy, which nobody but root can write."""
VARIABLE = "BIOFM_POLICY"
Read = Policy | Accounts | Invalid
"""What a policy file may turn out to be."""
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
    found: list[Policy | Invalid] = []
    if sys.platform != "win32" and _exists(SYSTEM_FILE) is not False:
        found += _of_system()
    account = account_file()
    # An account that may not even look into its home folder has no policy of its own there.
    if account is not None and _exists(account) is True:
        found.append(_policy_of(account))
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
    return _policy_of(Path(word))


def read_policy_file(path: Path) -> Policy | Accounts | Invalid:
    """Return what a file says: a policy, or, as the system's file may, which account has which.

    Args:
        path: The file.
    """
    return _read_file(path)


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


def _policy_of(path: Path) -> Policy | Invalid:
    """Return the policy of a file that may not speak of other accounts."""
    found = _read_file(path)
    if isinstance(found, Accounts):
        what = "it gives policies to accounts, which the system's file alone may do"
        return _invalid(path, what, f"Name one of its policies, or let root keep it as {SYSTEM_FILE}")
    return found


if sys.platform != "win32":

    def _of_system() -> list[Policy | Invalid]:
        """Return the system's policies for the account that this process runs under."""
        found = _read_file(SYSTEM_FILE, _fault_of_system)
        if not isinstance(found, Accounts):
            return [found]
        return [_read_assigned(word) for word in found.of(*names_of_account())]


def _read_assigned(word: str) -> Policy | Invalid:
    """Return a policy that the system's file names for an account."""
    if word in SHIPPED:
        return read_policy(shipped_text(word), word)
    path = Path(word)
    found = _read_file(path, _fault_of_assigned)
    if isinstance(found, Accounts):
        what = f"it gives policies to accounts, and {SYSTEM_FILE} names it as the policy of one"
        return _invalid(path, what, f"Name a file with a policy in {SYSTEM_FILE}")
    return found


def _read_file(path: Path, fault_of: Callable[[Path, os.stat_result], Invalid | None] | None = None) -> Read:
    """Return what a file says. It is opened without waiting, because it may be a pipe.

    Args:
        path: The file.
        fault_of: Returns what is wrong with a file of this path and status that nobody but root may change.
            By default the file may belong to anybody.
    """
    try:
        with open(path, "rb", opener=partial(open_without_waiting, EVERYWHERE)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return _invalid(path, "it is not an ordinary file", "Name a file of YAML")
            if fault_of and (fault := fault_of(path, status)):
                return fault
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "Check the path and its permissions: ls -l shows them"
        return _invalid(path, f"it cannot be read ({reason})", remedy)
    return read_policy_or_accounts(data, str(path))


def _fault_of_system(path: Path, status: os.stat_result) -> Invalid | None:
    """Return what is wrong with the system's file or its folder."""
    return _fault_of_owner(path, status, "the system's policy")


def _fault_of_assigned(path: Path, status: os.stat_result) -> Invalid | None:
    """Return what is wrong with a file that the system's file names, or with a folder above it.

    An account that could rename a folder above it could put another file of root in its place. In a sticky
    folder, such as /tmp, nobody can rename what belongs to root.
    """
    name = f"the policy that {SYSTEM_FILE} names"
    if os.path.realpath(path) != str(path):
        what = f"{name} lies elsewhere: a link or a dot in its path leads to {os.path.realpath(path)}"
        return _invalid(path, what, "Name the file by its own path")
    if fault := _fault_of_owner(path, status, name):
        return fault
    for folder in path.parent.parents:
        place = os.stat(folder)
        if place.st_uid != 0 or (place.st_mode & 0o022 and not place.st_mode & stat.S_ISVTX):
            what = f"{name} lies below {folder}, which belongs to an account or can be written by others"
            return _invalid(path, what, f"Keep it in {SYSTEM_FILE.parent}")
    return None


def _fault_of_owner(path: Path, status: os.stat_result, name: str) -> Invalid | None:
    """Return what is wrong with the owner or the permissions of a file and its folder."""
    places = (status, os.stat(path.parent))
    remedy = f"As root: chown root {path.parent} {path}, and chmod go-w both"
    if any(place.st_uid != 0 for place in places):
        return _invalid(path, f"{name} and its folder must belong to root", remedy)
    if any(place.st_mode & 0o022 for place in places):
        return _invalid(path, f"{name} or its folder can be written by others than root", remedy)
    return None


def _invalid(path: Path, what: str, remedy: str) -> Invalid:
    return Invalid(source=str(path), where="the file", what=what, remedy=remedy)
