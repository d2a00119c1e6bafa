"""Runs a command as if on another machine, beside a hostile user of that machine.

The machine's host name resolves to another address than the loopback one. The other user, the neighbour,
connects to every port and sends bytes while the command runs. Run it as root by
``unshare --net --uts --mount``.

Arguments: a folder for notes, the pickle that the neighbour sends, and the command. It answers in JSON: the
exit code, what the command printed, the addresses that ss saw listening, how often the neighbour connected,
and which folders of the command the neighbour could open.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

NOBODY = 65534
ADDRESS = "10.9.8.7"
# Messages of torch's TCPStore: the greeting with its magic number, and the command to set a key.
VALIDATE, SET = struct.pack("<BI", 0, 0x3C85F7CE), b"\x01"


def move() -> None:
    """Change the name and the address of the machine."""
    Path("hosts").write_text(f"127.0.0.1 localhost\n{ADDRESS} elsewhere\n")
    socket.sethostname("elsewhere")
    subprocess.run(["mount", "--bind", "hosts", "/etc/hosts"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
    assert socket.gethostbyname(socket.gethostname()) == ADDRESS


def text(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


def messages(word: bytes) -> list[bytes]:
    """Return noise, the numbers that gloo expects, and words for the turns of a run."""
    words = [SET + text(f"/biofm/turn/{turn}".encode()) + text(word) for turn in range(1, 20)]
    return [
        os.urandom(64), *(struct.pack("<Q", number) * 4 for number in range(3)), b"GET / HTTP/1.0\r\n\r\n",
        VALIDATE + b"".join(words),
    ]  # fmt: skip


def harass(word: bytes, notes: Path) -> None:
    """Connect to every port as another user, without end."""
    held: list[socket.socket] = []
    with notes.open("a", buffering=1) as file:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        while True:
            for place in Path(tempfile.gettempdir()).glob("biofm-*/words"):
                print("opened", place, file=file)
            for host, port in listening():
                for message in messages(word):
                    with suppress(OSError):
                        connection = socket.create_connection((host, port), timeout=1)
                        connection.sendall(message)
                        held = [*held[-100:], connection]
                        print("reached", host, port, file=file)
            time.sleep(0.02)


def listening() -> set[tuple[str, int]]:
    """Return the addresses and ports that ss sees listening."""
    rows = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout.splitlines()
    places = [row.split()[3].rpartition(":") for row in rows]
    return {(host.strip("[]*").partition("%")[0] or "::", int(port)) for host, _, port in places}


def main(folder: Path, word: bytes, command: list[str]) -> None:
    os.chdir(folder)
    move()
    notes = folder / "notes.txt"
    neighbour = os.fork()
    if neighbour == 0:
        try:
            harass(word, notes)
        finally:
            os._exit(1)
    seen: set[str] = set()
    with Path("stderr.txt").open("w") as errors, subprocess.Popen(command, stderr=errors) as process:
        while process.poll() is None:
            seen |= {host for host, _ in listening()}
            time.sleep(0.05)
    os.kill(neighbour, signal.SIGKILL)
    noted = notes.read_text().splitlines()
    print(json.dumps({
        "exit code": process.returncode, "said": Path("stderr.txt").read_text(), "listened": sorted(seen),
        "reached": sum(line.startswith("reached") for line in noted),
        "opened": [line for line in noted if line.startswith("opened")],
    }))  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), sys.argv[3:])
