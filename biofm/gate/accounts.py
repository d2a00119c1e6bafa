"""Accounts: the operating system says under whose name this process runs, and the environment does not."""

import os
import sys

from biofm.policy import Principal

if sys.platform == "win32":
    import getpass

    def names_of_account() -> tuple[str, ...]:
        """Return the name of the account that this process runs under."""
        return (getpass.getuser(),)

    def is_account(name: str) -> bool:
        """Return False, because no system's file gives policies to accounts here."""
        return False

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


def person() -> Principal:
    """Return the person whose account this process runs under."""
    return Principal(kind="person", name=names_of_account()[0])
