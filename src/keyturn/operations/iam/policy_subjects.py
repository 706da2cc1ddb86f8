"""The managed policies that IAM's calls act on: AWS's, which are files, and customers', which are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from keyturn.arn import Arn, InvalidArn
from keyturn.call import Call
from keyturn.errors.common import AccessDenied, ValidationFailed
from keyturn.errors.iam import NoSuchEntityException
from keyturn.operations.iam.tagging import request_tag_keys, resource_tag_keys
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject
from keyturn.rules.policy.aws_policies import AWS_ACCOUNT, AwsPolicy, all_aws_policies, find_aws_policy
from keyturn.storage import managed_policies
from keyturn.storage.database import Transaction
from keyturn.storage.managed_policies import ManagedPolicyRecord, PolicyVersionRecord


def policy(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[ManagedPolicyRecord]:
    """Load the policy that ``PolicyArn`` means.

    Raises:
        ValidationFailed: It is not the ARN of a policy.
    """
    return _subject(kit, call, request, not_found(request["PolicyArn"]))


def used_policy(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[ManagedPolicyRecord]:
    """Load the policy that ``PolicyArn`` means, for a call about who has it.

    Raises:
        ValidationFailed: It is not the ARN of a policy.
    """
    return _subject(kit, call, request, not_attachable(request["PolicyArn"]))


def policy_version(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[ManagedPolicyRecord]:
    """Load the policy that ``PolicyArn`` means, for a call about the version that ``VersionId`` means.

    Raises:
        ValidationFailed: It is not the ARN of a policy.
    """
    return _subject(kit, call, request, no_version(request["PolicyArn"], request["VersionId"]))


def attachable_policy(transaction: Transaction, call: Call, policy_arn: str) -> ManagedPolicyRecord:
    """Return a policy that the caller's account can use, which stays until the transaction ends.

    Raises:
        NoSuchEntityException: There is none.
    """
    is_ours = policy_arn.startswith(call.place.policy_arn("/", ""))
    found = managed_policies.lock_policy(transaction, policy_arn) if is_ours else _aws_policy(call, policy_arn)
    if found is None:
        raise not_attachable(policy_arn)
    return found


def current_policy(
    transaction: Transaction, record: ManagedPolicyRecord, refusal: NoSuchEntityException
) -> ManagedPolicyRecord:
    """Lock a policy and return it as it is now.

    Raises:
        NoSuchEntityException: ``refusal``, if it is not there any more.
    """
    current = managed_policies.lock_policy(transaction, record.arn)
    if current is None:
        raise refusal
    return current


def load_versions(connection: Connection, record: ManagedPolicyRecord) -> list[PolicyVersionRecord]:
    """Return the versions of a policy, newest first; of AWS's, the one that there is."""
    if not is_of_aws(record):
        return managed_policies.load_versions(connection, record.arn)
    of_aws = find_aws_policy(record.arn, Arn.parse(record.arn).partition)
    return [PolicyVersionRecord(of_aws.version, of_aws.document, of_aws.updated_at)] if of_aws else []


def aws_policies(call: Call) -> list[ManagedPolicyRecord]:
    """Return AWS's policies, by name."""
    return [_record(of_aws) for of_aws in all_aws_policies(call.place.partition)]


def is_of_aws(record: ManagedPolicyRecord) -> bool:
    """Whether a policy is one of AWS's."""
    return record.account_id == AWS_ACCOUNT


def check_own(call: Call, record: ManagedPolicyRecord) -> None:
    """Return if a policy is the account's own, so that it can be changed.

    Raises:
        AccessDenied: It is not.
    """
    if record.account_id != call.place.account_id:
        raise AccessDenied("Policy is outside your own account.")


def check_policy_arn(text: str) -> None:
    """Return if a text is the ARN of a policy, whether it exists or not.

    Raises:
        ValidationFailed: It is not.
    """
    if not is_policy_arn(text):
        raise ValidationFailed(f"ARN {text} is not valid.")


def is_policy_arn(text: str) -> bool:
    """Whether a text is the ARN of a policy."""
    try:
        arn = Arn.parse(text)
    except InvalidArn:
        return False
    return arn.service == "iam" and not arn.region and arn.resource.startswith("policy/")


def not_found(policy_arn: str) -> NoSuchEntityException:
    """What is said about a policy that does not exist, or that an owner does not have."""
    return NoSuchEntityException(f"Policy {policy_arn} was not found.")


def not_attachable(policy_arn: str) -> NoSuchEntityException:
    """What is said about a policy that does not exist to whoever wants to use it."""
    return NoSuchEntityException(f"Policy {policy_arn} does not exist or is not attachable.")


def no_version(policy_arn: str, version_id: str) -> NoSuchEntityException:
    """What is said about a version that does not exist."""
    return NoSuchEntityException(f"Policy {policy_arn} version {version_id} does not exist or is not attachable.")


def _subject(
    kit: Kit, call: Call, request: Mapping[str, Any], refusal: NoSuchEntityException
) -> Subject[ManagedPolicyRecord]:
    arn, keys = request["PolicyArn"], request_tag_keys(request)
    check_policy_arn(arn)
    found = _aws_policy(call, arn)
    if found is None:
        with kit.state.read() as connection:
            found = managed_policies.load_policy(connection, arn)
    if found is None:
        return Subject(arn, f"policy {arn}", None, missing=refusal, keys=keys)
    return Subject(arn, f"policy {arn}", found, keys={**keys, **resource_tag_keys(found.tags)})


def _aws_policy(call: Call, arn: str) -> ManagedPolicyRecord | None:
    of_aws = find_aws_policy(arn, call.place.partition)
    return None if of_aws is None else _record(of_aws)


def _record(of_aws: AwsPolicy) -> ManagedPolicyRecord:
    return ManagedPolicyRecord(
        arn=of_aws.arn,
        account_id=AWS_ACCOUNT,
        name=of_aws.name,
        unique_id=of_aws.unique_id,
        path=of_aws.path,
        description=of_aws.description,
        tags=None,
        created_at=of_aws.created_at,
        updated_at=of_aws.updated_at,
        default_version=of_aws.version,
        newest_version=of_aws.version,
    )
