"""The data directory: made once, private, and used by one server at a time."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from keyturn.errors.base import KeyturnError

_LOCK_FILE = "lock"


class DataDirectory:
    """A directory that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def create(self) -> None:
        """Make the directory unless it exists; in either case nobody but the owner may look inside.

        Where the server runs as root, functions without a sandbox run as users of their own, who must get through to
        their package: they may pass through the directory to what they know by name, and every file in it is closed.

        Raises:
            KeyturnError: It cannot be made or written.
        """
        try:
            mode = 0o711 if os.geteuid() == 0 else 0o700
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if stat.S_IMODE(self.path.stat().st_mode) != mode:
                self.path.chmod(mode)
        except OSError as error:
            raise KeyturnError(
                f"The data directory {self.path} cannot be made: {error.strerror}.",
                "Choose another with --data-dir, or make it writable.",
            ) from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise KeyturnError(
                f"The data directory {self.path} is not writable.",
                "Choose another with --data-dir, or make it writable for the user that runs keyturn.",
            )

    def lock(self) -> None:
        """Keep other servers away until this process ends, however it ends.

        Raises:
            KeyturnError: Another server uses the directory, or it is missing or not writable.
        """
        try:
            descriptor = os.open(self.path / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError as error:
            raise KeyturnError(f"There is no data directory {self.path}.", "Run: keyturn init") from error
        except OSError as error:
            raise KeyturnError(
                f"The data directory {self.path} is not writable: {error.strerror}.",
                "Choose another with --data-dir, or make it writable for the user that runs keyturn.",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise KeyturnError(
                f"Another keyturn server is running on {self.path}.",
                "Stop that one first, or give this one a data directory of its own with --data-dir.",
            ) from error
        self._lock = descriptor

    def unlock(self) -> None:
        """Let other servers in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
