"""Accounts: the system's file may give each account a policy of its own, instead of one policy to all.

The account is a fact of the operating system, so the gate finds it; here is only what such a file says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from biofm.policy.documents import Node
from biofm.policy.files import SHIPPED, read_document
from biofm.policy.policies import Invalid, Policy
from biofm.policy.typed import NO_LINE_END, Fits

AccountName = Annotated[
    str,
    Fits(
        rf"^(uid [0-9]{{1,10}}|[^\s:/\u0000-\u001f\u007f]{{1,256}})${NO_LINE_END}",
        "the name of an account, such as rosalind, or its number, such as uid 1000",
    ),
]
Assigned = Annotated[
    str,
    Fits(
        rf"^({'|'.join(SHIPPED)}|/[^\u0000-\u001f\u007f]+)${NO_LINE_END}",
        f"one of {', '.join(SHIPPED)}, or the absolute path of a policy file",
    ),
]
FolderPath = Annotated[str, Fits(rf"^/[^\u0000-\u001f\u007f]*${NO_LINE_END}", "an absolute path")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Says which policy each account of a machine has.

    Attributes:
        accounts: The policy of each account that is named.
        others: The policy of every other account.
        agents: The accounts in which programs act, and not persons. No request of theirs is approved at a
            terminal unless a person has logged in there under another account.
        ledgers: The folder that holds the ledger of each account, in a folder with the account's name, or
            null: each lies in the home of its account.
    """

    accounts: Mapping[AccountName, Assigned]
    others: Assigned
    agents: tuple[AccountName, ...] = ()
    ledgers: FolderPath | None = None

    def of(self, *names: str) -> tuple[str, ...]:
        """Return the policies of an account; there are two if its name and its number have different ones.

        Args:
            names: The name of the account, and its number as the file spells it, such as "uid 1000".
        """
        named = (self.accounts[name] for name in names if name in self.accounts)
        return tuple(dict.fromkeys(named)) or (self.others,)


@lru_cache(maxsize=32)
def read_policy_or_accounts(data: bytes, source: str) -> Policy | Accounts | Invalid:
    """Return what a policy file says: a policy, or which account has which. It never raises.

    Args:
        data: The content of the file.
        source: The path of the file, for messages.
    """
    return read_document(data, source, _kind_of)


def _kind_of(document: Node) -> type[Policy] | type[Accounts]:
    is_assignment = isinstance(document.value, dict) and "accounts" in document.value
    return Accounts if is_assignment else Policy
