"""Replicas of a secret in other regions: made, removed, and promoted to secrets of their own.

What a replica holds follows its primary (``mirroring.py``); here it begins and ends. Replication is done when the call
that asked for it is answered, so that nobody ever sees it InProgress.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.errors.base import AwsError
from keyturn.errors.secretsmanager import InvalidRequestException, ResourceNotFoundException
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.deletion import erase_now
from keyturn.operations.secretsmanager.mirroring import Outcome, mirror_one, record_outcomes
from keyturn.operations.secretsmanager.replica_keys import check_replica_key
from keyturn.operations.secretsmanager.subjects import secret, secret_subject
from keyturn.operations.secretsmanager.writing import lock_alive, staging_of, store_change
from keyturn.rules.deletion import check_alive, is_over
from keyturn.rules.kms_keys import DEFAULT_ALIAS
from keyturn.rules.replication import (
    MANAGED_POLICY,
    SUCCEEDED,
    Occupant,
    ReplicationStatus,
    check_replica_regions,
    is_between_accounts,
    obstacle,
    replica_arn,
)
from keyturn.rules.staging import AWSPENDING, move_label
from keyturn.storage import replications, secrets
from keyturn.storage.database import Transaction
from keyturn.storage.replications import ReplicationRecord
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.secretsmanager import (
    RemoveRegionsFromReplicationRequest,
    RemoveRegionsFromReplicationResponse,
    ReplicaRegionType,
    ReplicateSecretToRegionsRequest,
    ReplicateSecretToRegionsResponse,
    ReplicationStatusType,
    StopReplicationToReplicaRequest,
    StopReplicationToReplicaResponse,
)

DELETE_RESOURCE_POLICY = "secretsmanager:DeleteResourcePolicy"
_MANAGED = {"PolicyName": MANAGED_POLICY}
# What a secret loses that is no replica any more: its function, if it has one, is in another region.
_NO_ROTATION = {
    "rotation_enabled": None,
    "rotation_function_arn": None,
    "rotation_rules": None,
    "next_rotation_closes_at": None,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Replicas that a request asks for.

    Attributes:
        regions: As sent.
        overwrite: ForceOverwriteReplicaSecret.
    """

    regions: Sequence[ReplicaRegionType]
    overwrite: bool


@operation("secretsmanager", "ReplicateSecretToRegions", subject=secret)
def replicate_secret_to_regions(
    kit: Kit, call: Call, request: ReplicateSecretToRegionsRequest, subject: SecretRecord
) -> ReplicateSecretToRegionsResponse:
    """Make replicas of a secret; where there is one already nothing is done, and what failed is tried again."""
    wanted = Wanted(request["AddReplicaRegions"], request.get("ForceOverwriteReplicaSecret", False))
    with kit.state.write() as transaction:
        # The names of replicas to be, before the secret itself, as CreateSecret does.
        kit.state.dialect.lock_name(transaction.connection, subject.name)
        current = lock_alive(transaction, subject.arn, call.at)
        check_wanted(kit, wanted, Place.of(current.arn))
        add_replicas(kit, call, transaction, current, wanted)
    # Whatever was overwritten is in the database's files still.
    kit.wake_scheduler()
    return {"ARN": subject.arn, "ReplicationStatus": replication_status(kit, subject.arn)}


@operation("secretsmanager", "RemoveRegionsFromReplication", subject=secret)
def remove_regions_from_replication(
    kit: Kit, call: Call, request: RemoveRegionsFromReplicationRequest, subject: SecretRecord
) -> RemoveRegionsFromReplicationResponse:
    """Delete replicas at once; regions without one are passed over."""
    with kit.state.write() as transaction:
        current = lock_alive(transaction, subject.arn, call.at)
        listed = _in_regions(transaction.connection, current.arn)
        removed = [record for record in listed if _region(record) in request["RemoveReplicaRegions"]]
        for record in removed:
            replica = secrets.lock_secret(transaction, record.replica_arn)
            # Of a replica that failed another secret may have the ARN: one that was promoted.
            if replica is not None and replica.primary_arn == current.arn:
                erase_now(kit, transaction, replica, call.at)
            replications.delete_replication(transaction, record)
        if removed:
            _end_primary(transaction, current)
            secrets.update_secret(transaction, current, last_changed_at=call.at)
    kit.wake_scheduler()
    return {"ARN": subject.arn, "ReplicationStatus": replication_status(kit, subject.arn)}


@operation("secretsmanager", "StopReplicationToReplica", subject=secret)
def stop_replication_to_replica(
    kit: Kit, call: Call, request: StopReplicationToReplicaRequest, subject: SecretRecord
) -> StopReplicationToReplicaResponse:
    """Promote a replica to a secret of its own, without rotation."""
    if subject.is_account_replica:
        # Its managed policy goes with it.
        kit.authorise(call, DELETE_RESOURCE_POLICY, secret_subject(subject, {**request, **_MANAGED}))
    with kit.state.write() as transaction:
        # The primary first, as whoever changes it does: crosswise, both would wait for each other.
        primary = secrets.lock_secret(transaction, subject.primary_arn or subject.arn)
        current = secrets.lock_secret(transaction, subject.arn)
        if current is None:
            raise ResourceNotFoundException
        check_alive(current.deletion_at)
        if not current.is_replica:
            raise InvalidRequestException(f"You can't stop replication to secret {subject.arn}: it is not a replica.")
        _forget(transaction, primary, current)
        state = staging_of(transaction, current)
        pending = state.unfinished_rotation
        if pending is not None:
            # The rotation goes on in the primary; here it would stand in the way of others.
            store_change(transaction, current, move_label(state, AWSPENDING, None, pending))
        secrets.update_secret(transaction, current, primary_arn=None, last_changed_at=call.at, **_NO_ROTATION)
    return {"ARN": subject.arn}


def _forget(transaction: Transaction, primary: SecretRecord | None, replica: SecretRecord) -> None:
    """Take a promoted replica off its primary's list; a primary in another account goes on listing it, as detached."""
    record = replications.load_replication(transaction.connection, replica.arn)
    if record is not None and replica.is_account_replica and record.is_listed:
        detached = replace(record, status=ReplicationStatus.DETACHED, message=None, is_followed=False)
        replications.update_replication(transaction, detached)
    elif record is not None:
        replications.delete_replication(transaction, record)
    if primary is not None and not replica.is_account_replica:
        _end_primary(transaction, primary)


def check_wanted(kit: Kit, wanted: Wanted, place: Place) -> None:
    """Refuse regions in which a secret of this place cannot have replicas.

    Raises:
        InvalidParameterException: There are such regions.
    """
    check_replica_regions([replica.get("Region") for replica in wanted.regions], place.region, kit.regions)


def add_replicas(kit: Kit, call: Call, transaction: Transaction, primary: SecretRecord, wanted: Wanted) -> None:
    """Make replicas of a secret, and store which could not be made, and why.

    Args:
        kit: Holds the keys.
        call: Who asks.
        transaction: In which ``primary`` was locked.
        primary: The secret.
        wanted: Replicas in regions that were checked.
    """
    listed = replications.load_replications(transaction.connection, primary.arn)
    status_of = {record.replica_arn: record.status for record in listed}
    outcomes = []
    for asked in wanted.regions:
        arn = replica_arn(primary.arn, asked["Region"])
        if status_of.get(arn) == ReplicationStatus.IN_SYNC:
            continue
        record = ReplicationRecord(primary.arn, arn, asked.get("KmsKeyId") or None, ReplicationStatus.IN_SYNC)
        message = _replicate(kit, call, transaction, primary, record, overwrite=wanted.overwrite)
        if message is not None:
            record = replace(record, status=ReplicationStatus.FAILED, message=message)
        store = replications.update_replication if arn in status_of else replications.insert_replication
        store(transaction, record)
        outcomes.append(Outcome(arn, message))
    if outcomes:
        secrets.update_secret(transaction, primary, primary_arn=primary.arn, last_changed_at=call.at)
        record_outcomes(kit, primary.arn, outcomes)


def _replicate(
    kit: Kit,
    call: Call,
    transaction: Transaction,
    primary: SecretRecord,
    record: ReplicationRecord,
    *,
    overwrite: bool,
) -> str | None:
    """Make one replica as a whole; where that is not possible change nothing and return why, as its status shows it."""
    savepoint = transaction.connection.begin_nested()
    message = _make(kit, call, transaction, primary, record, overwrite=overwrite)
    if message is None:
        message = mirror_one(kit, transaction, primary.arn, record, call)
    if message is None:
        savepoint.commit()
    else:
        # Not even the secret that it was to overwrite is lost.
        savepoint.rollback()
    return message


def _make(
    kit: Kit,
    call: Call,
    transaction: Transaction,
    primary: SecretRecord,
    record: ReplicationRecord,
    *,
    overwrite: bool,
) -> str | None:
    """Make an empty replica, or return what stands in its way."""
    place = Place.of(record.replica_arn)
    present = _present(kit, transaction, place, primary.name, record.replica_arn, call.at)
    message = obstacle(primary.name, place.region, _occupant(present, primary), overwrite=overwrite)
    if message is not None:
        return message
    if present is None and secrets.count(transaction.connection, place) >= kit.quotas.secrets:
        return f"Replication failed: You can't have more than {kit.quotas.secrets} secrets in a Region."
    columns: dict[str, object] = {}
    if record.kms_key_id is not None:
        try:
            check_replica_key(kit, call, record.replica_arn, record.kms_key_id)
        except AwsError as error:
            return f"Replication failed: {error.message}"
        columns["kms_key_id"] = record.kms_key_id
    if present is not None and present.primary_arn == primary.arn:
        if columns:
            secrets.update_secret(transaction, present, **columns)
        return None
    if present is not None:
        erase_now(kit, transaction, present, call.at)
    columns["primary_arn"] = primary.arn
    secrets.insert_secret(transaction, place, record.replica_arn, primary.name, call.at, **columns)
    return None


def _occupant(present: SecretRecord | None, primary: SecretRecord) -> Occupant:
    if present is None:
        return Occupant.NOBODY
    if present.primary_arn is None:
        return Occupant.SECRET
    if present.primary_arn == primary.arn:
        return Occupant.ITSELF
    return Occupant.REPLICA if present.is_replica else Occupant.PRIMARY


def _present(
    kit: Kit, transaction: Transaction, place: Place, name: str, arn: str, at: datetime
) -> SecretRecord | None:
    """Return who has a replica's name; what is over and only waits for the scheduler makes way."""
    waiting = secrets.lock_secret(transaction, arn)
    if waiting is not None and is_over(waiting.deleted_at, waiting.deletion_at, at):
        # It may have been a replica, promoted and deleted: then it has this very ARN.
        erase_now(kit, transaction, waiting, at)
    present_arn = secrets.arn_of_name(transaction.connection, place, name)
    present = None if present_arn is None else secrets.lock_secret(transaction, present_arn)
    if present is not None and is_over(present.deleted_at, present.deletion_at, at):
        secrets.free_name(transaction, present)
        return None
    return present


def _end_primary(transaction: Transaction, primary: SecretRecord) -> None:
    """Make a secret without replicas in other regions an ordinary one again."""
    if not _in_regions(transaction.connection, primary.arn):
        secrets.update_secret(transaction, primary, primary_arn=None)


def replication_status(kit: Kit, primary_arn: str) -> list[ReplicationStatusType]:
    """Return how the replicas of a secret in other regions stand, as AWS shows it."""
    with kit.state.read() as connection:
        return [_shown(kit, connection, record) for record in _in_regions(connection, primary_arn)]


def listed_replicas(kit: Kit, primary_arn: str) -> Sequence[ReplicationRecord]:
    """Return the replicas that a secret lists, from memory if they are kept."""
    return kit.kept.get(
        replications.REPLICATIONS,
        primary_arn,
        lambda connection: tuple(replications.load_replications(connection, primary_arn)),
    )


def _shown(kit: Kit, connection: Connection, record: ReplicationRecord) -> ReplicationStatusType:
    replica = secrets.load_secret(connection, record.replica_arn)
    if replica is not None and replica.primary_arn != record.primary_arn:
        replica = None
    kms_key_id = record.kms_key_id if replica is None else replica.kms_key_id
    shown: ReplicationStatusType = {
        "Region": _region(record),
        "KmsKeyId": kms_key_id or DEFAULT_ALIAS,
        "Status": record.status,
        "StatusMessage": record.message or SUCCEEDED,
    }
    accessed_at = None if replica is None else kit.accesses.last_access(replica) or replica.last_accessed_at
    if accessed_at is not None:
        shown["LastAccessedDate"] = accessed_at
    return shown


def _in_regions(connection: Connection, primary_arn: str) -> list[ReplicationRecord]:
    return [
        record
        for record in replications.load_replications(connection, primary_arn)
        if not is_between_accounts(primary_arn, record.replica_arn)
    ]


def _region(record: ReplicationRecord) -> str:
    return Place.of(record.replica_arn).region
