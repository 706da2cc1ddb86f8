"""What ``/proc`` says about a tree of processes: its members, its memory, and whose end of a connection a socket is."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from pathlib import Path

_PROC = Path("/proc")
_KIB = 1024
_SOCKET_LINK = re.compile(r"socket:\[(\d+)\]")


def descendants(root: int) -> list[int]:
    """Process ids below ``root``, nearest first. Processes that end meanwhile are left out."""
    found: list[int] = []
    queue = [root]
    while queue:
        below = children(queue.pop(0))
        found += below
        queue += below
    return found


def children(pid: int) -> list[int]:
    """Process ids of the children of ``pid``, whichever of its threads started them."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in (_PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(child) for child in (task / "children").read_bytes().split()]
    return found


def resident_bytes(pids: list[int]) -> int:
    """Memory the processes occupy together; pages they share are counted for each."""
    return sum(_status_kib(pid, "VmRSS") for pid in pids) * _KIB


def proportional_bytes(pids: list[int]) -> int:
    """Memory the processes occupy together; a page shared by n of them counts as its nth part.

    Slow: milliseconds for each process.
    """
    return sum(_status_kib(pid, "Pss", "smaps_rollup") for pid in pids) * _KIB


def peak_bytes(pid: int) -> int:
    """The most memory a process ever occupied."""
    return _status_kib(pid, "VmHWM") * _KIB


def _status_kib(pid: int, field: str, file: str = "status") -> int:
    try:
        text = (_PROC / str(pid) / file).read_text()
    except OSError:
        return 0
    match = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) if match else 0


def holds_peer(root: int, peer: tuple[str, int], local: tuple[str, int]) -> bool:
    """Whether the other end of a loopback connection is held by a process below ``root``.

    Args:
        root: Process id.
        peer: IPv4 address and port of the other end.
        local: IPv4 address and port of our end.
    """
    inode = _socket_inode(peer, local)
    return inode is not None and any(_holds_socket(pid, inode) for pid in descendants(root))


def _socket_inode(own: tuple[str, int], other: tuple[str, int]) -> int | None:
    wanted = f" {_hex_address(own)} {_hex_address(other)} "
    for line in (_PROC / "net" / "tcp").read_text().splitlines():
        if wanted in line:
            inode = int(line.split()[9])
            # A socket that nobody holds any more has inode 0.
            return inode or None
    return None


def _hex_address(address: tuple[str, int]) -> str:
    # The kernel prints the address as a number of its own byte order.
    return f"{struct.unpack('=I', socket.inet_aton(address[0]))[0]:08X}:{address[1]:04X}"


def _holds_socket(pid: int, inode: int) -> bool:
    with contextlib.suppress(OSError):
        for descriptor in (_PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                match = _SOCKET_LINK.fullmatch(str(descriptor.readlink()))
                if match and int(match[1]) == inode:
                    return True
    return False


def thread_count(user: int) -> int:
    """How many threads of a user this machine runs now."""
    total = 0
    for process in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.stat().st_uid == user:
                total += sum(1 for _ in (process / "task").iterdir())
    return total
