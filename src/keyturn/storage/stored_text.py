"""Text that both databases take, out of text that a caller or a function made up."""

from __future__ import annotations


def storable(text: str) -> str:
    """Return ``text`` without what a database refuses: NUL (PostgreSQL) and lone surrogates (both).

    One such character would fail the whole transaction, and with it the records of everybody else in it.
    """
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
