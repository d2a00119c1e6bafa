"""The system's file says which policies the accounts of this machine have, and whose accounts they are.

It holds one policy for all accounts, or says which account has which. Nobody but root can write it.
"""

import os
import stat
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from biofm.gate.accounts import home_of_account, names_of_account
from biofm.gate.inputs import open_without_waiting
from biofm.gate.roots import EVERYWHERE
from biofm.policy import AGENT, PERSON, Principal
from biofm.policy.accounts import Accounts, read_policy_or_accounts
from biofm.policy.documents import MAX_BYTES
from biofm.policy.policies import Invalid, Policy

SYSTEM_FILE = Path("/etc/biofm/policy.yaml")
"""The system's file."""
STATE = Path(".local", "state")
"""Where an account keeps its state below its home, by the XDG Base Directory Specification."""
Read = Policy | Accounts | Invalid
"""What a policy file may turn out to be."""


def read_system_file() -> Read | None:
    """Return what the system's file says; None where there is none."""
    if sys.platform == "win32" or exists(SYSTEM_FILE) is False:
        return None
    return read_policy_file(SYSTEM_FILE, _fault_of_system)


def principal_of_account() -> Principal:
    """Return who runs this process: its account, a person's unless the system's file calls it an agent's."""
    names, found = names_of_account(), read_system_file()
    is_agent = isinstance(found, Accounts) and bool({*found.agents} & {*names})
    return Principal(kind=AGENT if is_agent else PERSON, name=names[0])


def state_folder() -> Path | None:
    """Return the folder in which this account keeps its ledger; None where it has no home either.

    By default it is ``$XDG_STATE_HOME/biofm``, and ``~/.local/state/biofm`` without that variable (on Windows
    ``%LOCALAPPDATA%\\biofm``). Where there is a system's file, no variable moves it: it lies below
    ``ledgers`` of that file, or below the account's home. A relative variable is ignored, as the XDG Base
    Directory Specification demands.
    """
    found = read_system_file()
    if isinstance(found, Accounts) and found.ledgers is not None:
        return Path(found.ledgers, names_of_account()[0])
    if found is not None:
        folders = [os.path.join(home_of_account(), STATE)]
    else:
        folders = [os.environ.get("XDG_STATE_HOME", ""), os.path.expanduser(Path("~", STATE))]
        if sys.platform == "win32":
            folders.insert(1, os.environ.get("LOCALAPPDATA", ""))
    return next((Path(folder, "biofm") for folder in folders if os.path.isabs(folder)), None)


def exists(path: Path) -> bool | None:
    """Return whether there is anything at a path; None where that cannot be found out."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None
    return True


def read_policy_file(
    path: Path, fault_of: Callable[[Path, os.stat_result], Invalid | None] | None = None
) -> Read:
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
                return invalid_file(path, "it is not an ordinary file", "Name a file of YAML")
            if fault_of and (fault := fault_of(path, status)):
                return fault
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "Check the path and its permissions: ls -l shows them"
        return invalid_file(path, f"it cannot be read ({reason})", remedy)
    return read_policy_or_accounts(data, str(path))


def invalid_file(path: Path, what: str, remedy: str) -> Invalid:
    """Return what stands for a policy file with a fault.

    Args:
        path: The file.
        what: What is wrong with it.
        remedy: What to do next.
    """
    return Invalid(source=str(path), where="the file", what=what, remedy=remedy)


def fault_of_assigned(path: Path, status: os.stat_result) -> Invalid | None:
    """Return what is wrong with a file that the system's file names, or with a folder above it.

    An account that could rename a folder above it could put another file of root in its place. In a sticky
    folder, such as /tmp, nobody can rename what belongs to root.
    """
    name = f"the policy that {SYSTEM_FILE} names"
    if os.path.realpath(path) != str(path):
        what = f"{name} lies elsewhere: a link or a dot in its path leads to {os.path.realpath(path)}"
        return invalid_file(path, what, "Name the file by its own path")
    if fault := _fault_of_owner(path, status, name):
        return fault
    for folder in path.parent.parents:
        place = os.stat(folder)
        if place.st_uid != 0 or (place.st_mode & 0o022 and not place.st_mode & stat.S_ISVTX):
            what = f"{name} lies below {folder}, which belongs to an account or can be written by others"
            return invalid_file(path, what, f"Keep it in {SYSTEM_FILE.parent}")
    return None


def _fault_of_system(path: Path, status: os.stat_result) -> Invalid | None:
    """Return what is wrong with the system's file or its folder."""
    return _fault_of_owner(path, status, "the system's policy")


def _fault_of_owner(path: Path, status: os.stat_result, name: str) -> Invalid | None:
    """Return what is wrong with the owner or the permissions of a file and its folder."""
    places = (status, os.stat(path.parent))
    remedy = f"As root: chown root {path.parent} {path}, and chmod go-w both"
    if any(place.st_uid != 0 for place in places):
        return invalid_file(path, f"{name} and its folder must belong to root", remedy)
    if any(place.st_mode & 0o022 for place in places):
        return invalid_file(path, f"{name} or its folder can be written by others than root", remedy)
    return None
