"""RetryRotation: a rotation that waits for its next attempt or window runs now."""

from __future__ import annotations

from keyturn.call import Call
from keyturn.errors.secretsmanager import InvalidRequestException
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.rotation_intent import resume
from keyturn.operations.secretsmanager.subjects import secret
from keyturn.operations.secretsmanager.writing import lock_alive
from keyturn.storage import rotations
from keyturn.storage.rotation_leases import is_held
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.keyturn import RetryRotationRequest, RetryRotationResponse


@operation("keyturn", "RetryRotation", subject=secret)
def retry_rotation(
    kit: Kit, call: Call, _request: RetryRotationRequest, subject: SecretRecord
) -> RetryRotationResponse:
    """Make the unfinished rotation of a secret due now, with a fresh set of attempts."""
    with kit.state.write() as transaction:
        current = lock_alive(transaction, subject.arn, call.at)
        unfinished = rotations.load_unfinished(transaction.connection, current.secret_id)
        if unfinished is None:
            raise InvalidRequestException("There is no unfinished rotation of this secret. RotateSecret begins one.")
        if not current.rotation_enabled:
            raise InvalidRequestException("Rotation of this secret is off. RotateSecret turns it on.")
        if is_held(unfinished, call.at):
            raise InvalidRequestException(
                f"The rotation of this secret is running just now: attempt {unfinished.attempt}, {unfinished.step}."
            )
        resume(transaction, unfinished, call.at, None)
    kit.wake_scheduler()
    return {"ARN": subject.arn, "Name": subject.name, "VersionId": unfinished.version_id}
