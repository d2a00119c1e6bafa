"""What a worker of the tests tries, once the kernel confines it. Nothing here is imported by the tests."""

import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

DONE = "done"
UNIX, TCP, UDP = socket.AF_UNIX, socket.SOCK_STREAM, socket.SOCK_DGRAM


@dataclass(frozen=True)
class Attempt:
    """Names what is tried, and holds what it needs as a JSON text."""

    name: str
    about: str


@dataclass(frozen=True)
class Outcome:
    """Holds what an attempt found, or ``DONE``."""

    found: str


JOB = Attempt


def run(job: Attempt, files: Mapping[str, BinaryIO], memory: BinaryIO) -> Outcome:
    about = json.loads(job.about) | {"files": files, "memory": memory}
    found = ATTEMPTS[job.name](about)
    return Outcome(DONE if found is None else found)


def read(about: dict[str, Any]) -> str:
    with open(about["path"]) as file:
        return file.read()


def list_folder(about: dict[str, Any]) -> None:
    os.listdir(about["path"])


def read_granted(about: dict[str, Any]) -> str:
    return about["files"]["granted"].read().decode()


def reopen_granted(about: dict[str, Any]) -> str:
    with open(f"/proc/self/fd/{about['files']['granted'].fileno()}") as file:
        return file.read()


def write(about: dict[str, Any]) -> None:
    with open(about["path"], "w") as file:
        file.write("written")


def rewrite_granted(about: dict[str, Any]) -> None:
    os.close(os.open(f"/proc/self/fd/{about['files']['granted'].fileno()}", os.O_RDWR))


def cut(about: dict[str, Any]) -> None:
    os.close(os.open(about["granted"], os.O_RDONLY | os.O_TRUNC))


def move_out(about: dict[str, Any]) -> None:
    write({"path": f"{about['output']}/made"})
    os.rename(f"{about['output']}/made", about["path"])


def change_mode(about: dict[str, Any]) -> None:
    os.chmod(about["path"], 0o666)


def change_time(about: dict[str, Any]) -> None:
    os.utime(about["path"])


def fill_file(about: dict[str, Any]) -> None:
    with open(f"{about['output']}/long", "wb") as file:
        for _ in range(8):
            file.write(bytes(1 << 20))


def speak_tcp(about: dict[str, Any]) -> None:
    with socket.socket(socket.AF_INET, TCP) as connection:
        connection.connect(("127.0.0.1", about["port"]))


def speak_at_once(about: dict[str, Any]) -> None:
    with socket.socket(socket.AF_INET, TCP) as connection:
        connection.sendto(b"data", socket.MSG_FASTOPEN, ("127.0.0.1", about["port"]))


def listen(about: dict[str, Any]) -> None:
    with socket.socket(socket.AF_INET, TCP) as connection:
        connection.bind(("127.0.0.1", 0))
        connection.listen()


def speak_udp(about: dict[str, Any]) -> None:
    with socket.socket(socket.AF_INET, UDP) as connection:
        connection.sendto(b"data", ("127.0.0.1", about["udp_port"]))


def speak_unix(about: dict[str, Any]) -> None:
    with socket.socket(UNIX, TCP) as connection:
        connection.connect(about["unix"])


def speak_abstract(about: dict[str, Any]) -> None:
    with socket.socket(UNIX, TCP) as connection:
        connection.connect("\0" + about["abstract"])


def speak_netlink(about: dict[str, Any]) -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


def make_pair(about: dict[str, Any]) -> None:
    for one in socket.socketpair():
        one.close()


def fork(about: dict[str, Any]) -> None:
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)


def start_program(about: dict[str, Any]) -> None:
    subprocess.run(["/bin/sh", "-c", "exit 0"], check=True)


def become_program(about: dict[str, Any]) -> None:
    os.execv("/bin/sh", ["sh", "-c", "exit 7"])


def signal_parent(about: dict[str, Any]) -> None:
    os.kill(os.getppid(), signal.SIGURG)


def ask_limits_of_parent(about: dict[str, Any]) -> None:
    resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)


def read_own_memory(about: dict[str, Any]) -> None:
    os.close(os.open("/proc/self/mem", os.O_RDONLY))


def write_own_memory(about: dict[str, Any]) -> None:
    os.close(os.open("/proc/self/mem", os.O_RDWR))


def fill_memory(about: dict[str, Any]) -> None:
    mmap.mmap(-1, 6 << 30).close()


def fill_hidden_memory(about: dict[str, Any]) -> None:
    os.close(os.memfd_create("hidden"))


def compute_for_ever(about: dict[str, Any]) -> None:
    while True:
        pass


def wait_for_ever(about: dict[str, Any]) -> None:
    time.sleep(3600)


def close_answer_and_wait(about: dict[str, Any]) -> None:
    for descriptor in range(3, 64):
        with suppress(OSError):
            os.close(descriptor)
    time.sleep(3600)


def start_thread(about: dict[str, Any]) -> str:
    found: list[str] = []
    thread = threading.Thread(target=found.append, args=("from a thread",))
    thread.start()
    thread.join()
    return found[0]


def read_from_thread(about: dict[str, Any]) -> None:
    faults: list[BaseException] = []

    def look() -> None:
        try:
            read(about)
        except OSError as error:
            faults.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    for fault in faults:
        raise fault


def tell_environment(about: dict[str, Any]) -> str:
    return json.dumps(dict(os.environ))


def tell_capabilities(about: dict[str, Any]) -> str:
    with open("/proc/self/status") as status:
        return next(line.split()[1] for line in status if line.startswith("CapEff"))


def tell_descriptor(about: dict[str, Any]) -> str:
    try:
        os.fstat(about["descriptor"])
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "open"


def call(about: dict[str, Any]) -> str:
    """Make system calls with empty arguments, and tell how each ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    found: dict[str, str] = {}
    for name, number in about["calls"].items():
        ctypes.set_errno(0)
        libc.syscall(ctypes.c_long(number), *[ctypes.c_long(0)] * 6)
        found[name] = errno.errorcode.get(ctypes.get_errno(), "")
    return json.dumps(found)


def fill_memory_given(about: dict[str, Any]) -> None:
    about["memory"].write(b"from the worker")


def answer_twice(about: dict[str, Any]) -> str:
    return "x" * (2 << 20)


def crash(about: dict[str, Any]) -> None:
    os.abort()


def fail(about: dict[str, Any]) -> None:
    raise ZeroDivisionError("nothing is left")


def tell_pid_and_wait(about: dict[str, Any]) -> None:
    with open(about["output"], "w") as file:
        file.write(str(os.getpid()))
    time.sleep(3600)


ATTEMPTS: dict[str, Callable[[dict[str, Any]], str | None]] = {
    name: value for name, value in globals().items() if callable(value) and name != "run"
}
