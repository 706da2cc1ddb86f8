"""The root key in a file that only the server's user may read.

The file is one line of text, so that it survives being copied by hand::

    "keyturn-root-key-1:"   19
    key                     44   32 random bytes, base64
    LF                       1
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path
from typing import ClassVar, Self

from keyturn.crypto import aead
from keyturn.crypto.root_key import HeldRootKey
from keyturn.errors.crypto import RootKeyRefused
from keyturn.owner_only import OTHERS, read_with_mode

_PREFIX = b"keyturn-root-key-1:"
_FILE_BYTES = len(_PREFIX) + 44 + 1


class LocalFileProvider(HeldRootKey):
    """Wraps with the key in a local file."""

    kind: ClassVar[str] = "local-file"

    def __init__(self, key: bytes) -> None:
        super().__init__(key, kind=self.kind)

    @classmethod
    def create(cls, location: Path) -> Self:
        """Write a new root key to ``location``, on disk before this returns, readable by the owner only.

        Raises:
            RootKeyRefused: Something is there already, or the file cannot be written.
        """
        key = aead.new_key()
        try:
            descriptor = os.open(location, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError as error:
            raise RootKeyRefused(
                f"There is already a file at {location}; a root key is never overwritten.",
                "Use the root key that is there, or choose another place for the new one.",
            ) from error
        except OSError as error:
            raise RootKeyRefused(
                f"The root key file {location} cannot be created: {error.strerror}.",
                "Make sure that its directory exists and that the user who starts Keyturn may write to it.",
            ) from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_PREFIX + base64.b64encode(key) + b"\n")
                file.flush()
                os.fsync(descriptor)
            _sync_directory(location.parent)
        except OSError as error:
            # Half a root key is worse than none: nobody could tell why it does not open.
            location.unlink(missing_ok=True)
            raise RootKeyRefused(f"The root key file {location} cannot be written: {error.strerror}.") from error
        return cls(key)

    @classmethod
    def open(cls, location: Path) -> Self:
        """Read the root key at ``location``.

        Raises:
            RootKeyRefused: It is missing, unreadable, not a root key, or others may read it.
        """
        try:
            mode, text = read_with_mode(location, _FILE_BYTES)
        except FileNotFoundError as error:
            raise RootKeyRefused(
                f"There is no root key at {location}.",
                "Restore it from the place where you keep a copy: without it nothing in the database can be opened.",
                "For a new installation run: keyturn init",
            ) from error
        except OSError as error:
            raise RootKeyRefused(
                f"The root key file {location} cannot be read: {error.strerror}.",
                "Start Keyturn as the user who owns the file.",
            ) from error
        if not stat.S_ISREG(mode):
            raise RootKeyRefused(f"The root key {location} is not a regular file.")
        if mode & OTHERS:
            raise RootKeyRefused(
                f"The root key file {location} has mode {stat.S_IMODE(mode):04o}: others than its owner may use it.",
                f"Run: chmod 600 {location}",
                "If others had access to this machine, make a new root key.",
            )
        return cls(_key_of(text, location))


def _key_of(text: bytes, location: Path) -> bytes:
    hint = "Restore the file from a copy; it is one line that begins with keyturn-root-key-1:"
    if len(text) != _FILE_BYTES:
        size = f"{len(text)} bytes" if len(text) <= _FILE_BYTES else f"more than {_FILE_BYTES} bytes"
        raise RootKeyRefused(f"The root key file {location} has {size}; {_FILE_BYTES} are right.", hint)
    if not text.startswith(_PREFIX):
        raise RootKeyRefused(f"The file {location} is not a root key of this version of Keyturn.", hint)
    try:
        key = base64.b64decode(text[len(_PREFIX) : -1], validate=True)
    except binascii.Error:
        key = b""
    if len(key) != aead.KEY_BYTES:
        raise RootKeyRefused(f"The root key file {location} is damaged.", hint)
    return key


def _sync_directory(directory: Path) -> None:
    """Make the new name itself survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
