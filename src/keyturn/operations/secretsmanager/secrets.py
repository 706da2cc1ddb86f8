"""CreateSecret, DescribeSecret and UpdateSecret."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from keyturn import ids
from keyturn.arn import Place
from keyturn.call import Call
from keyturn.errors.secretsmanager import InvalidRequestException, LimitExceededException
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager import account_replicas
from keyturn.operations.secretsmanager.encryption import change_key, choose_key
from keyturn.operations.secretsmanager.ended_rotation import record_end
from keyturn.operations.secretsmanager.planning import plan_after_change
from keyturn.operations.secretsmanager.replicas import (
    Wanted,
    add_replicas,
    check_wanted,
    listed_replicas,
    replication_status,
)
from keyturn.operations.secretsmanager.subjects import new_secret, secret, secret_to_write
from keyturn.operations.secretsmanager.tags import tags_with
from keyturn.operations.secretsmanager.writing import (
    Value,
    existing_version,
    is_same,
    lock_alive,
    remember_token,
    value_of,
    write_value,
)
from keyturn.rules.deletion import check_name_free, is_over
from keyturn.rules.kms_keys import DEFAULT_ALIAS
from keyturn.rules.replication import Part
from keyturn.rules.schedule import days_until_next, parse_rotation_rules
from keyturn.rules.versions import check_single_value, require_token, use_of_token_to_create
from keyturn.storage import secret_versions, secrets
from keyturn.storage.database import Transaction
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.secretsmanager import (
    CreateSecretRequest,
    CreateSecretResponse,
    DescribeSecretRequest,
    DescribeSecretResponse,
    UpdateSecretRequest,
    UpdateSecretResponse,
)

# Members that Keyturn cannot honour; what asks for them must not seem to succeed.
_NOT_OFFERED = ("Type",)
_SECOND = timedelta(seconds=1)
# More secrets than all servers together can be creating at one moment.
_NEAR_QUOTA = 1_000


@operation("secretsmanager", "CreateSecret", subject=new_secret)
def create_secret(kit: Kit, call: Call, request: CreateSecretRequest, name: str) -> CreateSecretResponse:
    """Make a secret, with its first value or without one."""
    _refuse_what_is_not_offered(request)
    value = value_of(request, kit.quotas.value_bytes)
    check_single_value(request.get("SecretString"), request.get("SecretBinary"))
    token = require_token(request.get("ClientRequestToken")) if value else request.get("ClientRequestToken", "")
    # The console's empty list is kept as one.
    tags = tags_with({}, request["Tags"], kit.quotas.tags) if "Tags" in request else None
    if tags:
        kit.authorise(call, "secretsmanager:TagResource", new_secret(kit, call, request))
    replicas = Wanted(request.get("AddReplicaRegions", ()), request.get("ForceOverwriteReplicaSecret", False))
    if replicas.regions:
        check_wanted(kit, replicas, call.place)
        kit.authorise(call, "secretsmanager:ReplicateSecretToRegions", new_secret(kit, call, request))
    if "CrossAccountPrimaryARN" in request:
        account_replicas.check_creation(kit, call, request, request["CrossAccountPrimaryARN"])
    with kit.state.write() as transaction:
        kit.state.dialect.lock_name(transaction.connection, name)
        existing = _holder(transaction, call, name)
        if existing is not None:
            return _answer_again(kit, transaction, call, existing, token, value)
        arn = _insert(kit, transaction, call, request, tags)
        made = lock_alive(transaction, arn, call.at, Part.KEY)
        if value is not None:
            write_value(kit, transaction, call, made, token, value, None)
        elif token:
            remember_token(transaction, made, token, call.at)
        if replicas.regions:
            add_replicas(kit, call, transaction, made, replicas)
    response: CreateSecretResponse = {"ARN": arn, "Name": name}
    if value is not None:
        response["VersionId"] = token
    if replicas.regions:
        response["ReplicationStatus"] = replication_status(kit, arn)
    return response


def _holder(transaction: Transaction, call: Call, name: str) -> SecretRecord | None:
    """Return the secret that has a name; one that is over gives it away."""
    arn = secrets.arn_of_name(transaction.connection, call.place, name)
    existing = None if arn is None else secrets.load_secret(transaction.connection, arn)
    if existing is not None and is_over(existing.deleted_at, existing.deletion_at, call.at):
        secrets.free_name(transaction, existing)
        return None
    return existing


def _insert(
    kit: Kit, transaction: Transaction, call: Call, request: CreateSecretRequest, tags: Mapping[str, str] | None
) -> str:
    """Store a secret without a value and return its ARN."""
    name, primary_arn = request["Name"], request.get("CrossAccountPrimaryARN")
    arn = call.place.secret_arn(name, ids.new_arn_suffix())
    key = choose_key(kit, transaction, call, arn, request.get("KmsKeyId", ""))
    columns = {
        "description": request.get("Description") or None,
        "tags": tags,
        "kms_key_id": key.kms_key_id,
        "primary_arn": primary_arn,
    }
    number = secrets.insert_secret(transaction, call.place, arn, name, call.at, **columns)
    _check_quota(kit, transaction, call.place, number)
    if primary_arn is not None:
        account_replicas.add_pending(transaction, primary_arn, arn, key.kms_key_id)
    return arn


def _check_quota(kit: Kit, transaction: Transaction, place: Place, number: int) -> None:
    """Count a new secret; near the quota one creation after the other, as a count sees committed ones only.

    Args:
        kit: For the quota.
        transaction: Has inserted the secret.
        place: The secret's.
        number: Of its row.
    """
    quota = kit.quotas.secrets
    # Rows are numbered over all accounts: most servers never have to count.
    if number <= quota - _NEAR_QUOTA or secrets.count(transaction.connection, place) <= quota - _NEAR_QUOTA:
        return
    kit.state.dialect.lock_count(transaction.connection, f"{place.account_id}:{place.region}")
    if secrets.count(transaction.connection, place) > quota:
        raise LimitExceededException(f"You can't have more than {quota} secrets in a Region.")


@operation("secretsmanager", "DescribeSecret", subject=secret)
def describe_secret(
    kit: Kit, _call: Call, _request: DescribeSecretRequest, subject: SecretRecord
) -> DescribeSecretResponse:
    """Say everything about a secret but its values."""
    described: DescribeSecretResponse = {**description(kit, subject)}  # type: ignore[typeddict-item]  # built member by member
    if subject.labels:
        described["VersionIdsToStages"] = stages_by_version(subject)
    if subject.primary_arn == subject.arn:
        described["ReplicationStatus"] = replication_status(kit, subject.arn)
    primary = account_replicas.primary_of(kit, subject)
    if primary is not None:
        described["CrossAccountPrimary"] = primary
    replicas = account_replicas.replicas_of(listed_replicas(kit, subject.arn))
    if replicas:
        described["CrossAccountReplicas"] = replicas
    return described


@operation("secretsmanager", "UpdateSecret", subject=secret_to_write)
def update_secret(kit: Kit, call: Call, request: UpdateSecretRequest, subject: SecretRecord) -> UpdateSecretResponse:
    """Change a secret's description and key, and its value if one is given."""
    _refuse_what_is_not_offered(request)
    value = value_of(request, kit.quotas.value_bytes)
    check_single_value(request.get("SecretString"), request.get("SecretBinary"))
    token = require_token(request.get("ClientRequestToken")) if value else ""
    ended = None
    with kit.state.write() as transaction:
        current = lock_alive(transaction, subject.arn, call.at, _changed_part(request))
        if "KmsKeyId" in request:
            if current.is_account_replica:
                account_replicas.check_customer_key(kit, current.arn, request["KmsKeyId"])
            current = change_key(kit, transaction, call, current, request["KmsKeyId"])
        if "Description" in request:
            secrets.update_secret(
                transaction, current, description=request["Description"] or None, last_changed_at=call.at
            )
        if value is not None:
            written = write_value(kit, transaction, call, current, token, value, None)
            ended = written.ended
            if written.is_new:
                plan_after_change(kit, transaction, current, call.at)
    record_end(kit, subject.arn, ended, call.at)
    response: UpdateSecretResponse = {"ARN": subject.arn, "Name": subject.name}
    if value is not None:
        response["VersionId"] = token
    return response


def _changed_part(request: UpdateSecretRequest) -> Part:
    if "SecretString" in request or "SecretBinary" in request:
        return Part.VALUES
    return Part.METADATA if "Description" in request else Part.KEY


def description(kit: Kit, subject: SecretRecord) -> dict[str, Any]:
    """Members that DescribeSecret and ListSecrets share; absent ones are left out, as AWS does."""
    members = {
        "ARN": subject.arn,
        "Name": subject.name,
        "Description": subject.description,
        # A replica shows its default key, which other secrets do not (recorded by cloud-custodian, 2025).
        "KmsKeyId": subject.kms_key_id or (DEFAULT_ALIAS if subject.is_replica else None),
        "RotationEnabled": _rotation_enabled(subject),
        "RotationLambdaARN": subject.rotation_function_arn,
        "RotationRules": _rules(subject),
        "LastRotatedDate": subject.last_rotated_at,
        "LastChangedDate": subject.last_changed_at,
        "LastAccessedDate": kit.accesses.last_access(subject) or subject.last_accessed_at,
        "DeletedDate": subject.deleted_at,
        "NextRotationDate": _next_rotation_date(subject),
        "Tags": tag_list(subject.tags),
        "CreatedDate": subject.created_at,
        "PrimaryRegion": subject.primary_region,
    }
    return {name: value for name, value in members.items() if value is not None}


def _rotation_enabled(subject: SecretRecord) -> bool | None:
    """Whether the secret rotates; one that is marked for deletion does not, and goes on with it when it is restored."""
    return subject.rotation_enabled if subject.deletion_at is None or subject.rotation_enabled is None else False


def _next_rotation_date(subject: SecretRecord) -> datetime | None:
    """The last second of the window in which the secret rotates next, as AWS shows it; None while rotation is off."""
    closes_at = subject.next_rotation_closes_at if _rotation_enabled(subject) else None
    return None if closes_at is None else closes_at - _SECOND


def _rules(subject: SecretRecord) -> dict[str, Any] | None:
    """Rotation rules as they were sent; beside an expression AWS shows the days that it computes from it."""
    if subject.rotation_rules is None:
        return None
    days = days_until_next(parse_rotation_rules(subject.rotation_rules), subject.last_rotated_at or subject.created_at)
    shown = dict(subject.rotation_rules)
    return shown if days is None else {"AutomaticallyAfterDays": days, **shown}


def stages_by_version(subject: SecretRecord) -> dict[str, list[str]]:
    """Staging labels by version id; only versions that have some."""
    return {version_id: subject.stages_of(version_id) for version_id in sorted(set(subject.labels.values()))}


def tag_list(tags: Mapping[str, str] | None) -> list[dict[str, str]] | None:
    """Tags as they stand on the wire, in the order they were added; None for a secret that was never tagged."""
    return None if tags is None else [{"Key": key, "Value": value} for key, value in tags.items()]


def _answer_again(
    kit: Kit, transaction: Transaction, call: Call, existing: SecretRecord, token: str, value: Value | None
) -> CreateSecretResponse:
    """Answer a CreateSecret that was sent twice as the first time, and refuse any other for a name in use."""
    check_name_free(existing.deletion_at)
    version = secret_versions.load_version(transaction.connection, existing.secret_id, token) if token else None
    use_of_token_to_create(
        token,
        existing.name,
        existing.arn,
        existing_version(existing, version),
        brings_value=value is not None,
        same_value=lambda: version is not None and value is not None and is_same(kit, call, existing, version, value),
    )
    response: CreateSecretResponse = {"ARN": existing.arn, "Name": existing.name}
    if value is not None:
        response["VersionId"] = token
    return response


def _refuse_what_is_not_offered(request: Mapping[str, Any]) -> None:
    for member in _NOT_OFFERED:
        if request.get(member):
            raise InvalidRequestException(f"Keyturn does not offer {member} yet; see docs/compatibility.md.")
