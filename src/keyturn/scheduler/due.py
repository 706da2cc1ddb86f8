"""Rotations that a schedule has made due: the intent is stored, and a worker takes it from there."""

from __future__ import annotations

from datetime import datetime, timedelta

from keyturn import ids
from keyturn.operations.kit import Kit
from keyturn.operations.secretsmanager.planning import WHILE_IT_RUNS, plan_after_missed_window
from keyturn.operations.secretsmanager.rotation_intent import resume, store_intent
from keyturn.operations.secretsmanager.writing import staging_of, store_change
from keyturn.rules.staging import begin_rotation
from keyturn.storage import rotations, secret_versions, secrets
from keyturn.storage.database import Transaction
from keyturn.storage.rotation_leases import is_held
from keyturn.storage.rotations import RotationKind, RotationStatus
from keyturn.storage.secrets import SecretRecord

# A rotation that has become due waits for the end of a test or a repair of the same secret.
_AFTER_ANOTHER = timedelta(minutes=1)


def begin_due(kit: Kit, secret_arn: str, now: datetime) -> None:
    """Start the rotation that a schedule has made due; one that is unfinished gets a fresh set of attempts.

    What was due while nobody was there begins now if a window is open, and is planned anew if not.
    """
    with kit.state.write() as transaction:
        current = secrets.lock_secret(transaction, secret_arn)
        if current is None or not current.rotation_enabled or current.deletion_at is not None:
            return
        if current.next_rotation_at is None or current.next_rotation_at > now:
            return
        closes_at = current.next_rotation_closes_at
        if closes_at is not None and closes_at <= now:
            closes_at = plan_after_missed_window(kit, transaction, current, now)
            if closes_at is None:
                return
        unfinished = rotations.load_unfinished(transaction.connection, current.secret_id)
        if unfinished is not None and unfinished.kind is not RotationKind.ROTATION:
            if unfinished.kind is RotationKind.TEST or is_held(unfinished, now):
                # It takes seconds, and nobody plans the next rotation when it ends.
                secrets.update_secret(transaction, current, next_rotation_at=now + _AFTER_ANOTHER)
                return
            # A rotation takes the pending version up, and asks the database itself.
            superseded = "Its time has come to rotate, which finds out as well."
            rotations.end_unfinished(transaction, current.secret_id, RotationStatus.CANCELLED, now, superseded)
            unfinished = None
        if unfinished is not None:
            resume(transaction, unfinished, now, closes_at)
        else:
            _begin(kit, transaction, current, now, closes_at)
        # The next one is planned when this one ends, from its actual date.
        secrets.update_secret(transaction, current, next_rotation_closes_at=closes_at, **WHILE_IT_RUNS)


def _begin(kit: Kit, transaction: Transaction, secret: SecretRecord, now: datetime, closes_at: datetime | None) -> None:
    state = staging_of(transaction, secret)
    # A version that somebody left pending by hand is adopted: no second one may be pending beside it.
    token = state.unfinished_rotation or ids.new_version_id()
    change = begin_rotation(state, token, now)
    if change.added_versions:
        secret_versions.insert_empty_version(transaction, secret.secret_id, token, now)
    store_change(transaction, secret, change)
    store_intent(kit, transaction, secret, token, RotationKind.ROTATION, now, closes_at)
