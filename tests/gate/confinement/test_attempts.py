"""What a worker must not do, tried in real workers: each layer that refuses it does so alone, and without
these layers the worker does it.
"""

import json
import os
import signal
from ctypes import CDLL
from typing import Any, NamedTuple

import pytest

from biofm.core.errors import ProcessError, RefusedError
from biofm.gate.confinement import ALL_LAYERS, Layer
from biofm.gate.confinement.seccomp import load_library
from tests.gate.confinement.attempts import DONE
from tests.gate.confinement.conftest import Scene

FILES, CALLS, LIMITS = Layer.LANDLOCK, Layer.SECCOMP, Layer.LIMITS
AS_ROOT = os.geteuid() == 0


class Case(NamedTuple):
    """Holds an attempt, the layers that refuse it alone, and what the worker is granted."""

    name: str
    layers: tuple[Layer, ...]
    granted: dict[str, Any] = {}  # noqa: RUF012
    about: dict[str, Any] = {}  # noqa: RUF012


CASES = {
    "read a file outside the grant": Case("read", (FILES,)),
    "read it from a thread": Case("read_from_thread", (FILES,)),
    "list a folder": Case("list_folder", (FILES,), about={"path": "/etc"}),
    "write beside the output": Case("write", (FILES,), {"outputs": "output"}),
    "write without an output": Case("write", (FILES, CALLS)),
    "write a file that may be read": Case("rewrite_granted", (FILES, CALLS)),
    "cut a file that may be read": Case("cut", (FILES, CALLS)),
    "cut it beside an output": Case("cut", (FILES, CALLS), {"outputs": "output"}),
    "move a file out of the output": Case("move_out", (FILES,), {"outputs": "output"}),
    "open a file's rights": Case("change_mode", (CALLS,)),
    "change a file's time": Case("change_time", (CALLS,)),
    "speak TCP": Case("speak_tcp", (FILES, CALLS)),
    "speak TCP to another port": Case("speak_tcp", (FILES,), {"ports": ("other_port",)}),
    "speak TCP without a connection": Case("speak_at_once", (CALLS,), {"ports": ("other_port",)}),
    "listen": Case("listen", (FILES, CALLS)),
    "listen beside a granted port": Case("listen", (FILES, CALLS), {"ports": ("port",)}),
    "speak UDP": Case("speak_udp", (CALLS,)),
    "speak to a Unix socket": Case("speak_unix", (CALLS,)),
    "speak to an abstract socket": Case("speak_abstract", (FILES, CALLS)),
    "speak to the kernel": Case("speak_netlink", (CALLS,)),
    "make a pair of sockets": Case("make_pair", (CALLS,)),
    "fork": Case("fork", (CALLS,)),
    "start a program": Case("start_program", (FILES, CALLS)),
    "send the parent a signal": Case("signal_parent", (FILES, CALLS)),
    "ask for the parent's limits": Case("ask_limits_of_parent", (CALLS,)),
    "open its own memory": Case("read_own_memory", (FILES,)),
    "open its own memory for writing": Case("write_own_memory", (FILES, CALLS)),
    "make memory that no limit counts": Case("fill_hidden_memory", (CALLS,)),
}
NEEDS_ROOT = {"open its own memory", "open its own memory for writing"}
"""What the system refuses every account but root, even without a layer, since the worker leaves no core."""


def granted(case: Case, scene: Scene) -> dict[str, Any]:
    """What the worker is granted, with the names of ``scene.about`` replaced by their values."""
    values: dict[str, Any] = {}
    if "outputs" in case.granted:
        values["outputs"] = (scene.about[case.granted["outputs"]],)
    if "ports" in case.granted:
        values["ports"] = tuple(scene.about[name] for name in case.granted["ports"])
    return values


@pytest.fixture(autouse=True)
def _heard() -> Any:
    """Let a signal from a worker pass."""
    before = signal.signal(signal.SIGURG, lambda *_: None)
    yield
    signal.signal(signal.SIGURG, before)


@pytest.mark.parametrize("what", CASES)
def test_the_kernel_refuses_it_and_the_report_says_so(what: str, scene: Scene) -> None:
    case = CASES[what]
    with pytest.raises(RefusedError, match=r"its confinement refuses: \[Errno (1|13)\]"):
        scene.attempt(case.name, about=case.about, **granted(case, scene))
    (end,) = scene.ends
    assert (end.end, end.layers) == ("refused", ("landlock", "limits", "seccomp"))
    assert end.refused.startswith("[Errno ")


@pytest.mark.parametrize(
    ("what", "layer"), [(what, layer) for what, case in CASES.items() for layer in case.layers]
)
def test_each_layer_refuses_it_alone(what: str, layer: Layer, scene: Scene) -> None:
    case = CASES[what]
    with pytest.raises(RefusedError):
        scene.attempt(case.name, about=case.about, layers=frozenset({layer}), **granted(case, scene))


@pytest.mark.parametrize("what", CASES)
def test_without_these_layers_the_worker_does_it(what: str, scene: Scene) -> None:
    case = CASES[what]
    left = ALL_LAYERS - set(case.layers)
    if what in NEEDS_ROOT and not AS_ROOT:
        with pytest.raises(RefusedError):
            scene.attempt(case.name, about=case.about, layers=left, **granted(case, scene))
    else:
        found = scene.attempt(case.name, about=case.about, layers=left, **granted(case, scene))
        assert found == (DONE if case.name != "read" else "the secret text")


def test_a_worker_does_not_become_another_program(scene: Scene) -> None:
    for layers in (ALL_LAYERS, frozenset({FILES}), frozenset({CALLS})):
        with pytest.raises(RefusedError):
            scene.attempt("become_program", layers=layers)
    with pytest.raises(ProcessError, match="exit code 7"):
        scene.attempt("become_program", layers=frozenset({LIMITS}))


def test_the_parent_hears_no_signal_of_a_worker(scene: Scene) -> None:
    heard: list[int] = []
    signal.signal(signal.SIGURG, lambda number, _: heard.append(number))
    with pytest.raises(RefusedError):
        scene.attempt("signal_parent")
    assert heard == []
    scene.attempt("signal_parent", layers=frozenset({LIMITS}))
    assert heard == [signal.SIGURG]


def test_a_second_grant_opens_no_file_of_the_first(scene: Scene) -> None:
    other = scene.folder / "other"
    other.write_text("of another grant")
    with pytest.raises(RefusedError, match="Permission denied"):
        scene.attempt("read", about={"path": str(other)})
    about = {"path": str(other)}
    assert scene.attempt("read", about=about, layers=ALL_LAYERS - {FILES}) == "of another grant"


REFUSED_CALLS = [
    "accept",
    "add_key",
    "bpf",
    "chmod",
    "chown",
    "chroot",
    "clone",
    "execve",
    "execveat",
    "fanotify_init",
    "fchmod",
    "finit_module",
    "fsopen",
    "fork",
    "init_module",
    "inotify_init1",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "kcmp",
    "kexec_load",
    "keyctl",
    "lchown",
    "link",
    "memfd_create",
    "memfd_secret",
    "mknod",
    "mount",
    "mq_open",
    "msgget",
    "name_to_handle_at",
    "open_by_handle_at",
    "perf_event_open",
    "personality",
    "pidfd_open",
    "pidfd_send_signal",
    "pivot_root",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "getxattr",
    "lgetxattr",
    "listxattr",
    "llistxattr",
    "quotactl",
    "reboot",
    "request_key",
    "rt_sigqueueinfo",
    "sched_setscheduler",
    "seccomp",
    "semget",
    "setns",
    "setpriority",
    "setrlimit",
    "setuid",
    "setxattr",
    "shmget",
    "socket",
    "socketpair",
    "swapon",
    "symlink",
    "syslog",
    "tkill",
    "truncate",
    "umount2",
    "unshare",
    "userfaultfd",
    "utimensat",
    "vfork",
]
FREE_CALLS = {
    "add_key",
    "io_uring_setup",
    "keyctl",
    "memfd_create",
    "pidfd_open",
    "ptrace",
    "shmget",
    "unshare",
}
"""Those that an ordinary account may try without seccomp: here the kernel reads their arguments."""


def numbers(library: CDLL, names: list[str]) -> dict[str, int]:
    found = {name: library.seccomp_syscall_resolve_name(name.encode()) for name in names}
    return {name: number for name, number in found.items() if number >= 0}


def test_system_calls_beside_the_list_are_refused(scene: Scene) -> None:
    calls = numbers(load_library(), REFUSED_CALLS)
    assert len(calls) >= 40, "else little is checked"
    found = json.loads(scene.attempt("call", about={"calls": calls}))
    assert found == dict.fromkeys(calls, "EPERM")


def test_without_seccomp_the_kernel_answers_these_calls(scene: Scene) -> None:
    calls = numbers(load_library(), sorted(FREE_CALLS))
    found = json.loads(scene.attempt("call", about={"calls": calls}, layers=ALL_LAYERS - {CALLS}))
    assert "EPERM" not in found.values()


def test_the_c_library_is_told_to_use_older_calls(scene: Scene) -> None:
    calls = numbers(load_library(), ["clone3", "openat2"])
    found = json.loads(scene.attempt("call", about={"calls": calls}))
    assert found == {"clone3": "ENOSYS", "openat2": "ENOSYS"}
