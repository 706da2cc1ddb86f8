"""Copies of erased bytes in an SQLite file.

With ``secure_delete`` SQLite overwrites a row that is deleted and every page that becomes free. It does not overwrite
the place that a row has left when pages are rebalanced: the bytes stay in the unused space of the page, and no later
deletion of the row reaches them (seen in SQLite 3.40: for up to two in a thousand rows of a table that was written
and deleted at random). So whoever must know has to look.

A table's leaf page (SQLite documentation, "Database File Format", section 1.6)::

    type           1   0x0d
    ...            2
    cells          2   how many, big endian
    content        2   where the cells' content starts, 0 for 65536
    ...            1
    pointers       2 x cells
    unused space       up to content; all zeros unless something was left behind
    content
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator

_PAGE_SIZE_AT = 16
_LEAF = 0x0D
_HEADER = struct.Struct(">xxxHHx")
_READ_BYTES = 1 << 20
# A copy of this length and _STEP_BYTES more is found wherever it begins; less is no use to anybody.
_SAMPLE_BYTES = 16
_STEP_BYTES = 32


class SqliteFile:
    """The pages of a database file, read past SQLite.

    The file stays open until :meth:`close`: closing any descriptor of it takes away the locks that SQLite holds on it
    in this process (SQLite documentation, "How To Corrupt An SQLite Database File", section 2.2).
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    def holds(self, erased: Collection[bytes]) -> bool:
        """Say whether unused space holds a copy of something.

        The caller sees to it that nothing is written to the file meanwhile.

        Args:
            erased: What no page should hold any more.

        Raises:
            OSError: The file cannot be read.
        """
        samples = {
            piece[start : start + _SAMPLE_BYTES]
            for piece in erased
            for start in range(0, len(piece) - _SAMPLE_BYTES + 1, _STEP_BYTES)
        }
        return bool(samples) and any(
            space[start : start + _SAMPLE_BYTES] in samples
            for space in self._left_behind()
            for start in range(len(space) - _SAMPLE_BYTES + 1)
        )

    def close(self) -> None:
        """Give the file back; nothing of SQLite may have it open any more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _left_behind(self) -> Iterator[bytes]:
        """Unused space of leaf pages that is not empty."""
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        (page_size,) = struct.unpack(">H", os.pread(self._descriptor, 2, _PAGE_SIZE_AT))
        page_bytes = 65536 if page_size == 1 else page_size
        at = 0
        while pages := os.pread(self._descriptor, _READ_BYTES, at):
            at += len(pages)
            for page in range(0, len(pages), page_bytes):
                if pages[page] != _LEAF:
                    continue
                cells, content = _HEADER.unpack_from(pages, page)
                start, end = page + _HEADER.size + 2 * cells, page + (content or 65536)
                if pages.count(0, start, end) != end - start:
                    yield pages[start:end].strip(b"\0")
