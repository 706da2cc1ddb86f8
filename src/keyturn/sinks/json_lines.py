"""A file of JSON lines, one record a line (``rules/audit_line.py``), rotated and thinned out here or by logrotate.

What is delivered has reached the disk (``fdatasync``) before it counts as delivered. A line is whole or it is not
there: what an interrupted write has left behind is cut off before anything follows it.

Rotated files are called after the day and the first record in them: ``audit.jsonl.20260304-000000000000004097``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import ClassVar, Self

from keyturn.clock import Clock
from keyturn.rules.audit_line import line_of
from keyturn.rules.audit_record import ChainedRecord
from keyturn.sinks.base import Location, SinkError

_MAX_BYTES = 100 * 1024 * 1024
_READ_BYTES = 1 << 20
_FIRST_RECORD = re.compile(rb'\{"sequence":(\d{1,18}),', re.ASCII)
_NEW_LINE = b"\n"


class JsonLinesSink:
    """Appends to one file; survives that somebody else renames it, that the disk is full, and the end of the process.

    Args:
        path: Of the file; its directory must be there.
        clock: For days.
        max_bytes: A file is rotated before it grows beyond this; 0 for never.
        daily: Whether it is rotated when a new day begins (UTC).
        keep_files: How many rotated files stay; 0 for all.
        keep_days: How many days they stay; 0 for ever.
    """

    kind: ClassVar[str] = "json-lines"

    def __init__(
        self, path: Path, clock: Clock, *, max_bytes: int, daily: bool, keep_files: int, keep_days: int
    ) -> None:
        self._path = path
        self._clock = clock
        self._max_bytes = max_bytes
        self._daily = daily
        self._keep_files = keep_files
        self._keep_days = keep_days
        self._descriptor: int | None = None
        self._size_bytes = 0
        self._day: date | None = None

    @classmethod
    def open(cls, location: Location, clock: Clock) -> Self:
        """Read the options."""
        location.refuse_others("max_bytes", "daily", "keep_files", "keep_days")
        if location.transport or location.host or not location.path.startswith("/"):
            raise location.refusal("a path that begins with a slash is needed")
        return cls(
            Path(location.path),
            clock,
            max_bytes=location.number("max_bytes", _MAX_BYTES),
            daily=location.flag("daily", default=True),
            keep_files=location.number("keep_files", 0),
            keep_days=location.number("keep_days", 0),
        )

    def deliver(self, records: Sequence[ChainedRecord]) -> None:
        """Append records and bring them to the disk."""
        lines = [line_of(stored) + _NEW_LINE for stored in records]
        try:
            descriptor = self._current()
            batch: list[bytes] = []
            batch_bytes = 0
            for line in lines:
                if self._is_due(batch_bytes, len(line)):
                    self._append(descriptor, b"".join(batch))
                    descriptor, batch, batch_bytes = self._rotate(), [], 0
                batch.append(line)
                batch_bytes += len(line)
            self._append(descriptor, b"".join(batch))
        except OSError as error:
            self.close()
            raise SinkError(
                f"{self._path} cannot be written: {error.strerror}.",
                "Audit records wait in the database until it can.",
            ) from error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def _current(self) -> int:
        """Return the file as it is under its name now: somebody may have renamed it."""
        if self._descriptor is not None:
            opened = os.fstat(self._descriptor)
            with suppress(FileNotFoundError):
                if os.path.samestat(opened, self._path.stat()):
                    # Somebody may have emptied it.
                    self._size_bytes = opened.st_size
                    return self._descriptor
            self.close()
        return self._open()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = descriptor = os.open(self._path, flags, 0o600)
        status = os.fstat(descriptor)
        self._size_bytes = _cut_torn_line(descriptor, status.st_size)
        written_at = datetime.fromtimestamp(status.st_mtime, UTC) if self._size_bytes else self._clock.now()
        self._day = written_at.date()
        _sync_directory(self._path.parent)
        return descriptor

    def _is_due(self, batch_bytes: int, more_bytes: int) -> bool:
        """Say whether the file is to be rotated before another line."""
        if not self._size_bytes + batch_bytes:
            return False
        is_full = 0 < self._max_bytes < self._size_bytes + batch_bytes + more_bytes
        return is_full or (self._daily and self._day is not None and self._clock.now().date() > self._day)

    def _append(self, descriptor: int, data: bytes) -> None:
        """Write all of it or nothing, and bring it to the disk."""
        before = self._size_bytes
        try:
            written = 0
            while written < len(data):
                written += os.write(descriptor, data[written:])
            os.fdatasync(descriptor)
        except OSError:
            # If this fails as well, the next one to open the file does it.
            with suppress(OSError):
                os.ftruncate(descriptor, before)
            raise
        self._size_bytes += len(data)

    def _rotate(self) -> int:
        """Give the file the name under which it stays, and return a new one."""
        day = f"{self._day or self._clock.now().date():%Y%m%d}"
        first = _FIRST_RECORD.match(os.pread(self._descriptor or -1, 64, 0)) if self._descriptor is not None else None
        name = f"{self._path.name}.{day}-{int(first[1]) if first else 0:018}"
        target, number = self._path.with_name(name), 1
        while target.exists():
            target, number = self._path.with_name(f"{name}.{number}"), number + 1
        self.close()
        self._path.rename(target)
        self._thin_out()
        return self._open()

    def _thin_out(self) -> None:
        """Remove rotated files beyond how many, or how long, they are kept."""
        rotated = re.compile(re.escape(self._path.name) + r"\.\d{8}-\d{18}(\.\d+)?", re.ASCII)
        files = sorted(path for path in self._path.parent.iterdir() if rotated.fullmatch(path.name))
        gone = files[: -self._keep_files] if self._keep_files else []
        if self._keep_days:
            oldest = (self._clock.now() - timedelta(days=self._keep_days)).timestamp()
            gone += [path for path in files if path.stat().st_mtime < oldest]
        for path in gone:
            path.unlink(missing_ok=True)


def _cut_torn_line(descriptor: int, size_bytes: int) -> int:
    """Cut off a last line that has no end, and return the size that is left."""
    end = size_bytes
    while end:
        start = max(0, end - _READ_BYTES)
        piece = os.pread(descriptor, end - start, start)
        found = piece.rfind(_NEW_LINE)
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size_bytes:
        os.ftruncate(descriptor, end)
    return end


def _sync_directory(path: Path) -> None:
    """Bring a new file's name to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
