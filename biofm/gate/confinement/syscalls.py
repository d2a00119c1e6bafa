"""System calls: the closed list of those that a worker may make. The kernel refuses every other with EPERM.

A call that is allowed for some arguments only has conditions, which all must hold. The numbers are those of
Linux on x86-64 and ARM64, on which these arguments have the same places.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

from biofm.gate.confinement.grant import Grant


class When(NamedTuple):
    """Holds a condition: the bits ``mask`` of argument number ``argument`` equal ``value``."""

    argument: int
    value: int
    mask: int = (1 << 64) - 1


Allowed = tuple[str, tuple[When, ...]]

MEMORY = """
    brk madvise membarrier mincore mmap mprotect mremap msync munmap get_mempolicy
"""
FILES = """
    access chdir close close_range copy_file_range dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate
    fchdir fdatasync fgetxattr flistxattr flock fstat fstatfs fsync ftruncate getcwd getdents getdents64
    lseek lstat newfstatat pread64 preadv preadv2 pwrite64 pwritev
    pwritev2 read readahead readlink readlinkat readv sendfile stat statfs statx sync_file_range umask write
    writev
"""
"""What is done with opened files, and what tells names, sizes and times of files. Opening is below."""
THREADS = """
    exit exit_group futex futex_waitv get_robust_list getcpu gettid restart_syscall rseq
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getparam sched_getscheduler
    sched_yield set_robust_list set_tid_address
"""
SIGNALS_WITHIN = """
    alarm getitimer pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait
    setitimer sigaltstack
"""
TIME = "clock_getres clock_gettime clock_nanosleep gettimeofday nanosleep time times"
WAITING = """
    epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 pipe pipe2 poll
    ppoll pselect6 select
"""
ABOUT_ITSELF = """
    arch_prctl capget getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority getrandom
    getresgid getresuid getrlimit getrusage getsid getuid sysinfo uname
"""
ALWAYS = " ".join((MEMORY, FILES, THREADS, SIGNALS_WITHIN, TIME, WAITING, ABOUT_ITSELF)).split()

WITH_OUTPUT = ["creat", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "rmdir", "unlink", "unlinkat"]
"""What makes, moves and removes files. Landlock holds it to the output."""
WITH_PORTS = [
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "recvfrom",
    "recvmsg",
    "setsockopt",
    "shutdown",
]
"""What a client of TCP does. Landlock holds it to the ports."""

UNKNOWN = ("clone3", "openat2")
"""Calls that the kernel says it does not know (ENOSYS), so that the C library takes an older one, whose
arguments seccomp can read.
"""

CLONE_THREAD, CLONE_NEW = 0x10000, 0x7E020080
WRITES = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC
TRUNCATES = os.O_ACCMODE | os.O_TRUNC
AF_INET, AF_INET6, SOCK_STREAM, KIND_OF_SOCKET, TCP = 2, 10, 1, 0xF, 6
MSG_FASTOPEN = 0x20000000  # It connects without the call that Landlock watches.
IOCTLS = {
    "TCGETS": 0x5401,
    "TCGETS2": 0x802C542A,
    "TIOCGWINSZ": 0x5413,
    "FIONREAD": 0x541B,
    "FIONBIO": 0x5421,
    "FIONCLEX": 0x5450,
    "FIOCLEX": 0x5451,
}
"""Questions about a descriptor. Others change files that are open for reading only, or steer terminals."""
FCNTLS = {
    "F_DUPFD": 0,
    "F_GETFD": 1,
    "F_SETFD": 2,
    "F_GETFL": 3,
    "F_SETFL": 4,
    "F_GETLK": 5,
    "F_SETLK": 6,
    "F_SETLKW": 7,
    "F_OFD_GETLK": 36,
    "F_OFD_SETLK": 37,
    "F_OFD_SETLKW": 38,
    "F_DUPFD_CLOEXEC": 1030,
    "F_GETPIPE_SZ": 1032,
    "F_GET_SEALS": 1034,
}
"""Without those that send signals to other processes (F_SETOWN, F_SETSIG)."""
PRCTLS = {"PR_SET_NAME": 15, "PR_GET_NAME": 16, "PR_SET_VMA": 0x53564D41}
"""Names of threads and of memory."""


def allowed_calls(grant: Grant, own_pid: int) -> Iterator[Allowed]:
    """Yield what a worker may call, with the conditions on the arguments.

    Args:
        grant: What the worker may use.
        own_pid: The number of its process, the only one to which it may send signals.
    """
    writes = bool(grant.outputs or grant.devices)
    for name in [*ALWAYS, *(WITH_OUTPUT if grant.outputs else ()), *(WITH_PORTS if grant.ports else ())]:
        yield name, ()
    for name, flags in (("open", 1), ("openat", 2)):
        if writes:  # Landlock before version 3 does not see that a file opened for reading is cut.
            yield from ((name, (When(flags, mode, os.O_ACCMODE),)) for mode in (os.O_WRONLY, os.O_RDWR))
            yield name, (When(flags, os.O_RDONLY, TRUNCATES),)
        else:
            yield name, (When(flags, os.O_RDONLY, WRITES),)
    yield "clone", (When(0, CLONE_THREAD, CLONE_THREAD | CLONE_NEW),)
    yield "kill", (When(0, own_pid),)
    yield "tgkill", (When(0, own_pid),)
    yield "sched_setaffinity", (When(0, 0),)
    yield "prlimit64", (When(0, 0), When(2, 0))  # It asks for a limit and sets none.
    for name, argument, known in (("ioctl", 1, IOCTLS), ("fcntl", 1, FCNTLS), ("prctl", 0, PRCTLS)):
        yield from ((name, (When(argument, value),)) for value in known.values())
    if grant.devices:  # Each driver has commands of its own; Landlock holds them to the granted devices.
        yield "ioctl", ()
    if grant.ports:
        for family in (AF_INET, AF_INET6):
            for protocol in (0, TCP):
                yield "socket", (When(0, family), When(1, SOCK_STREAM, KIND_OF_SOCKET), When(2, protocol))
        yield "sendto", (When(3, 0, MSG_FASTOPEN),)
        yield "sendmsg", (When(2, 0, MSG_FASTOPEN),)
