"""GetSecretValue and PutSecretValue. The first is the hot path: it opens one envelope and touches no database."""

from __future__ import annotations

from keyturn.call import Call
from keyturn.operations.kit import Kit
from keyturn.operations.registry import Runs, operation
from keyturn.operations.secretsmanager.encryption import decrypt_value
from keyturn.operations.secretsmanager.ended_rotation import record_end
from keyturn.operations.secretsmanager.planning import plan_after_change
from keyturn.operations.secretsmanager.subjects import secret, secret_to_write
from keyturn.operations.secretsmanager.writing import lock_alive, value_of, write_value
from keyturn.rules.deletion import check_alive
from keyturn.rules.staging import AWSCURRENT
from keyturn.rules.versions import no_value, require_token, require_value, version_to_read
from keyturn.storage import secret_versions
from keyturn.storage.secret_versions import VersionRecord
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.secretsmanager import (
    GetSecretValueRequest,
    GetSecretValueResponse,
    PutSecretValueRequest,
    PutSecretValueResponse,
)


@operation("secretsmanager", "GetSecretValue", subject=secret, runs=Runs.ON_LOOP)
def get_secret_value(
    kit: Kit, call: Call, request: GetSecretValueRequest, subject: SecretRecord
) -> GetSecretValueResponse:
    """Open one version of a secret."""
    check_alive(subject.deletion_at)
    version_id, stage = request.get("VersionId"), request.get("VersionStage")
    version = _version(kit, subject, version_to_read(subject.labels, version_id, stage))
    if version is None or version.sealed is None:
        raise no_value(version_id, stage)
    plaintext = decrypt_value(kit, call, subject, version).reveal()
    if not call.principal.is_preflight:
        kit.accesses.note(subject, version.version_id, call.at)
    response: GetSecretValueResponse = {
        "ARN": subject.arn,
        "Name": subject.name,
        "VersionId": version.version_id,
        "CreatedDate": version.created_at,
    }
    if version.is_binary:
        response["SecretBinary"] = plaintext
    else:
        response["SecretString"] = plaintext.decode()
    stages = subject.stages_of(version.version_id)
    if stages:
        response["VersionStages"] = stages
    return response


@operation("secretsmanager", "PutSecretValue", subject=secret_to_write)
def put_secret_value(
    kit: Kit, call: Call, request: PutSecretValueRequest, subject: SecretRecord
) -> PutSecretValueResponse:
    """Store a new version of a secret, or the value of the version that a rotation has labelled AWSPENDING."""
    require_value(request.get("SecretString"), request.get("SecretBinary"))
    token = require_token(request.get("ClientRequestToken"))
    value = value_of(request, kit.quotas.value_bytes)
    if value is None:
        raise TypeError("require_value has seen one")
    with kit.state.write() as transaction:
        current = lock_alive(transaction, subject.arn, call.at)
        stages, rotation_token = request.get("VersionStages"), request.get("RotationToken")
        written = write_value(kit, transaction, call, current, token, value, stages, rotation_token)
        if written.is_new and AWSCURRENT in written.stages:
            plan_after_change(kit, transaction, current, call.at)
    record_end(kit, subject.arn, written.ended, call.at)
    response: PutSecretValueResponse = {"ARN": subject.arn, "Name": subject.name, "VersionId": token}
    if written.stages:
        response["VersionStages"] = list(written.stages)
    return response


def _version(kit: Kit, subject: SecretRecord, version_id: str) -> VersionRecord | None:
    version = subject.versions.get(version_id)
    if version is None:
        # A deprecated version can still be read by its id.
        with kit.state.read() as connection:
            version = secret_versions.load_version(connection, subject.secret_id, version_id)
    return version
