"""Versions of managed policies: at most five, of which one is the default, the one that counts."""

from __future__ import annotations

from keyturn.call import Call
from keyturn.errors.iam import DeleteConflictException, LimitExceededException
from keyturn.operations.iam import quotas
from keyturn.operations.iam.pages import end_of, page_of
from keyturn.operations.iam.policy_subjects import (
    check_own,
    current_policy,
    load_versions,
    no_version,
    not_found,
    policy,
    policy_version,
)
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.overtaken_preflight import look_at_all_of_policy
from keyturn.rules.policy.document import parse_managed_policy
from keyturn.storage import managed_policies
from keyturn.storage.managed_policies import ManagedPolicyRecord, PolicyVersionRecord
from keyturn.wire.types.iam import (
    CreatePolicyVersionRequest,
    CreatePolicyVersionResponse,
    DeletePolicyVersionRequest,
    GetPolicyVersionRequest,
    GetPolicyVersionResponse,
    ListPolicyVersionsRequest,
    ListPolicyVersionsResponse,
    PolicyVersion,
    SetDefaultPolicyVersionRequest,
)


@operation("iam", "CreatePolicyVersion", subject=policy)
def create_policy_version(
    kit: Kit, call: Call, request: CreatePolicyVersionRequest, record: ManagedPolicyRecord
) -> CreatePolicyVersionResponse:
    """Add a version to a managed policy; if it is the default, it counts from now on."""
    document, is_default = request["PolicyDocument"], request.get("SetAsDefault", False)
    check_own(call, record)
    parse_managed_policy(document)
    with kit.state.write() as transaction:
        now = current_policy(transaction, record, not_found(record.arn))
        versions = managed_policies.load_versions(transaction.connection, now.arn)
        if len(versions) >= quotas.VERSIONS_PER_POLICY:
            raise LimitExceededException(
                f"A managed policy can have up to {quotas.VERSIONS_PER_POLICY} versions. Before you create a new"
                " version, you must delete an existing version."
            )
        added = managed_policies.add_version(transaction, now, document, call.at, is_default=is_default)
        if is_default:
            look_at_all_of_policy(kit, transaction, now.account_id, now.arn, call.at)
    return {"PolicyVersion": shown_version(added, is_default=is_default)}


@operation("iam", "GetPolicyVersion", subject=policy_version)
def get_policy_version(
    kit: Kit, _call: Call, request: GetPolicyVersionRequest, record: ManagedPolicyRecord
) -> GetPolicyVersionResponse:
    """Show a version with its document."""
    with kit.state.read() as connection:
        versions = load_versions(connection, record)
    return {"PolicyVersion": with_document(_find(versions, record, request["VersionId"]), record)}


@operation("iam", "ListPolicyVersions", subject=policy)
def list_policy_versions(
    kit: Kit, call: Call, request: ListPolicyVersionsRequest, record: ManagedPolicyRecord
) -> ListPolicyVersionsResponse:
    """List versions, newest first, without their documents."""
    with kit.state.read() as connection:
        versions = load_versions(connection, record)
    page = page_of(kit, call, "ListPolicyVersions", request, versions, _position)
    shown = [shown_version(version, is_default=version.version == record.default_version) for version in page.items]
    return {"Versions": shown, **end_of(page)}


@operation("iam", "SetDefaultPolicyVersion", subject=policy_version)
def set_default_policy_version(
    kit: Kit, call: Call, request: SetDefaultPolicyVersionRequest, record: ManagedPolicyRecord
) -> dict[str, object]:
    """Let another version count from now on, for everybody who has the policy."""
    check_own(call, record)
    version_id = request["VersionId"]
    with kit.state.write() as transaction:
        now = current_policy(transaction, record, no_version(record.arn, version_id))
        version = _find(managed_policies.load_versions(transaction.connection, now.arn), now, version_id)
        managed_policies.update_policy(transaction, now.arn, default_version=version.version)
        look_at_all_of_policy(kit, transaction, now.account_id, now.arn, call.at)
    return {}


@operation("iam", "DeletePolicyVersion", subject=policy_version)
def delete_policy_version(
    kit: Kit, call: Call, request: DeletePolicyVersionRequest, record: ManagedPolicyRecord
) -> dict[str, object]:
    """Delete a version that is not the default; its number is not given again."""
    check_own(call, record)
    version_id = request["VersionId"]
    with kit.state.write() as transaction:
        now = current_policy(transaction, record, no_version(record.arn, version_id))
        version = _find(managed_policies.load_versions(transaction.connection, now.arn), now, version_id)
        if version.version == now.default_version:
            raise DeleteConflictException("Cannot delete the default version of a policy.")
        managed_policies.delete_version(transaction, now.arn, version.version)
    return {}


def shown_version(version: PolicyVersionRecord, *, is_default: bool) -> PolicyVersion:
    """Return a version as it is listed."""
    return {
        "VersionId": f"v{version.version}",
        "IsDefaultVersion": is_default,
        "CreateDate": version.created_at,
    }


def with_document(version: PolicyVersionRecord, record: ManagedPolicyRecord) -> PolicyVersion:
    """Return a version with its document."""
    shown = shown_version(version, is_default=version.version == record.default_version)
    return {"Document": version.document, **shown}


def _find(versions: list[PolicyVersionRecord], record: ManagedPolicyRecord, version_id: str) -> PolicyVersionRecord:
    for version in versions:
        if f"v{version.version}" == version_id:
            return version
    raise no_version(record.arn, version_id)


def _position(version: PolicyVersionRecord) -> str:
    # The newest comes first, and a marker says what comes after it.
    return f"{10**9 - version.version}"
