"""What was erased, until the database's files are known to hold no copy of it.

A row that is deleted is gone for every statement at once, and its bytes stay: in SQLite's write-ahead log until it is
truncated, sometimes in a page's unused space; in PostgreSQL's dead row versions until they are vacuumed. Whoever
removes a value notes here what it looked like; ``Dialect.purger`` gets rid of it and looks whether it is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

# So much of a value is remembered: what SQLite keeps beyond it lies on pages of its own, which it overwrites.
PIECE_BYTES = 4096
# Beyond this many it is cheaper to suspect everything.
_MOST_PIECES = 10_000


class Erased:
    """Pieces of what was erased. Safe to share between threads.

    Args:
        is_known: False if a process that died may have erased something that nobody remembers.
    """

    def __init__(self, *, is_known: bool) -> None:
        self._lock = threading.Lock()
        self._is_due = not is_known
        self._pieces: list[bytes] | None = [] if is_known else None

    def add(self, pieces: Sequence[bytes]) -> None:
        """Remember what a committed transaction has erased."""
        with self._lock:
            self._is_due = True
            if self._pieces is not None:
                self._pieces.extend(pieces)
                if len(self._pieces) > _MOST_PIECES:
                    self._pieces = None

    def take(self) -> tuple[bool, list[bytes] | None]:
        """Return whether anything is to be purged, and of what; None if that is not known. It is forgotten here."""
        with self._lock:
            taken = self._is_due, self._pieces
            self._is_due, self._pieces = False, []
            return taken

    def put_back(self, pieces: list[bytes] | None) -> None:
        """Remember again what could not be purged."""
        with self._lock:
            self._is_due = True
            self._pieces = None if pieces is None or self._pieces is None else pieces + self._pieces
