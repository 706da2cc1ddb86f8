"""Files that hold something secret: read only if nobody but their owner may."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from keyturn.errors.base import KeyturnError
from keyturn.sensitive import Sensitive

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MOST_BYTES = 4096


def read_owner_only(path: Path, what: str) -> Sensitive[str]:
    """Return the text of a file, without the blanks around it.

    Args:
        path: Of the file.
        what: It holds, for messages: "The metrics token".

    Raises:
        KeyturnError: It is missing, unreadable, empty, too long or no text, or others may read it.
    """
    try:
        # Not to block, should somebody have put a named pipe there.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_MOST_BYTES + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise KeyturnError(
            f"{what} cannot be read from {path}: {error.strerror}.", "The user who starts Keyturn must own the file."
        ) from error
    if not stat.S_ISREG(mode):
        raise KeyturnError(f"{what}: {path} is not a regular file.")
    if mode & _OTHERS:
        raise KeyturnError(
            f"{what}: the file {path} has mode {stat.S_IMODE(mode):04o}: others than its owner may use it.",
            f"Run: chmod 600 {path}",
        )
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(data) > _MOST_BYTES or any(character < " " for character in text):
        raise KeyturnError(f"{what}: the file {path} must hold one line of plain text, and no more.")
    return Sensitive(text)
