"""UpdateSecretVersionStage: moving staging labels by hand, and by finishSecret."""

from __future__ import annotations

from keyturn.call import Call
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.subjects import secret
from keyturn.operations.secretsmanager.writing import lock_alive, staging_of, store_change
from keyturn.rules.staging import AWSCURRENT, move_label
from keyturn.rules.versions import no_value
from keyturn.storage import secrets
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.secretsmanager import UpdateSecretVersionStageRequest, UpdateSecretVersionStageResponse


@operation("secretsmanager", "UpdateSecretVersionStage", subject=secret)
def update_secret_version_stage(
    kit: Kit, call: Call, request: UpdateSecretVersionStageRequest, subject: SecretRecord
) -> UpdateSecretVersionStageResponse:
    """Attach, move or remove one staging label."""
    move_to = request.get("MoveToVersionId")
    with kit.state.write() as transaction:
        current = lock_alive(transaction, subject.arn)
        state, versions = staging_of(transaction, current)
        change = move_label(state, request["VersionStage"], move_to, request.get("RemoveFromVersionId"))
        if request["VersionStage"] == AWSCURRENT and move_to is not None and versions[move_to].sealed is None:
            # A version that holds nothing must never become what applications read.
            raise no_value(move_to, None)
        store_change(transaction, current, change)
        if change.moved_labels:
            secrets.update_secret(transaction, current, last_changed_at=call.at)
    return {"ARN": subject.arn, "Name": subject.name}
