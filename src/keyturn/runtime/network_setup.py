"""Prepares a new network namespace from outside: loads its packet rules, and opens the server's sockets in it.

A file that stands alone, run as ``python -I -S network_setup.py FD`` (standard library only). A user namespace is
joined by a process of one thread, which the server is not; the sockets that it opens there stay there wherever they are
sent, so that the server can listen in a network to which it does not belong. ``FD`` is one end of a pair of sockets:
from it come the namespaces to join (the user namespace that it belongs to, if that is another, then the network's) with
a JSON document, and to it go the sockets, in order, with the byte ``1``; or a line that says what went wrong.

    listen    what to open on 127.0.0.1: pairs of ``tcp`` or ``udp`` and a port
    rules     a ruleset in nft's language; empty for none

The rules are loaded by nft's own library, in this process: a program started from here would lose the capabilities.
Source: setns(2), capabilities(7), unix(7) (SCM_RIGHTS), libnftables(3).
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
from typing import Any

_BACKLOG = 128
_PIECE_BYTES = 1024 * 1024
_MOST_DESCRIPTORS = 2


def main() -> None:
    """Read what is wanted, do it, answer."""
    with socket.socket(fileno=int(sys.argv[1])) as server:
        try:
            document, namespaces = read(server)
            sockets = prepare(json.loads(document), namespaces)
        except OSError as error:
            server.sendall(f"{error.strerror or error}\n".encode())
        else:
            socket.send_fds(server, [b"1"], [each.fileno() for each in sockets])


def read(server: socket.socket) -> tuple[bytes, list[int]]:
    """Return everything that the server sends until it stops, and the descriptors that came with it."""
    piece, descriptors, _, _ = socket.recv_fds(server, _PIECE_BYTES, _MOST_DESCRIPTORS)
    pieces = [piece]
    while piece := server.recv(_PIECE_BYTES):
        pieces.append(piece)
    return b"".join(pieces), descriptors


def prepare(wanted: dict[str, Any], namespaces: list[int]) -> list[socket.socket]:
    """Join the namespace, load its rules, open its sockets."""
    libc = ctypes.CDLL(None, use_errno=True)
    for descriptor in namespaces:
        if libc.setns(descriptor, 0):
            number = ctypes.get_errno()
            raise OSError(number, f"the namespace cannot be joined: {os.strerror(number)}")
    if wanted["rules"]:
        load(wanted["rules"])
    return [listen(kind, port) for kind, port in wanted["listen"]]


def load(rules: str) -> None:
    """Load packet rules into this namespace."""
    nft = ctypes.CDLL("libnftables.so.1")
    nft.nft_ctx_new.restype = ctypes.c_void_p
    nft.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    context = ctypes.c_void_p(nft.nft_ctx_new(0))
    nft.nft_ctx_buffer_error(context)
    if nft.nft_run_cmd_from_buffer(context, rules.encode()):
        said = (nft.nft_ctx_get_error_buffer(context) or b"").decode(errors="replace").split("\n")[0]
        raise OSError(0, f"the packet rules were refused: {said}")


def listen(kind: str, port: int) -> socket.socket:
    """Open one socket."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    opened.bind(("127.0.0.1", port))
    if kind == "tcp":
        opened.listen(_BACKLOG)
    return opened


if __name__ == "__main__":
    main()
