"""When the next rotation happens: rules of the request, planned load and chance go into a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from keyturn.operations.kit import Kit
from keyturn.storage import secrets
from keyturn.storage.database import Transaction
from keyturn.storage.secrets import SecretRecord


def stored_rules(rules: Mapping[str, Any] | None, now: datetime) -> dict[str, Any] | None:
    return None if rules is None else dict(rules)


def plan_rotation(kit: Kit, transaction: Transaction, secret_arn: str, now: datetime) -> None:
    current = secrets.lock_secret(transaction, secret_arn)
    if current is None or not current.rotation_enabled or not current.rotation_rules:
        return
    days = current.rotation_rules.get("AutomaticallyAfterDays", 30)
    at = (current.last_rotated_at or now) + timedelta(days=days)
    secrets.update_secret(transaction, current, next_rotation_at=at, next_rotation_closes_at=at + timedelta(days=1))


def plan_after_change(kit: Kit, transaction: Transaction, secret: SecretRecord, now: datetime) -> None:
    if secret.rotation_enabled:
        plan_rotation(kit, transaction, secret.arn, now)
