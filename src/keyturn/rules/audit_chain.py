"""The chain of the audit trail: each record is sealed together with every record before it.

What a record's link is::

    link = HMAC-SHA-256(key, MessagePack([link of the record before, sequence, column, column, ...]))

Columns are those of :class:`keyturn.rules.audit_record.AuditRecord` in their order. MessagePack tells texts, numbers,
truth values and nothing apart and says how long each is, so no two records have the same bytes. The record before the
first is :data:`START`. Sequences have no gaps, and one of them is in every link: whoever does not have the key can
neither change, add, remove nor move a record without breaking a link. What they can do is to cut the end off, or to put
an older copy of everything in place: that is for anchors, which are sealed with the same key::

    seal = HMAC-SHA-256(key, MessagePack([name, value, value, ...]))

A link's message begins with bytes and a seal's with text, so that neither passes for the other.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import NamedTuple, Self

import msgspec

from keyturn.sensitive import Sensitive

LINK_BYTES = 32
START = bytes(LINK_BYTES)
# What the first record continues that was written after the beginning of the chain was lost: nobody calculates it.
LOST = b"\xff" * LINK_BYTES
_BLOCK_BYTES = 64
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))
_POSITION = re.compile(r"(\d{1,18}):([0-9a-f]{64})", re.ASCII)
_pack = msgspec.msgpack.Encoder().encode


class Position(NamedTuple):
    """A place in the chain. Whoever knows one knows everything up to it."""

    sequence: int
    link: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the position that :meth:`__str__` wrote.

        Raises:
            ValueError: It is none.
        """
        match = _POSITION.fullmatch(text.strip().lower())
        if match is None:
            raise ValueError("A position is a number, a colon and 64 hexadecimal digits.")
        return cls(int(match[1]), bytes.fromhex(match[2]))

    def __str__(self) -> str:
        return f"{self.sequence}:{self.link.hex()}"


class ChainKey:
    """Makes links and seals. Safe to share between threads.

    Args:
        key: 32 bytes that nobody has who has only the database.
    """

    def __init__(self, key: Sensitive[bytes]) -> None:
        # HMAC from two prepared states takes half the time of hmac.digest; a link is made for every call.
        block = key.reveal().ljust(_BLOCK_BYTES, b"\0")
        if len(block) > _BLOCK_BYTES:
            raise ValueError("The key of a chain has at most 64 bytes.")
        self._inner = hashlib.sha256(block.translate(_INNER_PAD))
        self._outer = hashlib.sha256(block.translate(_OUTER_PAD))

    def link(self, before: bytes, sequence: int, columns: Iterable[object]) -> bytes:
        """Return the link of a record.

        Args:
            before: The link of the record before it.
            sequence: One more than that of the record before it.
            columns: What is stored of it.
        """
        return self._sealed(_pack((before, sequence, *columns)))

    def seal(self, name: str, *values: int | str | bytes | None) -> bytes:
        """Return the seal of a statement that must not be made up, such as where the chain begins."""
        return self._sealed(_pack((name, *values)))

    def is_seal(self, seal: bytes, name: str, *values: int | str | bytes | None) -> bool:
        """Say whether this key has sealed the statement."""
        return hmac.compare_digest(seal, self.seal(name, *values))

    def _sealed(self, message: bytes) -> bytes:
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()
