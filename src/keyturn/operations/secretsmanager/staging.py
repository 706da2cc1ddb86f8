"""UpdateSecretVersionStage: moving staging labels by hand, and by finishSecret."""

from __future__ import annotations

from keyturn.call import Call
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.ended_rotation import end_rotation, record_end
from keyturn.operations.secretsmanager.subjects import secret
from keyturn.operations.secretsmanager.writing import lock_alive, staging_of, store_change
from keyturn.rules.staging import move_label
from keyturn.storage import secrets
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.secretsmanager import UpdateSecretVersionStageRequest, UpdateSecretVersionStageResponse


@operation("secretsmanager", "UpdateSecretVersionStage", subject=secret)
def update_secret_version_stage(
    kit: Kit, call: Call, request: UpdateSecretVersionStageRequest, subject: SecretRecord
) -> UpdateSecretVersionStageResponse:
    """Attach, move or remove one staging label."""
    with kit.state.write() as transaction:
        current = lock_alive(transaction, subject.arn, call.at)
        state = staging_of(transaction, current)
        change = move_label(
            state,
            request["VersionStage"],
            request.get("MoveToVersionId"),
            request.get("RemoveFromVersionId"),
            label_limit=kit.quotas.labels,
        )
        store_change(transaction, current, change)
        if change.moved_labels:
            secrets.update_secret(transaction, current, last_changed_at=call.at)
        ended = end_rotation(kit, transaction, current, change, call.at, even_if_running=False)
    record_end(kit, subject.arn, ended, call.at)
    return {"ARN": subject.arn, "Name": subject.name}
