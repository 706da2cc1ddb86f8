"""Replicas of a secret in another account: created there, associated from here, ended by either.

Both accounts take part. The replica's account creates it, empty, for a primary that it names; from then on the replica
has a policy of its own, ``cross-account-replication``, by which the primary's account may associate it. Values follow
then (``mirroring.py``), each written with the rights of whoever stored it, or with those of a role. Every account of a
Keyturn is of one organization, so that there is nothing to ask for ``ReplicaRestriction``.

Source: Secrets Manager API Reference, AssociateCrossAccountReplica and DisassociateCrossAccountReplica; User Guide,
"Replicate secrets across accounts" (2026). AWS's texts are not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from keyturn.arn import Arn
from keyturn.call import Call
from keyturn.errors.common import AccessDenied
from keyturn.errors.secretsmanager import (
    InvalidParameterException,
    InvalidRequestException,
    LimitExceededException,
    ResourceNotFoundException,
)
from keyturn.ids import new_event_id, new_shared_id
from keyturn.operations.audit_trail import SECRETS_MANAGER
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.condition_keys import SecretKeys
from keyturn.operations.secretsmanager.encryption import means_default
from keyturn.operations.secretsmanager.lockout import PUT_RESOURCE_POLICY
from keyturn.operations.secretsmanager.mirroring import Outcome, acting_for, mirror, record_outcomes
from keyturn.operations.secretsmanager.replica_keys import check_may_replicate
from keyturn.operations.secretsmanager.subjects import find_secret, new_secret, secret, secret_subject
from keyturn.operations.secretsmanager.writing import lock_alive
from keyturn.operations.service_roles import check_may_pass, trusts_service
from keyturn.operations.subject import Subject
from keyturn.rules.audit_event import api_event, shared_with
from keyturn.rules.deletion import check_alive
from keyturn.rules.names import looks_suffixed
from keyturn.rules.policy.evaluate import Outcome as Decided
from keyturn.rules.replication import (
    ACCEPT_REPLICATION,
    MANAGED_POLICY,
    ReplicationStatus,
    check_new_account_replica,
    check_pair,
    is_between_accounts,
    managed_policy,
)
from keyturn.storage import replications, roles
from keyturn.storage.database import Transaction
from keyturn.storage.replications import ReplicationRecord
from keyturn.storage.secrets import SecretRecord, lock_secret
from keyturn.wire.types.secretsmanager import (
    AssociateCrossAccountReplicaRequest,
    AssociateCrossAccountReplicaResponse,
    CreateSecretRequest,
    CrossAccountPrimaryType,
    CrossAccountReplicaEntry,
    DisassociateCrossAccountReplicaRequest,
    DisassociateCrossAccountReplicaResponse,
)

_GET_SECRET_VALUE = "secretsmanager:GetSecretValue"  # noqa: S105 - an action, not a password


@operation("secretsmanager", "AssociateCrossAccountReplica", subject=secret)
def associate_cross_account_replica(
    kit: Kit, call: Call, request: AssociateCrossAccountReplicaRequest, subject: SecretRecord
) -> AssociateCrossAccountReplicaResponse:
    """Let a replica that another account has created follow a secret; once more repairs what failed."""
    check_alive(subject.deletion_at)
    replica_arn, role_arn = request["CrossAccountReplicaARN"], request.get("ReplicationRoleARN")
    check_pair(subject.arn, replica_arn)
    if call.principal.account_id != subject.account_id:
        raise InvalidRequestException("You must call this operation from the account that owns the primary secret.")
    kit.authorise(call, _GET_SECRET_VALUE, secret_subject(subject, request))
    _accept(kit, call, subject, replica_arn)
    if role_arn is not None:
        check_may_pass(kit, call, role_arn, SECRETS_MANAGER, subject.arn)
    with kit.state.write() as transaction:
        primary = lock_alive(transaction, subject.arn, call.at)
        replica = lock_secret(transaction, replica_arn)
        if replica is None:
            raise ResourceNotFoundException
        if role_arn is not None:
            _check_role(transaction.connection, role_arn, primary.arn)
        record = _associable(transaction.connection, primary, replica)
        record = replace(record, status=ReplicationStatus.IN_SYNC, message=None, role_arn=role_arn, is_listed=True)
        replications.update_replication(transaction, record)
        check_may_replicate(kit, acting_for(transaction.connection, call, record), primary, replica)
        outcomes = {replica_arn: Outcome(replica_arn)}
        outcomes |= {outcome.replica_arn: outcome for outcome in mirror(kit, transaction, primary.arn, call)}
        error = outcomes[replica_arn].error
        if error is not None:
            raise error
        record_outcomes(kit, primary.arn, list(outcomes.values()))
    return {
        "ARN": subject.arn,
        "CrossAccountReplicaARN": replica_arn,
        "ReplicationStatus": ReplicationStatus.IN_SYNC,
    }


@operation("secretsmanager", "DisassociateCrossAccountReplica", subject=secret)
def disassociate_cross_account_replica(
    kit: Kit, call: Call, request: DisassociateCrossAccountReplicaRequest, subject: SecretRecord
) -> DisassociateCrossAccountReplicaResponse:
    """Take another account's replica off a secret's list; it stays what it is, detached."""
    replica_arn = request["CrossAccountReplicaARN"]
    with kit.state.write() as transaction:
        primary = lock_alive(transaction, subject.arn, call.at)
        record = replications.load_replication(transaction.connection, replica_arn)
        if record is None or record.primary_arn != primary.arn or not record.is_listed:
            raise _no_replica(replica_arn, primary.arn)
        if record.is_followed:
            detached = replace(record, status=ReplicationStatus.DETACHED, message=None, is_listed=False)
            replications.update_replication(transaction, detached)
        else:
            replications.delete_replication(transaction, record)
    return {"ARN": subject.arn, "CrossAccountReplicaARN": replica_arn}


def check_creation(kit: Kit, call: Call, request: CreateSecretRequest, primary_arn: str) -> None:
    """Refuse a replica that cannot be created for a primary in another account.

    Raises:
        InvalidParameterException: The request says more than a replica can have, or names no such primary.
        AccessDenied: The caller may not attach the policy that the replica will have.
    """
    check_new_account_replica(request)
    subject = new_secret(kit, call, request)
    check_pair(primary_arn, subject.arn)
    if not looks_suffixed(Arn.parse(primary_arn).resource):
        raise InvalidParameterException("CrossAccountPrimaryARN must be a complete ARN.")
    check_customer_key(kit, subject.arn, request.get("KmsKeyId", ""))
    named = {**request, "PolicyName": MANAGED_POLICY}
    kit.authorise(call, PUT_RESOURCE_POLICY, new_secret(kit, call, named))


def check_customer_key(kit: Kit, arn: str, asked: str) -> None:
    """Refuse the default key for a replica of another account's secret, because no other account can use it.

    Raises:
        InvalidParameterException: KmsKeyId means the default key.
    """
    if not asked or means_default(kit, arn, asked):
        raise InvalidParameterException("You must use a customer managed KMS key for a cross-account replica.")


def add_pending(transaction: Transaction, primary_arn: str, arn: str, kms_key_id: str | None) -> None:
    """Store that a secret waits for its primary in another account to associate it."""
    record = ReplicationRecord(primary_arn, arn, kms_key_id, ReplicationStatus.PENDING, is_listed=False)
    replications.insert_replication(transaction, record)


def primary_of(kit: Kit, subject: SecretRecord) -> CrossAccountPrimaryType | None:
    """Return what a replica shows of its primary in another account."""
    if subject.primary_arn is None or not subject.is_account_replica:
        return None
    with kit.state.read() as connection:
        record = replications.load_replication(connection, subject.arn)
    shown: CrossAccountPrimaryType = {"PrimarySecretARN": subject.primary_arn}
    if record is not None:
        shown["ReplicationStatus"] = record.status
        if record.message is not None:
            shown["StatusMessage"] = record.message
    return shown


def replicas_of(listed: Sequence[ReplicationRecord]) -> list[CrossAccountReplicaEntry]:
    """Return what a secret shows of its replicas in other accounts."""
    return [_shown(record) for record in listed if is_between_accounts(record.primary_arn, record.replica_arn)]


def _shown(record: ReplicationRecord) -> CrossAccountReplicaEntry:
    shown: CrossAccountReplicaEntry = {"ReplicaSecretARN": record.replica_arn, "ReplicationStatus": record.status}
    if record.role_arn is not None:
        shown["ReplicationRoleARN"] = record.role_arn
    if record.message is not None:
        shown["StatusMessage"] = record.message
    return shown


def _accept(kit: Kit, call: Call, primary: SecretRecord, replica_arn: str) -> None:
    """Ask both accounts' policies whether the caller may associate the replica, and record that they were asked.

    Raises:
        AccessDenied: One of them says no, or there is no such replica.
    """
    replica = find_secret(kit, replica_arn)
    keys = SecretKeys({}, replica)
    policy = None
    if replica is not None and replica.primary_arn == primary.arn:
        policy = managed_policy(primary.arn)
    subject: Subject[SecretRecord] = Subject(replica_arn, replica_arn, replica, policy=policy, keys=keys)
    try:
        kit.authorise(call, ACCEPT_REPLICATION, subject)
        if replica is not None and replica.resource_policy is not None:
            # The policy that the replica's account has put may forbid what the other one allows.
            own = subject._replace(policy=replica.resource_policy)
            if kit.authorise.decide(call, ACCEPT_REPLICATION, own).outcome is Decided.EXPLICIT_DENY:
                kit.authorise(call, ACCEPT_REPLICATION, own)
    except AccessDenied as refused:
        _note_acceptance(call, primary, replica_arn, refused)
        raise
    _note_acceptance(call, primary, replica_arn, None)


def _note_acceptance(call: Call, primary: SecretRecord, replica_arn: str, refused: AccessDenied | None) -> None:
    if call.further_events is None:
        raise TypeError("a call whose further events nobody stores cannot associate replicas")
    event = api_event(
        call,
        event_id=new_event_id(call.at),
        event_source=SECRETS_MANAGER,
        event_name=ACCEPT_REPLICATION.partition(":")[2],
        read_only=False,
        request_parameters={"secretId": replica_arn, "crossAccountPrimaryARN": primary.arn},
        response_elements=None,
        error_code=None if refused is None else "AccessDenied",
        error_message=None if refused is None else refused.message,
        resource_arn=replica_arn,
        resource_type="AWS::SecretsManager::Secret",
        invoked_by=SECRETS_MANAGER,
    )
    call.further_events.append(event)
    if refused is None:
        # An ARN of nobody's making must not write into the trail of the account that it names.
        call.further_events.append(
            shared_with(event, new_event_id(call.at), Arn.parse(replica_arn).account_id, new_shared_id())
        )


def _check_role(connection: Connection, role_arn: str, primary_arn: str) -> None:
    role = roles.load_role_by_arn(connection, role_arn)
    if role is None or not trusts_service(role, SECRETS_MANAGER, primary_arn):
        raise InvalidParameterException(f"Secrets Manager can't assume the replication role {role_arn}.")


def _associable(connection: Connection, primary: SecretRecord, replica: SecretRecord) -> ReplicationRecord:
    """Return what is known of a replica that can be associated.

    Raises:
        InvalidParameterException: It was not created for this primary, or is none any more.
        LimitExceededException: The primary has another one.
    """
    record = replications.load_replication(connection, replica.arn)
    if record is None or replica.primary_arn != primary.arn:
        raise _no_replica(replica.arn, primary.arn)
    if any(other.replica_arn != replica.arn for other in _between_accounts(connection, primary.arn)):
        raise LimitExceededException("A secret can't have more than one cross-account replica.")
    return record


def _no_replica(arn: str, primary_arn: str) -> InvalidParameterException:
    return InvalidParameterException(f"Secret {arn} is no cross-account replica of secret {primary_arn}.")


def _between_accounts(connection: Connection, primary_arn: str) -> list[ReplicationRecord]:
    return [
        record
        for record in replications.load_replications(connection, primary_arn)
        if is_between_accounts(primary_arn, record.replica_arn)
    ]
