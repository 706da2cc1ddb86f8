"""Files that hold something secret: read only if nobody but their owner may."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from keyturn.errors.base import KeyturnError
from keyturn.sensitive import Sensitive

OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""The bits of a mode that let others than the owner use a file."""

_MOST_BYTES = 4096


def read_with_mode(path: Path, most_bytes: int) -> tuple[int, bytes]:
    """Return the mode of a file and its beginning, one byte more than it may have; of what is no regular file nothing.

    Raises:
        OSError: It is missing or unreadable.
    """
    # Not to block, should somebody have put a named pipe there.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        return mode, file.read(most_bytes + 1) if stat.S_ISREG(mode) else b""


def create_owner_only(path: Path, text: str) -> None:
    """Make a file that nobody but its owner may read, from the first moment.

    Raises:
        OSError: There is something already, or it cannot be made.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def read_owner_only(path: Path, what: str) -> Sensitive[str]:
    """Return the text of a file, without the blanks around it.

    Args:
        path: Of the file.
        what: It holds, for messages: "The metrics token".

    Raises:
        KeyturnError: It is missing, unreadable, empty, too long or no text, or others may read it.
    """
    try:
        mode, data = read_with_mode(path, _MOST_BYTES)
    except OSError as error:
        raise KeyturnError(
            f"{what} cannot be read from {path}: {error.strerror}.", "The user who starts Keyturn must own the file."
        ) from error
    if not stat.S_ISREG(mode):
        raise KeyturnError(f"{what}: {path} is not a regular file.")
    if mode & OTHERS:
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
