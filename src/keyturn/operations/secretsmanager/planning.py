"""When the next rotation happens: stored rules, what is planned already and chance go into pure functions.

Whatever happens to a secret ends here, and each has its rule (docs/rotation.md, "When a secret rotates"): a rotation
that has succeeded, failed or been abandoned, a value put by hand, another schedule, a window that nobody was there
for, a clock that was set back.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from keyturn.operations.kit import Kit
from keyturn.rules.schedule import (
    RotationRules,
    RotationWindow,
    choose_hour,
    choose_moment,
    count_from,
    last_change,
    next_window,
    parse_rotation_rules,
)
from keyturn.rules.staging import AWSCURRENT
from keyturn.storage import planned_rotations, secrets
from keyturn.storage.database import Transaction
from keyturn.storage.secrets import SecretRecord

_log = logging.getLogger(__name__)

NO_PLAN: Mapping[str, None] = {"next_rotation_at": None, "next_rotation_closes_at": None, "rotation_planned_at": None}
"""Columns of a secret that does not rotate by itself."""
WHILE_IT_RUNS: Mapping[str, None] = {"next_rotation_at": None, "rotation_planned_at": None}
"""Columns of a secret whose rotation has begun; the next one is planned when it ends."""

# A clock that is set back by less leaves the plans as they are: nothing is late by more, nothing rotates twice.
_TRUSTED_AHEAD = timedelta(days=1)
_AT_ONCE = 100


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
        kit: For chance and the time.
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
        secrets.update_secret(transaction, secret, **NO_PLAN)
        return
    window = _next_window(secret, rules, counted_from, not_before)
    hour = choose_hour(window, kit.random, now=not_before)
    load = planned_rotations.planned_by_minute(transaction.connection, hour.opens_at, hour.closes_at)
    secrets.update_secret(
        transaction,
        secret,
        next_rotation_at=choose_moment(hour, load, kit.random),
        next_rotation_closes_at=window.closes_at,
        rotation_planned_at=kit.clock.now(),
    )


def plan_after_change(kit: Kit, transaction: Transaction, secret: SecretRecord, now: datetime) -> None:
    """Plan anew after the value was changed by hand, which counts as a rotation.

    Source: AWS Secrets Manager User Guide, "Lambda rotation functions".
    """
    if secret.rotation_enabled and secret.rotation_rules:
        plan_rotation(kit, transaction, secret.arn, counted_from=now, not_before=now)


def counted_from(secret: SecretRecord) -> datetime | None:
    """Return from when a secret's schedule counts; None if it has never rotated."""
    current = secret.versions.get(secret.labels.get(AWSCURRENT, ""))
    return last_change(secret.last_rotated_at, None if current is None else current.created_at)


def plan_after_missed_window(
    kit: Kit, transaction: Transaction, secret: SecretRecord, now: datetime
) -> datetime | None:
    """Plan anew what nobody began while its window was open: no server was running, or the clock has jumped over it.

    Outside of its windows nothing rotates by itself: they may have been chosen for the sake of those who work then.

    Returns:
        The end of another window that is open by now, in which it may begin at once; None if it was planned for later.
    """
    _log.warning("nobody began the rotation of %s in its window, which is over", secret.name)
    rules = parse_rotation_rules(secret.rotation_rules or {})
    if rules.schedule is not None:
        window = _next_window(secret, rules, counted_from(secret), now)
        if window.opens_at <= now:
            return window.closes_at
    plan_rotation(kit, transaction, secret.arn, counted_from=counted_from(secret), not_before=now)
    return None


def plan_after_clock_was_set_back(kit: Kit, now: datetime) -> None:
    """Plan anew what was planned at a moment that is to come in more than a day, counted from now.

    A clock that was ahead, and was put right, would keep secrets waiting for as long as it was ahead.

    Raises:
        StorageError: The database failed.
    """
    with kit.state.read() as connection:
        planned_ahead = planned_rotations.load_planned_after(connection, now + _TRUSTED_AHEAD, _AT_ONCE)
    for arn in planned_ahead:
        with kit.state.write() as transaction:
            secret = secrets.lock_secret(transaction, arn)
            # Another server may have been first.
            if secret is None or secret.rotation_planned_at is None or secret.rotation_planned_at <= now:
                continue
            plan_rotation(kit, transaction, arn, counted_from=counted_from(secret) or now, not_before=now)


def _next_window(
    secret: SecretRecord, rules: RotationRules, counted: datetime | None, not_before: datetime
) -> RotationWindow:
    if counted is not None:
        # A rotation at a moment that is still to come, by a clock that was ahead, counts as one now.
        counted = count_from(rules, min(counted, not_before), secret.next_rotation_closes_at)
    return next_window(rules, counted, not_before)
