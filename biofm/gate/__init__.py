"""The gate asks the policy, records the verdict in the ledger, and gives permits with the opened files."""

from biofm.gate.gate import ask, person
from biofm.gate.inputs import STANDARD_INPUT
from biofm.gate.ledger import Ledger, ledger_path
from biofm.gate.permit import Permit
from biofm.gate.scratch import scratch_path, was_finished

__all__ = [
    "STANDARD_INPUT",
    "Ledger",
    "Permit",
    "ask",
    "ledger_path",
    "person",
    "scratch_path",
    "was_finished",
]
