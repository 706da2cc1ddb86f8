"""The intent to rotate: a row that a worker takes from there, with the pending version beside it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from keyturn.operations.kit import Kit
from keyturn.operations.secretsmanager.rotation_function import function_timeout
from keyturn.operations.secretsmanager.rotation_marks import database_lane
from keyturn.rules.lanes import Lane
from keyturn.rules.rotation import RESOLUTION, ROTATION, TEST, Plan, Step
from keyturn.storage import rotations
from keyturn.storage.database import Transaction
from keyturn.storage.rotations import RotationKind, RotationRecord
from keyturn.storage.secrets import SecretRecord

PLANS: Final[Mapping[RotationKind, Plan]] = {
    RotationKind.ROTATION: ROTATION,
    RotationKind.TEST: TEST,
    RotationKind.RESOLUTION: RESOLUTION,
}
"""The steps of each kind."""


def store_intent(
    kit: Kit,
    transaction: Transaction,
    secret: SecretRecord,
    version_id: str,
    kind: RotationKind,
    due_at: datetime,
    window_closes_at: datetime | None = None,
    *,
    requested_at: datetime | None = None,
) -> None:
    """Store the intent to rotate, to test or to resolve.

    Args:
        kit: For the database that the secret is of.
        transaction: In which ``secret`` was locked, and no rotation of it is unfinished.
        secret: With the function that is to run.
        version_id: What the steps are about.
        kind: What for.
        due_at: When it may begin.
        window_closes_at: When no further attempt begins; None for a rotation out of turn.
        requested_at: When it was asked for, if that was before it may begin.
    """
    lane = Lane(secret.rotation_function_arn or "", database_lane(kit, secret) or "")
    first_step = PLANS[kind].first_step
    # The database may have what an earlier rotation has left behind.
    offers_probe = rotations.has_offered_probe(transaction.connection, secret.secret_id, lane.function_arn)
    rotations.start_rotation(
        transaction,
        secret.secret_id,
        version_id,
        kind,
        first_step,
        due_at,
        window_closes_at,
        lane,
        requested_at=requested_at,
        offers_probe=offers_probe,
    )


def resume(transaction: Transaction, unfinished: RotationRecord, at: datetime, closes_at: datetime | None) -> None:
    """Make an unfinished rotation due from its first step, with fresh attempts; one that runs is left alone."""
    rotations.resume_rotation(transaction, unfinished, PLANS[unfinished.kind].first_step, at, closes_at)


def resolve_left_version(
    kit: Kit, transaction: Transaction, secret: SecretRecord, left: RotationRecord, at: datetime
) -> None:
    """Have the database asked about the version that a rotation was ended with, if it may have it and can be asked.

    If it cannot have that one, it may still have one that an earlier rotation has left behind.
    """
    if not left.offers_probe:
        return
    has_run = rotations.has_run(transaction.connection, left, Step.SET)
    version_id = left.version_id if has_run else rotations.lost_since(transaction.connection, secret)
    if version_id is None:
        return
    # What runs just now is not ended by this; it has done what it does when its time is over.
    is_running = left.lease_owner is not None
    wait = function_timeout(kit, secret.rotation_function_arn, secret.arn) if is_running else timedelta(0)
    store_intent(kit, transaction, secret, version_id, RotationKind.RESOLUTION, at + wait, requested_at=at)
