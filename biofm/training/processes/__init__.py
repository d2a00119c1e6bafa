"""Processes of one run: how each learns its rank, how they start, meet and take turns, and how they end."""

from biofm.training.processes.crew import Crew, SilentExit, leave_to_main, main_speaks, rendezvous
from biofm.training.processes.ending import Interruption, one_message, remove_end_mark
from biofm.training.processes.group import keep_to_ourselves
from biofm.training.processes.ranks import (
    Processes,
    batches_of_process,
    check_devices,
    find_processes,
    is_main_process,
)

__all__ = [
    "Crew",
    "Interruption",
    "Processes",
    "SilentExit",
    "batches_of_process",
    "check_devices",
    "find_processes",
    "is_main_process",
    "keep_to_ourselves",
    "leave_to_main",
    "main_speaks",
    "one_message",
    "remove_end_mark",
    "rendezvous",
]
