"""Where anchors are kept: in a file of the data directory, and in the state database.

The file is as new as the last second and knows when the journal, or the whole database, is replaced by an older copy.
The one in the state is a minute old at most and knows when the journal is, even if the file was replaced with it.

The state database notes, too, that the chain has begun, sealed as an anchor of its beginning: a journal in which
nothing says so any more is not a new one.

An anchor that the trail contradicts when a server starts is kept as evidence in a file of its own, one a line: the
trail goes on and would soon be longer than what is missing. As long as that file is there, whoever verifies is told.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.dialects import postgresql

from keyturn.errors.base import KeyturnError
from keyturn.rules.audit_anchor import ANCHOR_FILE, EVIDENCE_FILE, Anchor
from keyturn.rules.audit_chain import ChainKey
from keyturn.storage import schema

_SETTING = "audit_anchor"
_BEGUN = "audit_chain_begun"
_FOUND = select(schema.settings.c.value).where(schema.settings.c.name == bindparam("name"))
_INSERT = postgresql.insert(schema.settings)
_STORE = _INSERT.on_conflict_do_update(index_elements=["name"], set_={"value": _INSERT.excluded.value})
_GENERATION = select(func.coalesce(func.max(schema.changes.c.generation), 0))


class AnchorFile:
    """The anchor and the evidence in a data directory."""

    def __init__(self, directory: Path, key: ChainKey) -> None:
        self._path = directory / ANCHOR_FILE
        self._evidence_path = directory / EVIDENCE_FILE
        self._key = key

    def read(self) -> Anchor | None:
        """Return the anchor; None if there is none.

        Raises:
            KeyturnError: It is damaged, or not Keyturn's.
        """
        found = self._read(self._path)
        return found[0] if found else None

    def write(self, anchor: Anchor) -> None:
        """Replace the anchor; whoever reads sees the old one or the new one.

        Raises:
            OSError: It cannot be written; the old one is there still.
        """
        beside = self._path.with_suffix(".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, anchor.to_text(self._key).encode() + b"\n")
            # Without this a power cut could leave an empty file behind: evidence of nothing, which looks like much.
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.replace(self._path)

    @property
    def exists(self) -> bool:
        """Whether there is an anchor, whoever wrote it."""
        return self._path.exists()

    @property
    def has_evidence(self) -> bool:
        """Whether the trail contradicted an anchor at some time, and nobody has removed the file since."""
        return self._evidence_path.exists()

    def evidence(self) -> list[Anchor]:
        """Return the anchors that the trail contradicted when a server started, oldest first.

        Raises:
            KeyturnError: The file is damaged.
        """
        return self._read(self._evidence_path)

    def text(self) -> str | None:
        """Return the anchor as it is in the file, whoever wrote it; None if there is none.

        Raises:
            OSError: It cannot be read.
        """
        with suppress(FileNotFoundError):
            return self._path.read_text(errors="replace").strip()
        return None

    def keep_as_evidence(self, texts: Sequence[str]) -> None:
        """Keep anchors that the trail contradicts, or that are damaged, one a line.

        Raises:
            OSError: They cannot be kept.
        """
        descriptor = os.open(self._evidence_path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            known = self._evidence_path.read_text(errors="replace").splitlines()
            new = dict.fromkeys(" ".join(text.splitlines()) for text in texts)
            os.write(descriptor, "".join(f"{text}\n" for text in new if text not in known).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _read(self, path: Path) -> list[Anchor]:
        with suppress(FileNotFoundError):
            try:
                return [Anchor.from_text(line, self._key) for line in path.read_text().splitlines()]
            except (ValueError, TypeError) as error:
                raise KeyturnError(
                    f"{path} is damaged, or was not written by this Keyturn.",
                    "Look who had access to the data directory. If you know why, remove the file.",
                ) from error
        return []


def stored_text(connection: Connection) -> str | None:
    """Return the anchor that the state database keeps as it is there, whoever wrote it; None if there is none."""
    return _setting(connection, _SETTING)


def begun_text(connection: Connection) -> str | None:
    """Return what the state database says of the chain's beginning, whoever wrote it; None if it says nothing."""
    return _setting(connection, _BEGUN)


def stored_begun(connection: Connection, key: ChainKey) -> Anchor | None:
    """Return the note of the state database that the chain has begun; None if there is none.

    Raises:
        KeyturnError: What is noted is damaged, or not Keyturn's.
    """
    return _anchor(begun_text(connection), key)


def store_begun(connection: Connection, key: ChainKey, anchor: Anchor) -> None:
    """Note that the chain has begun."""
    connection.execute(_STORE, {"name": _BEGUN, "value": anchor.to_text(key)})


def stored_anchor(connection: Connection, key: ChainKey) -> Anchor | None:
    """Return the anchor that the state database keeps; None if there is none.

    Raises:
        KeyturnError: It is damaged, or not Keyturn's.
    """
    return _anchor(stored_text(connection), key)


def _setting(connection: Connection, name: str) -> str | None:
    text: str | None = connection.execute(_FOUND, {"name": name}).scalar_one_or_none()
    return text


def _anchor(text: str | None, key: ChainKey) -> Anchor | None:
    if text is None:
        return None
    try:
        return Anchor.from_text(text, key)
    except (ValueError, TypeError) as error:
        raise KeyturnError(
            "The audit anchor in the state database is damaged, or was not written by this Keyturn.",
            "Look who had access to the database.",
        ) from error


def store_anchor(connection: Connection, key: ChainKey, anchor: Anchor) -> None:
    """Replace the anchor that the state database keeps."""
    connection.execute(_STORE, {"name": _SETTING, "value": anchor.to_text(key)})


def newest_generation(connection: Connection) -> int:
    """Return the newest change of the state database."""
    generation: int = connection.execute(_GENERATION).scalar_one()
    return generation
