"""Forget what the database keeps for a while only, for readers that are not done yet."""

from __future__ import annotations

from datetime import datetime

from keyturn.operations.kit import Kit
from keyturn.operations.secretsmanager.search import LIST_LIFETIME
from keyturn.storage import secret_lists


def tidy(kit: Kit, now: datetime) -> None:
    """Forget changes that every server has seen, and moves of secrets that no list needs any more.

    Raises:
        StorageError: The database failed.
    """
    kit.kept.trim()
    # Twice as long as needed: a write that was under way when a list began is of an earlier moment than the list.
    secret_lists.forget_moves(kit.state, now - 2 * LIST_LIFETIME)
