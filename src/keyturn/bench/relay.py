"""What stands between a function and its database: passes bytes on, and asks at each boundary whether to.

It knows no protocol. What a function sends in one go is one message, what comes back next its answer; a connection may
be encrypted.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

from .boundaries import MESSAGE, Boundary, Watch

HOST = "127.0.0.1"
_CHUNK_BYTES = 64 * 1024
_CONNECT_SECONDS = 5


class Relay:
    """Listens on a free loopback port for connections to one address. Use it in a ``with``.

    Args:
        address: Host and port of the database.
        watch: Is asked.
    """

    def __init__(self, address: tuple[str, int], watch: Watch) -> None:
        self._address = address
        self._watch = watch
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_silent = False
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._accepting = self._start()

    def refuse(self) -> None:
        """Have new connections refused, and end those there are, as if the database had gone down."""
        with contextlib.suppress(OSError):
            # Closing alone would not wake the thread that waits in accept().
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        self._end_all()

    def fall_silent(self) -> None:
        """Take connections and bytes from now on and answer nothing, as a firewall that drops packets."""
        self._is_silent = True

    def admit(self) -> None:
        """Be there again; connections that were not answered end."""
        if self._is_silent:
            self._is_silent = False
            self._end_all()
        if self._listener.fileno() == -1:
            self._listener = socket.create_server((HOST, self.port))
            self._accepting = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._listener.fileno() != -1:
            self.refuse()

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True, name="relay")
        thread.start()
        return thread

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True, name="relay").start()

    def _serve(self, client: socket.socket) -> None:
        if self._is_silent:
            # Its end comes with admit().
            return
        try:
            database = socket.create_connection(self._address, _CONNECT_SECONDS)
        except OSError:
            self._end(client)
            return
        database.settimeout(None)
        with self._lock:
            self._open.add(database)
        waits_for_answer = threading.Event()
        back = threading.Thread(target=self._answer, args=(database, client, waits_for_answer), daemon=True)
        back.start()
        self._ask(client, database, waits_for_answer)
        back.join()

    def _ask(self, client: socket.socket, database: socket.socket, waits_for_answer: threading.Event) -> None:
        """Pass on what the function sends."""
        with contextlib.suppress(OSError):
            while chunk := client.recv(_CHUNK_BYTES):
                if self._is_silent:
                    continue
                if self._watch.reached(Boundary(MESSAGE, "before")).is_cut:
                    break
                waits_for_answer.set()
                database.sendall(chunk)
        self._end(client, database)

    def _answer(self, database: socket.socket, client: socket.socket, waits_for_answer: threading.Event) -> None:
        """Pass on what the database sends."""
        with contextlib.suppress(OSError):
            while chunk := database.recv(_CHUNK_BYTES):
                is_first = waits_for_answer.is_set()
                waits_for_answer.clear()
                if is_first and self._watch.reached(Boundary(MESSAGE, "after")).is_cut:
                    break
                if not self._is_silent:
                    client.sendall(chunk)
        self._end(client, database)

    def _end(self, *sockets: socket.socket) -> None:
        with self._lock:
            for each in sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                if each in self._open:
                    self._open.discard(each)
                    each.close()

    def _end_all(self) -> None:
        with self._lock:
            sockets = list(self._open)
        self._end(*sockets)
