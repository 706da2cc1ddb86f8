"""Replicas follow their primary: whatever changes a secret changes its replicas, in the same transaction.

:func:`follow` hangs this in front of every commit, where the names of all that was changed are known; so a replica
never lags behind, and no operation can forget it. Decision 10 says what else was thought of. Only who stores a value
calls :func:`mirror` before that: the rights of a caller to the KMS keys of primary and replica are asked.

A version's value is sealed anew for each replica, because an envelope is bound to the ARN of its secret. Values are
sealed before anything of the replica is written, so that one that cannot be leaves the replica as it was. It is Failed
then, and is tried again whenever somebody stores a value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from keyturn.arn import Place
from keyturn.call import Call, Principal, PrincipalKind
from keyturn.errors.base import AwsError
from keyturn.errors.common import AccessDenied
from keyturn.operations.audit_trail import SECRETS_MANAGER, ReplicationEvent, replication_events
from keyturn.operations.kit import Kit
from keyturn.operations.sealing import forget_value
from keyturn.operations.secretsmanager.replica_keys import copy_by_itself, copy_to_replica
from keyturn.operations.service_roles import trusts_service
from keyturn.rules.audit_event import ServiceEventName
from keyturn.rules.replication import ReplicationStatus
from keyturn.storage import replications, roles, secret_versions, secrets
from keyturn.storage.database import Transaction
from keyturn.storage.replications import ReplicationRecord
from keyturn.storage.secret_versions import VersionAge, VersionRecord
from keyturn.storage.secrets import SecretRecord

_SESSION_NAME = "SecretsManagerReplication"
# What a replica in another region shows as its primary does. When the scheduler would begin a rotation
# (next_rotation_at) is the primary's alone.
_FOLLOWED = (
    "description",
    "type",
    "resource_policy",
    "rotation_enabled",
    "rotation_function_arn",
    "rotation_rules",
    "last_rotated_at",
    "next_rotation_closes_at",
    "last_changed_at",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a replica that was to get a value.

    Attributes:
        message: Why it did not, as its status shows it; None if it did.
        error: The same as it would be told to a caller.
    """

    replica_arn: str
    message: str | None = None
    error: AwsError | None = None


def follow(kit: Kit) -> None:
    """Let replicas follow whatever is written to the state from now on."""
    kit.state.before_commit = partial(_mirror_touched, kit)


def mirror(kit: Kit, transaction: Transaction, primary_arn: str, call: Call | None = None) -> list[Outcome]:
    """Make the replicas of a secret what it is itself now.

    Args:
        kit: Holds the keys.
        transaction: Which changed the secret.
        primary_arn: Of any secret; one without replicas is left alone.
        call: Who stored a value, or asked for replicas. None if neither is so: then nobody's rights to the keys are
            asked, and replicas that failed are left alone.

    Returns:
        The replicas that got a value, or should have got one.
    """
    connection = transaction.connection
    statuses = (ReplicationStatus.IN_SYNC,) if call is None else (ReplicationStatus.IN_SYNC, ReplicationStatus.FAILED)
    following = [
        record for record in replications.load_replications(connection, primary_arn) if record.status in statuses
    ]
    primary = secrets.load_secret(connection, primary_arn) if following else None
    if primary is None:
        return []
    outcomes = [_follow(kit, transaction, primary, record, call) for record in following]
    return [outcome for outcome in outcomes if outcome is not None]


def mirror_one(
    kit: Kit, transaction: Transaction, primary_arn: str, record: ReplicationRecord, call: Call
) -> str | None:
    """Make one replica what its primary is; return why it cannot be, as its status shows it.

    Args:
        kit: Holds the keys.
        transaction: In which the primary was locked.
        primary_arn: The primary.
        record: The replica, which may not be stored yet.
        call: Who asked for it.
    """
    primary = secrets.load_secret(transaction.connection, primary_arn)
    if primary is None:
        raise LookupError(primary_arn)
    outcome = _follow(kit, transaction, primary, record, call)
    return None if outcome is None else outcome.message


def mirror_value(kit: Kit, transaction: Transaction, primary_arn: str, call: Call) -> None:
    """Give replicas a value that somebody has just stored, and record what became of that.

    Raises:
        StorageError: The journal failed.
    """
    record_outcomes(kit, primary_arn, mirror(kit, transaction, primary_arn, call))


def record_outcomes(kit: Kit, primary_arn: str, outcomes: list[Outcome]) -> None:
    """Store the audit events of replications; to be called as the last thing before they are committed.

    Raises:
        StorageError: The journal failed.
    """
    events = []
    for outcome in outcomes:
        ended = ServiceEventName.REPLICATION_FAILED if outcome.message else ServiceEventName.REPLICATION_SUCCEEDED
        started = ServiceEventName.REPLICATION_STARTED
        events.append(ReplicationEvent(started, primary_arn, outcome.replica_arn))
        events.append(ReplicationEvent(ended, primary_arn, outcome.replica_arn, outcome.message))
    replication_events(kit, events, kit.clock.now())


def _mirror_touched(kit: Kit, transaction: Transaction) -> None:
    touched = {entry["subject"]: None for entry in transaction.touched if entry["kind"] == secrets.SECRET}
    for arn in touched:
        record_outcomes(kit, arn, mirror(kit, transaction, arn))


def _follow(
    kit: Kit, transaction: Transaction, primary: SecretRecord, record: ReplicationRecord, call: Call | None
) -> Outcome | None:
    """Write the difference between a primary and a replica; return None if no value was among it."""
    connection = transaction.connection
    is_failed = record.status == ReplicationStatus.FAILED
    # Looked at before it is locked: who stores when secrets were read has many locked, and would wait across.
    replica = _replica(secrets.load_secret(connection, record.replica_arn), primary)
    if replica is None or not (is_failed or _difference(connection, primary, replica)):
        return None
    replica = _replica(secrets.lock_secret(transaction, record.replica_arn), primary)
    if replica is None:
        return None
    difference = _difference(connection, primary, replica)
    try:
        acting = None if call is None else acting_for(connection, call, record)
        copies = [_copy(kit, transaction, primary, version_id, replica, acting) for version_id in difference.missing]
    except AwsError as error:
        outcome = Outcome(replica.arn, f"Replication failed: {error.message}", error)
        failed = replace(record, status=ReplicationStatus.FAILED, message=outcome.message)
        replications.update_replication(transaction, failed)
        return outcome
    if is_failed:
        replications.update_replication(transaction, replace(record, status=ReplicationStatus.IN_SYNC, message=None))
    _remove(kit, transaction, replica, difference.gone)
    for copy in copies:
        store = (
            secret_versions.fill_version if copy.version_id in difference.unfilled else secret_versions.insert_version
        )
        store(transaction, replica.secret_id, copy)
    secrets.store_labels(transaction, replica.secret_id, replica.labels, primary.labels)
    if difference.columns:
        secrets.update_secret(transaction, replica, **difference.columns)
    elif difference:
        transaction.touch(secrets.SECRET, replica.arn)
    return Outcome(replica.arn) if any(copy.sealed is not None for copy in copies) else None


def _replica(found: SecretRecord | None, primary: SecretRecord) -> SecretRecord | None:
    """Return what was found under a replica's name if it is the primary's, and none that could not be made."""
    return found if found is not None and found.primary_arn == primary.arn else None


@dataclass(frozen=True, slots=True)
class _Difference:
    """What a replica lacks of its primary.

    Attributes:
        missing: Versions that are to be copied.
        unfilled: Those of them that the replica has without a value.
        gone: Versions that the replica is to lose.
        has_other_labels: Whether its labels are others.
        columns: What it is to show.
    """

    missing: Sequence[str]
    unfilled: Collection[str]
    gone: Sequence[str]
    has_other_labels: bool
    columns: Mapping[str, Any]

    def __bool__(self) -> bool:
        return bool(self.missing or self.gone or self.has_other_labels or self.columns)


def _difference(connection: Connection, primary: SecretRecord, replica: SecretRecord) -> _Difference:
    wanted, held = (
        {age.version_id: age for age in secret_versions.load_version_ages(connection, each.secret_id)}
        for each in (primary, replica)
    )
    missing = [version_id for version_id, age in wanted.items() if _is_missing(age, held.get(version_id))]
    gone = [
        version_id
        for version_id, age in held.items()
        if version_id not in wanted or (age.has_value and version_id in missing)
    ]
    has_other_labels = replica.labels != primary.labels
    return _Difference(
        missing=missing,
        unfilled=(held.keys() & set(missing)) - set(gone),
        gone=gone,
        has_other_labels=has_other_labels,
        columns=_columns(primary, replica, differs=bool(missing or gone) or has_other_labels),
    )


def _is_missing(age: VersionAge, held: VersionAge | None) -> bool:
    if held is None:
        return True
    # A version that was cleaned up, and another one that was stored under its id since, while the replica had failed.
    is_another = held.has_value and held.created_at != age.created_at
    return is_another or (age.has_value and not held.has_value)


def _remove(kit: Kit, transaction: Transaction, replica: SecretRecord, version_ids: Sequence[str]) -> None:
    for version_id in version_ids:
        version = secret_versions.load_version(transaction.connection, replica.secret_id, version_id)
        if version is not None and version.sealed is not None:
            forget_value(kit, replica.arn, version_id, version.sealed, version.former_wrapped)
    secret_versions.delete_versions(transaction, replica.secret_id, version_ids)


def _copy(
    kit: Kit,
    transaction: Transaction,
    primary: SecretRecord,
    version_id: str,
    replica: SecretRecord,
    call: Call | None,
) -> VersionRecord:
    """Return a version as the replica is to have it: with the primary's moment, and unread there."""
    version = secret_versions.load_version(transaction.connection, primary.secret_id, version_id)
    if version is None:
        raise LookupError(version_id)
    copied = replace(version, last_accessed_at=None, kms_key_id=None, former_wrapped=None)
    if version.sealed is None:
        return copied
    if call is None:
        sealed = copy_by_itself(kit, transaction, primary, version, replica)
    else:
        sealed = copy_to_replica(kit, transaction, primary, version, replica, call)
    return replace(copied, sealed=sealed.sealed, kms_key_id=sealed.kms_key_id)


def _columns(primary: SecretRecord, replica: SecretRecord, *, differs: bool) -> Mapping[str, Any]:
    """What a replica shows as its primary does, where it does not yet."""
    if replica.is_account_replica:
        return {"last_changed_at": primary.last_changed_at} if differs else {}
    # Of a primary whose tags were all removed a replica shows none (recorded by cloud-custodian), not an empty list.
    followed = {**{name: getattr(primary, name) for name in _FOLLOWED}, "tags": primary.tags or None}
    return {name: value for name, value in followed.items() if getattr(replica, name) != value}


def acting_for(connection: Connection, call: Call, record: ReplicationRecord) -> Call:
    """Return the call with whose rights a replica is written: the caller's own, or those of the replication's role.

    Raises:
        AccessDenied: Secrets Manager cannot assume the role.
    """
    if record.role_arn is None:
        return call
    role = roles.load_role_by_arn(connection, record.role_arn)
    if role is None or not trusts_service(role, SECRETS_MANAGER, record.primary_arn):
        raise AccessDenied(f"Secrets Manager can't assume the replication role {record.role_arn}.")
    principal = Principal(
        kind=PrincipalKind.ASSUMED_ROLE,
        arn=Place.of(role.arn).assumed_role_arn(role.name, _SESSION_NAME),
        unique_id=f"{role.unique_id}:{_SESSION_NAME}",
        account_id=role.account_id,
        name=role.name,
        role_arn=role.arn,
        session_name=_SESSION_NAME,
        session_issued_at=call.at,
    )
    place = replace(call.place, account_id=role.account_id)
    return call._replace(principal=principal, place=place, session_policy="", session_policy_arns=(), entrance=None)
