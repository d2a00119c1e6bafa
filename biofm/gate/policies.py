"""The policies in force: each that is named applies, and the gravest verdict of all counts.

They are the system's file, the account's file, what ``BIOFM_POLICY`` names, and what the command or the
program names. So no option and no variable can be laxer than the system's file. Where none is named, the
policy ``research`` is in force. The system's file holds one policy for all accounts, or says which account
has which; the account comes from the operating system, because the environment can be changed.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from biofm.gate import system
from biofm.gate.accounts import expanded, names_of_account
from biofm.gate.roots import EVERYWHERE, Roots, shared_roots
from biofm.gate.system import exists, fault_of_assigned, invalid_file, read_policy_file, read_system_file
from biofm.policy.accounts import Accounts
from biofm.policy.files import DEFAULT, SHIPPED, is_policy_name, read_policy, shipped_text
from biofm.policy.policies import Invalid, Policy

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
    found: list[Policy | Invalid] = []
    of_system = read_system_file()
    if isinstance(of_system, Accounts):
        found += [_read_assigned(word) for word in of_system.of(*names_of_account())]
    elif of_system is not None:
        found.append(of_system)
    account = account_file()
    # An account that may not even look into its home folder has no policy of its own there.
    if account is not None and exists(account) is True:
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
    return Path(os.path.realpath(expanded(root)))


def read_named(word: str) -> Policy | Invalid:
    """Return the policy of this name, or of the file at this path.

    Args:
        word: The name of a policy that comes with biofm, or the path of a policy file.
    """
    if word in SHIPPED:
        return read_policy(shipped_text(word), word)
    if is_policy_name(word):
        file = word if os.path.exists(word) else f"{word}.yaml"
        remedy = f"Give {', '.join(SHIPPED)}, or the path of a file, such as ./{file}"
        return Invalid(
            source=word, where="--policy or BIOFM_POLICY", what="no policy has this name", remedy=remedy
        )
    return _policy_of(Path(word))


def account_file() -> Path | None:
    """Return the path of the account's policy, ``$XDG_CONFIG_HOME/biofm/policy.yaml``.

    It is None where there is neither a folder for settings nor a home folder.
    """
    for folder in (os.environ.get("XDG_CONFIG_HOME", ""), os.path.expanduser("~/.config")):
        if os.path.isabs(folder):
            return Path(folder) / "biofm" / "policy.yaml"
    return None


def _policy_of(path: Path) -> Policy | Invalid:
    """Return the policy of a file that may not speak of other accounts."""
    found = read_policy_file(path)
    if isinstance(found, Accounts):
        what = "it gives policies to accounts, which the system's file alone may do"
        return invalid_file(
            path, what, f"Name one of its policies, or let root keep it as {system.SYSTEM_FILE}"
        )
    return found


def _read_assigned(word: str) -> Policy | Invalid:
    """Return a policy that the system's file names for an account."""
    if word in SHIPPED:
        return read_policy(shipped_text(word), word)
    path = Path(word)
    found = read_policy_file(path, fault_of_assigned)
    if isinstance(found, Accounts):
        what = f"it gives policies to accounts, and {system.SYSTEM_FILE} names it as the policy of one"
        return invalid_file(path, what, f"Name a file with a policy in {system.SYSTEM_FILE}")
    return found
