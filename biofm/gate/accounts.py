"""Accounts: the operating system says under whose name this process runs, and the environment does not."""

import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import getpass

    def names_of_account() -> tuple[str, ...]:
        """Return the name of the account that this process runs under."""
        return (getpass.getuser(),)

    def is_account(name: str) -> bool:
        """Return False, because no system's file gives policies to accounts here."""
        return False

    def home_of_account() -> str:
        """Return the home folder of the account that this process runs under."""
        return os.path.expanduser("~")

else:
    import pwd

    def names_of_account() -> tuple[str, ...]:
        """Return how the account that this process runs under is called: by its name, if any, and number."""
        number = f"uid {os.getuid()}"
        try:
            return pwd.getpwuid(os.getuid()).pw_name, number
        except KeyError:  # In containers the account often has no name.
            return (number,)

    def is_account(name: str) -> bool:
        """Return whether this machine has an account that a system's file calls so; each number is one.

        Args:
            name: The name, or the number, such as "uid 1000".
        """
        try:
            pwd.getpwnam(name)
        except KeyError:
            return name.startswith("uid ")
        return True

    def home_of_account() -> str:
        """Return the home folder of the account that this process runs under, which ``HOME`` does not move.

        An account without a name has no other home than ``HOME`` says.
        """
        try:
            return pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            return os.path.expanduser("~")


def expanded(path: str) -> Path:
    """Return a path of a policy, where ``~/`` at its start stands for the home folder of the account.

    Args:
        path: The path.
    """
    return Path(home_of_account(), path[2:]) if path.startswith("~/") else Path(path)
