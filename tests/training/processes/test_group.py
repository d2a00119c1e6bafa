"""Connections of other users are told from this user's, and cut."""

import os
import socket
import sys

import pytest

from biofm.training.processes.group import drop_strangers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the tables of connections are Linux's")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_whoever_is_another_user_is_cut_off_from_listening_ports(family: socket.AddressFamily) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::"
    with (
        socket.create_server((host, 0), family=family, dualstack_ipv6=family == socket.AF_INET6) as server,
        socket.create_connection(("127.0.0.1", server.getsockname()[1])) as here,
        server.accept()[0] as there,
    ):
        assert drop_strangers() == 0
        here.sendall(b"?")
        assert there.recv(1) == b"?"

        assert drop_strangers(user=os.geteuid() + 1) == 1
        here.settimeout(10)
        assert here.recv(1) == b""


def test_who_has_gone_again_is_a_stranger_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = socket.create_connection(server.getsockname())
        with server.accept()[0]:
            here.close()
            assert drop_strangers() == 1
