"""No verb opens a file that was not asked for: every one once under strace, which sees C libraries too.

What a part of the run may open is what its requests in the ledger name, and what ``ALLOWED`` says of any
program. A run that does not look into an ``.h5ad`` before it reads it shows that the rest is noticed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import anndata
import h5py
import numpy as np
import pytest
import torch

from biofm.api.request import VERBS
from biofm.modalities import ProteinTokenizer
from biofm.models import Checkpoint, esm2, write_checkpoint
from biofm.nn import MaskedLM, initialise
from tests.cli.every_verb import HUB_NAME, MARK
from tests.cli.tables import oiliness, sequences, write
from tests.ledgers import open_ledger
from tests.programs import Smooth, save_array, save_program, some_array

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed here"),
]

ROOT = Path(__file__).resolve().parents[2]
SOURCE_ROOTS = (ROOT, ROOT / "kernels", ROOT / "datasets")
SCRIPT = ROOT / "tests" / "cli" / "every_verb.py"
CALLS = "open,openat,openat2,creat,execve,connect,bind"
PACKAGES = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}

# What any part may open beside its requests: how a path begins, and why. ``{folder}`` is the run's own.
ALLOWED = {
    **dict.fromkeys((*PACKAGES, sys.base_prefix, sys.prefix), "the interpreter and its packages"),
    f"{ROOT}/biofm/": "biofm and the model that it ships",
    f"{ROOT}/kernels/biofm_kernels/": "biofm's kernels",
    f"{ROOT}/datasets/biofm_datasets/": "biofm's readers of files",
    f"{ROOT}/biofm.egg-info/": "biofm's own metadata, where it is installed to be edited",
    **dict.fromkeys(("/usr/lib/", "/lib/", "/usr/lib64/", "/lib64/"), "system libraries"),
    "/usr/share/zoneinfo/": "the local time",
    **dict.fromkeys(("/usr/share/fonts/", "/usr/local/share/fonts/"), "matplotlib's list of fonts"),
    "/proc/{pid}/": "the process itself",
    "/sys/fs/cgroup/": "how much memory this process may take",
    "/sys/devices/system/": "how many processors there are",
    "{folder}/state/{part}/": "the ledger",
    "{folder}/home/": "what packages keep for the next run: matplotlib's list of fonts",
    "{folder}/tmp/": "temporary files",
}  # fmt: skip
ALLOWED_FILES = {
    str(ROOT / "pyproject.toml"): "biofm's version, in a checkout",
    str(SCRIPT): "the script itself",
    str(SCRIPT.parent): "where Python looks for the script's modules",
    "/dev/null": "nothing",
    "/dev/urandom": "random numbers",
    "/etc/group": "the account's groups",
    "/etc/ld.so.cache": "where system libraries lie",
    "/etc/locale.alias": "the language",
    "/etc/localtime": "the local time",
    "/etc/nsswitch.conf": "where accounts are kept",
    "/etc/passwd": "the account's name, for the ledger",
    "/etc/ssl/certs/ca-certificates.crt": "whom to trust on the network, for the hub's client",
    "/etc/ssl/openssl.cnf": "hashes",
    "/proc/cpuinfo": "which instructions the processor has",
    "/proc/meminfo": "how much memory is free",
    "/proc/sys/kernel/random/boot_id": "which machine this is, for locks",
    "/proc/sys/vm/overcommit_memory": "how memory is given out",
    "/sys/kernel/mm/transparent_hugepage/enabled": "how memory is given out",
}
OF_A_NEW_PROCESS = re.compile(r"/proc/\d+/fd")
"""Where Python, about to become another program, sees which files that one would inherit, and closes them."""
# Programs that are started, and why. What they open is theirs.
PROGRAMS = {
    "fc-list": "matplotlib asks for the fonts",
    "git": "which revision of biofm ran",
    Path(sys.executable).name: "the worker of run-program, which the kernel confines",
    "lscpu": "which processor this is",
    "uname": "which processor this is, by Python's platform",
}


class Part(NamedTuple):
    """What a part of the run opened, which programs it started, and whom it spoke to."""

    opened: set[str]
    started: set[str]
    addresses: set[str]


def parse(lines: list[str]) -> dict[str, Part]:
    """What ``strace -f -y`` wrote, by part. Calls of programs that were started are left out."""
    parts: dict[str, Part] = defaultdict(lambda: Part(set(), set(), set()))
    part = "start"
    starting: dict[str, str] = {}  # the program that a process is about to become
    others: set[str] = set()
    for line in lines:
        process, _, call = line.partition(" ")
        call = call.strip()
        if process in others:
            continue
        if mark := re.search(f'"{MARK}([^"]*)"', call):
            part = mark[1]
        elif program := re.match(r'execve\("([^"]*)"', call):
            starting[process] = program[1]
        elif "AF_INET" in call:
            parts[part].addresses.add(call)
        elif opened := re.search(r" = \d+<(.*)>$", call):
            parts[part].opened.add(opened[1].removesuffix(" (deleted)"))
        if "execve" in call and call.endswith(" = 0"):
            parts[part].started.add(Path(starting[process]).name)
            others.add(process)
    return parts


def requests_of(folder: Path, part: str) -> list[tuple[str, str, set[str], dict[str, Any], str]]:
    """Verb, model, reads, writes and outcome of each request of a part, by its own ledger."""
    query = "SELECT verb, model, reads, writes, outcome FROM requests JOIN outcomes ON request = id"
    with closing(open_ledger(folder / "state" / part / "biofm" / "ledger.sqlite3")) as ledger:
        rows = ledger.execute(query).fetchall()
    return [
        (verb, model, {p for paths in json.loads(reads).values() for p in paths}, json.loads(writes), outcome)
        for verb, model, reads, writes, outcome in rows
    ]


def is_asked_for(path: str, reads: set[str], writes: Iterable[dict[str, Any]]) -> bool:
    """Whether it is a file that is read, what is written with its unfinished work beside it, or a folder that
    holds one of them.
    """
    beside = path.removesuffix(".provenance.json")
    if beside != path and beside in reads:
        return True  # It may state the labels of the file that is read.
    if path in reads or any(one.startswith(path.rstrip("/") + "/") for one in reads):
        return True
    for target in writes:
        whole = Path(target["path"])
        beside = f"{whole.parent}/.{whole.name}."
        if path in (str(whole), str(whole.parent)) or path.startswith((f"{whole}/", beside)):
            return True
    return False


def not_allowed(folder: Path, part: str, opened: set[str], pid: str) -> set[str]:
    """What a part opened that neither its requests nor the tables name."""
    values = {"folder": folder, "part": part, "pid": pid}
    prefixes = tuple(prefix.format(**values) for prefix in ALLOWED)
    whole = {prefix.rstrip("/") for prefix in prefixes} | {str(root) for root in SOURCE_ROOTS}
    left = {path for path in opened - whole - ALLOWED_FILES.keys() if not path.startswith(prefixes)}
    left = {path for path in left if not OF_A_NEW_PROCESS.fullmatch(path)}
    for verb, model, reads, writes, _ in [] if part == "start" else requests_of(folder, part):
        hub = f"{folder}/hub/models--{model.replace('/', '--')}/" if verb == "fetch" else "\0"
        left = {
            path
            for path in left
            if not is_asked_for(path, reads, writes.values()) and not path.startswith(hub)
        }
    return left


def trace(folder: Path, *words: str) -> tuple[dict[str, Part], str]:
    """Run the script in ``folder`` under strace; what it did, by part, and the number of its process."""
    own = {"HOME": "home", "TMPDIR": "tmp", "HF_HUB_CACHE": "hub"}
    environment = os.environ | {name: str(folder / place) for name, place in own.items()}
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, SOURCE_ROOTS)), "HF_HUB_OFFLINE": "1"}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONDONTWRITEBYTECODE"), "1")
    log = folder.with_name(f"{folder.name}.trace")
    command = ["strace", "-f", "-y", "--seccomp-bpf", "-s", "4096", "-e", f"trace={CALLS}", "-o", str(log)]
    done = subprocess.run(
        [*command, sys.executable, str(SCRIPT), *words],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    first, *lines = log.read_text(errors="replace").splitlines()
    return parse(lines), first.partition(" ")[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs of every verb, and a file that leads to another."""
    folder = tmp_path_factory.mktemp("traced").resolve()
    repository = folder / "hub" / f"models--{HUB_NAME.replace('/', '--')}"
    for name in ("home", "tmp", "esm2", repository / "refs"):
        (folder / name).mkdir(parents=True)
    model = MaskedLM(esm2.config(d_model=24, n_layers=2, n_heads=2), with_contacts=True)
    initialise(model, seed=1)
    for name, content in write_checkpoint(Checkpoint("ESM-2", model.eval(), ProteinTokenizer())).items():
        (folder / "esm2" / name).write_bytes(content)
    shutil.copytree(folder / "esm2", repository / "snapshots" / "abc")
    (repository / "refs" / "main").write_text("abc")
    wild_type = "MKTAYIAKQR"
    (folder / "wild.fasta").write_text(f">wild\n{wild_type}\n")
    rows = [f"{residue}{place}W,{place % 4}.5" for place, residue in enumerate(wild_type, start=1)]
    (folder / "variants.csv").write_text("\n".join(["mutant,fitness", *rows, ""]))
    records = (f">p{i}\n{one}{one}\n" for i, one in enumerate(sequences(24)))
    (folder / "in.fasta").write_text("".join(records))
    (folder / "settings.toml").write_text("log_every = 1\n")
    write(str(folder / "table.csv"), oiliness)
    with pytest.MonkeyPatch.context() as context:
        context.chdir(folder)
        save_program(Smooth(), torch.zeros(3, 4, 5))
        save_array(some_array())
    anndata.AnnData(np.ones((5, 8), np.float32)).write_h5ad(folder / "planted.h5ad")
    (folder / "secret").write_bytes(bytes(160))
    with h5py.File(folder / "planted.h5ad", "a") as file:
        del file["X"]
        file.create_dataset("X", (5, 8), "f4", external=[(folder / "secret", 0, 160)])
    return folder


def test_every_verb_opens_what_was_asked_for_and_nothing_else(folder: Path) -> None:
    parts, pid = trace(folder)
    verbs = {
        (verb, outcome)
        for part in parts
        if part != "start"
        for verb, *_, outcome in requests_of(folder, part)
    }
    assert {verb for verb, outcome in verbs if outcome == "completed"} == VERBS
    found = {part: not_allowed(folder, part, did.opened, pid) for part, did in parts.items()}
    assert {part: sorted(paths) for part, paths in found.items() if paths} == {}
    assert {name for did in parts.values() for name in did.started} <= PROGRAMS.keys()
    assert {address for did in parts.values() for address in did.addresses} == set()


def test_a_file_that_leads_to_another_is_noticed_where_nobody_looks_first(folder: Path) -> None:
    parts, pid = trace(folder, "neighbours of the planted file, unchecked")
    opened = parts["neighbours"].opened
    assert not_allowed(folder, "neighbours", opened, pid) == {str(folder / "secret")}
