"""ResolveRotation: the database is asked which stored version it accepts, and the labels follow it.

The operation stores the intent; the scheduler has the function ask (``rules/repair.py`` says what an answer means). The
rotation that waits is ended for the question, and taken up again if nothing comes of it (``scheduler/ended_step.py``).
"""

from __future__ import annotations

from datetime import datetime

from keyturn.call import Call
from keyturn.errors.secretsmanager import InvalidRequestException
from keyturn.operations.keyturn.standing import can_be_resolved
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.planning import counted_from, plan_rotation
from keyturn.operations.secretsmanager.rotation_intent import resume, store_intent
from keyturn.operations.secretsmanager.subjects import secret
from keyturn.operations.secretsmanager.writing import lock_alive, staging_of, store_change
from keyturn.rules.staging import AWSCURRENT, AWSPENDING, end_test
from keyturn.storage import rotations
from keyturn.storage.database import Transaction
from keyturn.storage.rotation_leases import is_held
from keyturn.storage.rotations import RotationKind, RotationStatus
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.keyturn import ResolveRotationRequest, ResolveRotationResponse


@operation("keyturn", "ResolveRotation", subject=secret)
def resolve_rotation(
    kit: Kit, call: Call, _request: ResolveRotationRequest, subject: SecretRecord
) -> ResolveRotationResponse:
    """Have the database asked which stored version it accepts, and the labels brought in line with that."""
    with kit.state.write() as transaction:
        current = lock_alive(transaction, subject.arn, call.at)
        _check_function(transaction, current)
        version_id = current.labels.get(AWSPENDING) or current.labels.get(AWSCURRENT)
        if version_id is None:
            raise InvalidRequestException("The secret has no value: there is nothing to ask the database about.")
        version_id = _store(kit, transaction, current, version_id, call.at)
    kit.wake_scheduler()
    return {"ARN": subject.arn, "Name": subject.name, "VersionId": version_id}


def _check_function(transaction: Transaction, current: SecretRecord) -> None:
    """Return if the secret's function has offered to ask the database.

    Raises:
        InvalidRequestException: It has not, or there is none.
    """
    function_arn = current.rotation_function_arn
    if not function_arn:
        raise InvalidRequestException("No Lambda rotation function ARN is associated with this secret.")
    if not can_be_resolved(transaction.connection, current):
        raise InvalidRequestException(
            f"The function {function_arn} has not offered to ask the database (probeSecret). Find out which version"
            " logs in, and move the labels with UpdateSecretVersionStage."
        )


def _store(kit: Kit, transaction: Transaction, current: SecretRecord, version_id: str, at: datetime) -> str:
    """Store the intent in place of the rotation that waits; return the version that it is about.

    Raises:
        InvalidRequestException: A rotation runs just now.
    """
    unfinished = rotations.load_unfinished(transaction.connection, current.secret_id)
    if unfinished is not None:
        if is_held(unfinished, at):
            raise InvalidRequestException("A rotation of this secret is running just now: ask again when it has ended.")
        if unfinished.kind is RotationKind.RESOLUTION:
            resume(transaction, unfinished, at, None)
            return unfinished.version_id
        ended = "The database is asked instead which version it accepts (ResolveRotation)."
        rotations.end_unfinished(transaction, current.secret_id, RotationStatus.CANCELLED, at, ended)
        if unfinished.kind is RotationKind.TEST:
            # Its copy of the current value goes with it, and is nothing to ask about.
            store_change(transaction, current, end_test(staging_of(transaction, current), unfinished.version_id))
            version_id = current.labels[AWSCURRENT]
        elif current.next_rotation_at is None:
            # Whatever becomes of the question, the secret has its next window.
            not_before = max(at, unfinished.window_closes_at or at)
            plan_rotation(kit, transaction, current.arn, counted_from=counted_from(current), not_before=not_before)
    store_intent(kit, transaction, current, version_id, RotationKind.RESOLUTION, at)
    return version_id
