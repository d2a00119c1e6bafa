"""Finds relatives with MMseqs2 (Steinegger and Söding 2017, doi:10.1038/nbt.3988), where it is installed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import IO

import numpy as np

from biofm_datasets.arrays import Bools, Indices
from biofm_datasets.errors import DataError
from biofm_datasets.progress import OnStage
from biofm_datasets.similarity import Similarity

PROGRAM = "mmseqs"
SEARCH = ("-s", "7.5", "--mask", "0", "-a", "--alignment-mode", "3", "-v", "1")
"""Options of its most sensitive search. Nothing is masked: proteins of low complexity have relatives too."""
SEARCHES = (("--comp-bias-corr", "0", "-e", "1"), ("--comp-bias-corr", "1", "-e", "0.01"))
"""Options of its two searches: without and with its correction for biased composition. Each finds relatives
that the other misses. The second adds the pairs of a usual search (e-value 0.001, for a database of another
size); an e-value of 1 would join families by chance.
"""
ROWS_AT_ONCE = 1 << 16
COLUMNS = "query,target,nident,alnlen,qlen,tlen"


def is_chosen(tool: str) -> bool:
    """Return whether MMseqs2 is used.

    Raises:
        DataError: The user asked for MMseqs2, and it is not installed.
    """
    is_there = shutil.which(PROGRAM) is not None
    if tool == "mmseqs" and not is_there:
        what = f"there is no program {PROGRAM} on the path"
        remedy = "Install MMseqs2, or give --split-tool kmer, biofm's own search"
        raise DataError(what, where="--split-tool", remedy=remedy)
    return tool != "kmer" and is_there


def version() -> str:
    """Return the program and its version, such as ``MMseqs2 15-6f452``."""
    found = subprocess.run([PROGRAM, "version"], capture_output=True, text=True, check=False)
    return f"MMseqs2 {found.stdout.strip()}"


def find_similar(
    held_out: Iterable[str],
    others: Iterable[str],
    n_others: int,
    similarity: Similarity,
    scratch: Path,
    progress: OnStage,
) -> Bools:
    """Return which others are similar to any held-out protein. Files lie in ``scratch`` while the program
    runs.

    Raises:
        DataError: The program fails.
    """
    is_similar = np.zeros(n_others, np.bool_)
    for _, other in find_pairs(held_out, others, n_others, similarity, scratch, progress):
        is_similar[other] = True
    return is_similar


def find_pairs(
    queries: Iterable[str],
    targets: Iterable[str] | None,
    n_targets: int,
    similarity: Similarity,
    scratch: Path,
    progress: OnStage,
) -> Iterator[tuple[Indices, Indices]]:
    """Yield the places of similar queries and targets, some pairs at a time, and most pairs twice.

    Without ``targets`` the queries are compared with each other. Files lie in ``scratch`` while the program
    runs.

    Raises:
        DataError: The program fails.
    """
    progress("searching with MMseqs2", 0, len(SEARCHES))
    with TemporaryDirectory(dir=scratch, prefix="mmseqs-") as name:
        folder = Path(name)
        query_file = target_file = folder / "queries.fasta"
        _write_fasta(query_file, queries)
        if targets is not None:
            target_file = folder / "targets.fasta"
            _write_fasta(target_file, targets)
        words = (query_file, target_file, folder / "found.tsv", folder / "work")
        more = ("--max-seqs", n_targets, "--threads", _n_threads(), "--format-output", COLUMNS)
        command = [PROGRAM, "easy-search", *map(str, (*words, *SEARCH, *more))]
        for number, options in enumerate(SEARCHES, start=1):
            _run([*command, *options], folder)
            yield from _similar(folder / "found.tsv", similarity)
            progress("searching with MMseqs2", number, len(SEARCHES))


def _similar(path: Path, similarity: Similarity) -> Iterator[tuple[Indices, Indices]]:
    """Yield the similar pairs of a search; the file has the columns ``COLUMNS``."""
    with path.open() as lines:
        while rows := [line.split() for line in islice(lines, ROWS_AT_ONCE)]:
            query, target, n_identical, n_columns, *lengths = np.array(rows, np.int64).T
            is_found = similarity.is_alike(n_identical, n_columns)
            is_found &= similarity.is_covering(n_columns, np.minimum(*lengths))
            yield query[is_found], target[is_found]


def _write_fasta(path: Path, sequences: Iterable[str]) -> None:
    with path.open("w") as file:
        for number, sequence in enumerate(sequences):
            file.write(f">{number}\n{sequence or 'X'}\n")


def _run(command: list[str], folder: Path) -> None:
    """Run the program to its end. An interruption ends it, and the programs that it started."""
    with (folder / "said").open("w+") as said:
        program = _Program(command, said)
        try:
            status = program.run()
        finally:
            program.end()
        if status:
            said.seek(0)
            last = (said.read().strip().splitlines() or ["without a message"])[-1]
            what = f"MMseqs2 failed with status {status} ({last})"
            remedy = "Give --split-tool kmer to search without it"
            raise DataError(what, where=PROGRAM, remedy=remedy)


class _Program:
    """Runs a program and everything that it starts.

    A thread starts it. Signals interrupt only the main thread of Python, so none can come between the start
    of the program and the moment from which ``end`` knows of it.
    """

    def __init__(self, command: list[str], said: IO[str]) -> None:
        self._command = command
        self._said = said
        self._lock = Lock()
        self._is_over = False
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Run it to its end and return its exit code."""
        with ThreadPoolExecutor(1) as threads:
            process = threads.submit(self._start).result()
        return process.wait()

    def end(self) -> None:
        """Kill it if it runs, and keep it from starting if it has not started."""
        with self._lock:
            self._is_over = True
        if self._process is None or self._process.poll() is not None:
            return
        if sys.platform == "win32":
            self._process.kill()
        else:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._is_over:
                raise InterruptedError
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                start_new_session=True,
            )
            return self._process


def _n_threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
