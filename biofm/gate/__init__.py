"""The gate asks the policy, records the verdict in the ledger, and gives permits with the opened files."""

from biofm.gate.accounts import expanded, is_account
from biofm.gate.gate import ask
from biofm.gate.holders import current_session, session_in_force
from biofm.gate.hosts import hosts_of_server
from biofm.gate.inputs import STANDARD_INPUT, open_input
from biofm.gate.ledger import Ledger, ledger_path, parent_of
from biofm.gate.permit import Permit
from biofm.gate.policies import (
    account_file,
    policies_in_force,
    policy_in_force,
    read_named,
)
from biofm.gate.roots import EVERYWHERE
from biofm.gate.scratch import remove_leftovers, scratch_path, was_finished
from biofm.gate.sessions import begin_session, end_sessions, labels_held
from biofm.gate.system import principal_of_account, read_policy_file

__all__ = [
    "EVERYWHERE",
    "STANDARD_INPUT",
    "Ledger",
    "Permit",
    "account_file",
    "ask",
    "begin_session",
    "current_session",
    "end_sessions",
    "expanded",
    "hosts_of_server",
    "is_account",
    "labels_held",
    "ledger_path",
    "open_input",
    "parent_of",
    "policies_in_force",
    "policy_in_force",
    "principal_of_account",
    "read_named",
    "read_policy_file",
    "remove_leftovers",
    "scratch_path",
    "session_in_force",
    "was_finished",
]
