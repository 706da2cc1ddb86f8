"""Runs inside of a network namespace that a test made, and does there what it is told: one JSON array a line.

Its own child runs in a second namespace, which stands for all the world: it is at the other end of the only wire, and
has no wire of its own, so that no packet of a test leaves the machine.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def run(script: str, *arguments: str) -> str:
    """Run a program, and return what it prints."""
    command = [script, *arguments]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise RuntimeError(f"{command}: {found.stderr}")
    return found.stdout


def load(rules: str) -> str:
    """Load packet rules."""
    found = subprocess.run(["nft", "-f", "-"], input=rules, capture_output=True, text=True, check=False)
    return found.stderr


def listen(protocol: str, address: str, port: int, name: str) -> str:
    """Answer at an address: with a name, and the address that was reached."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.socket(family, _KINDS[protocol])
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, port))
    if protocol == "tcp":
        server.listen(64)
    threading.Thread(target=_serve if protocol == "tcp" else _serve_udp, args=(server, name), daemon=True).start()
    return "listening"


def _serve(server: socket.socket, name: str) -> None:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(f"{name} {connection.getsockname()[0]}".encode())


def _serve_udp(server: socket.socket, name: str) -> None:
    while True:
        _, peer = server.recvfrom(100)
        server.sendto(name.encode(), peer)


def reach(protocol: str, address: str, port: int, seconds: float, device: str = "", then_device: str = "") -> str:
    """Return what answers at an address, ``silence`` if nothing does in time, or the error's name.

    With ``device`` it is asked by that network device, which needs no privilege; with ``then_device``, asked once more
    by that one, on the same connection.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, _KINDS[protocol]) as client:
        client.settimeout(seconds)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        try:
            client.connect((address, port))
            if protocol == "udp":
                client.send(b"?")
            answer = client.recv(100).decode()
            if then_device:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, then_device.encode())
                client.send(b"?")
                answer = client.recv(100).decode()
        except TimeoutError:
            return "silence"
        except OSError as error:
            return type(error).__name__
    return answer


_ACTS: dict[str, Callable[..., str]] = {"run": run, "load": load, "listen": listen, "reach": reach}


def main() -> None:
    """Do what each line says; a line for the world outside is handed on."""
    outside: subprocess.Popen[str] | None = None
    for line in sys.stdin:
        where, what, arguments = json.loads(line)
        if what == "begin":
            command = ["unshare", "--net", sys.executable, __file__]
            outside = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            answer = json.dumps(outside.pid)
        elif where == "outside" and outside is not None and outside.stdin is not None and outside.stdout is not None:
            outside.stdin.write(json.dumps(["inside", what, arguments]) + "\n")
            outside.stdin.flush()
            answer = outside.stdout.readline().strip()
        else:
            answer = json.dumps(_ACTS[what](*arguments))
        print(answer, flush=True)


if __name__ == "__main__":
    main()
