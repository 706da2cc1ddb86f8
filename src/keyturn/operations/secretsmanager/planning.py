"""When the next rotation happens: stored rules, what is planned already and chance go into pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from keyturn.operations.kit import Kit
from keyturn.rules.schedule import choose_moment, next_window, parse_rotation_rules
from keyturn.storage import secrets
from keyturn.storage.database import Transaction
from keyturn.storage.secrets import SecretRecord


def checked_rules(rules: Mapping[str, Any] | None, now: datetime) -> dict[str, Any] | None:
    """Return rotation rules as they are stored; None if the request has none, so that the stored ones stay.

    Raises:
        InvalidParameterException: They name no schedule that AWS accepts, or one that never fires.
    """
    if rules is None:
        return None
    parsed = parse_rotation_rules(rules)
    if parsed.schedule is not None:
        next_window(parsed, None, now)
    return dict(rules)


def plan_rotation(
    kit: Kit,
    transaction: Transaction,
    secret_arn: str,
    *,
    counted_from: datetime | None,
    not_before: datetime,
) -> None:
    """Choose and store when a secret rotates next; nothing is planned without rules or while rotation is off.

    Args:
        kit: For chance.
        transaction: Writes the plan.
        secret_arn: Which secret.
        counted_from: The last rotation or change of its value; None if there was none.
        not_before: Now, or the end of the window in which a rotation has failed for good.
    """
    secret = secrets.lock_secret(transaction, secret_arn)
    if secret is None or not secret.rotation_enabled:
        return
    rules = parse_rotation_rules(secret.rotation_rules or {})
    if rules.schedule is None:
        secrets.update_secret(transaction, secret, next_rotation_at=None, next_rotation_closes_at=None)
        return
    window = next_window(rules, counted_from, not_before)
    planned = secrets.planned_moments(transaction.connection, window.opens_at, window.closes_at)
    moment = choose_moment(window, planned, kit.random, now=not_before)
    secrets.update_secret(transaction, secret, next_rotation_at=moment, next_rotation_closes_at=window.closes_at)


def plan_after_change(kit: Kit, transaction: Transaction, secret: SecretRecord, now: datetime) -> None:
    """Plan anew after the value was changed by hand, which counts as a rotation.

    Source: AWS Secrets Manager User Guide, "Lambda rotation functions".
    """
    if secret.rotation_enabled and secret.rotation_rules:
        plan_rotation(kit, transaction, secret.arn, counted_from=now, not_before=now)
