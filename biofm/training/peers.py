"""Who is at the other end of this process's connections, on one machine.

gloo, which carries tensors between processes, takes whoever connects first and sends a small number for the
process that it awaits. On the loopback address that may be another user of the machine, until the right
processes are connected. From then on it listens to nobody else, so strangers are looked for once, then.
"""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

TABLES = Path("/proc/net/tcp"), Path("/proc/net/tcp6")  # of Linux; elsewhere nothing is known
ESTABLISHED, LISTENING = "01", "0A"
IPV4_IN_IPV6 = "0000000000000000FFFF0000"  # before an address; the other end may be in either table


class _Connection(NamedTuple):
    """A row of the tables: the address here, the one at the other end, the state, its user and its socket."""

    here: str
    there: str
    state: str
    user: int
    socket: str


def drop_strangers(user: int | None = None) -> int:
    """Shut down what anybody but ``user``, by default this process's, has connected to its listening ports;
    how many that were. What gloo had taken for a process is then a lost one.
    """
    user = os.geteuid() if user is None else user
    own = dict(_own_sockets())
    connections = list(_connections())
    of_own = [it for it in connections if it.socket in own]
    ports = {_port(it) for it in of_own if it.state == LISTENING}
    users = {(it.here, it.there): it.user for it in connections if it.state == ESTABLISHED}
    accepted = [it for it in of_own if _port(it) in ports and it.state != LISTENING]
    strange = [it for it in accepted if it.state != ESTABLISHED or users.get((it.there, it.here)) != user]
    for it in strange:
        with suppress(OSError), socket.socket(fileno=os.dup(own[it.socket])) as connection:
            connection.shutdown(socket.SHUT_RDWR)
    return len(strange)


def _port(connection: _Connection) -> str:
    return connection.here.rpartition(":")[2]


def _own_sockets() -> Iterator[tuple[str, int]]:
    """By their numbers in the tables the descriptors of this process."""
    for link in Path("/proc/self/fd").glob("*"):
        with suppress(FileNotFoundError):  # closed meanwhile
            if found := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link)):
                yield found[1], int(link.name)


def _connections() -> Iterator[_Connection]:
    for table in TABLES:
        if table.exists():
            for line in table.read_text().splitlines()[1:]:
                row = line.replace(IPV4_IN_IPV6, "").split()
                yield _Connection(row[1], row[2], row[3], int(row[7]), row[9])
