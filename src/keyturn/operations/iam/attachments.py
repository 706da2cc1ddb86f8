"""Which managed policies users, groups and roles have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from keyturn.call import Call
from keyturn.operations.iam import quotas
from keyturn.operations.iam.entities import (
    Owner,
    OwnerT,
    current,
    group,
    kind_of,
    role,
    role_with_boundary,
    user,
    user_with_boundary,
)
from keyturn.operations.iam.pages import end_of, page_of
from keyturn.operations.iam.policy_subjects import attachable_policy, check_policy_arn, not_found, used_policy
from keyturn.operations.iam.quotas import check_count
from keyturn.operations.kit import Kit
from keyturn.operations.paging import Page
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.overtaken_preflight import look_at_all_of_role
from keyturn.storage import attachments, groups, roles, users
from keyturn.storage.attachments import PolicyUsage
from keyturn.storage.groups import GroupRecord
from keyturn.storage.managed_policies import ManagedPolicyRecord
from keyturn.storage.roles import RoleRecord
from keyturn.storage.users import UserRecord
from keyturn.wire.types.iam import (
    AttachedPolicy,
    AttachGroupPolicyRequest,
    AttachRolePolicyRequest,
    AttachUserPolicyRequest,
    DetachGroupPolicyRequest,
    DetachRolePolicyRequest,
    DetachUserPolicyRequest,
    ListAttachedGroupPoliciesRequest,
    ListAttachedGroupPoliciesResponse,
    ListAttachedRolePoliciesRequest,
    ListAttachedRolePoliciesResponse,
    ListAttachedUserPoliciesRequest,
    ListAttachedUserPoliciesResponse,
    ListEntitiesForPolicyRequest,
    ListEntitiesForPolicyResponse,
)


@operation("iam", "AttachUserPolicy", subject=user_with_boundary)
def attach_user_policy(kit: Kit, call: Call, request: AttachUserPolicyRequest, record: UserRecord) -> dict[str, object]:
    """Give a user a managed policy."""
    return _attach(kit, call, record, request["PolicyArn"])


@operation("iam", "AttachGroupPolicy", subject=group)
def attach_group_policy(
    kit: Kit, call: Call, request: AttachGroupPolicyRequest, record: GroupRecord
) -> dict[str, object]:
    """Give a group, and so its members, a managed policy."""
    return _attach(kit, call, record, request["PolicyArn"])


@operation("iam", "AttachRolePolicy", subject=role_with_boundary)
def attach_role_policy(kit: Kit, call: Call, request: AttachRolePolicyRequest, record: RoleRecord) -> dict[str, object]:
    """Give a role a managed policy."""
    return _attach(kit, call, record, request["PolicyArn"])


@operation("iam", "DetachUserPolicy", subject=user_with_boundary)
def detach_user_policy(kit: Kit, call: Call, request: DetachUserPolicyRequest, record: UserRecord) -> dict[str, object]:
    """Take a managed policy from a user."""
    return _detach(kit, call, record, request["PolicyArn"])


@operation("iam", "DetachGroupPolicy", subject=group)
def detach_group_policy(
    kit: Kit, call: Call, request: DetachGroupPolicyRequest, record: GroupRecord
) -> dict[str, object]:
    """Take a managed policy from a group."""
    return _detach(kit, call, record, request["PolicyArn"])


@operation("iam", "DetachRolePolicy", subject=role_with_boundary)
def detach_role_policy(kit: Kit, call: Call, request: DetachRolePolicyRequest, record: RoleRecord) -> dict[str, object]:
    """Take a managed policy from a role."""
    return _detach(kit, call, record, request["PolicyArn"])


@operation("iam", "ListAttachedUserPolicies", subject=user)
def list_attached_user_policies(
    kit: Kit, call: Call, request: ListAttachedUserPoliciesRequest, record: UserRecord
) -> ListAttachedUserPoliciesResponse:
    """List a user's own managed policies; those of its groups are not among them."""
    page = _attached(kit, call, "ListAttachedUserPolicies", request, record)
    return {"AttachedPolicies": list(page.items), **end_of(page)}


@operation("iam", "ListAttachedGroupPolicies", subject=group)
def list_attached_group_policies(
    kit: Kit, call: Call, request: ListAttachedGroupPoliciesRequest, record: GroupRecord
) -> ListAttachedGroupPoliciesResponse:
    """List a group's managed policies."""
    page = _attached(kit, call, "ListAttachedGroupPolicies", request, record)
    return {"AttachedPolicies": list(page.items), **end_of(page)}


@operation("iam", "ListAttachedRolePolicies", subject=role)
def list_attached_role_policies(
    kit: Kit, call: Call, request: ListAttachedRolePoliciesRequest, record: RoleRecord
) -> ListAttachedRolePoliciesResponse:
    """List a role's managed policies."""
    page = _attached(kit, call, "ListAttachedRolePolicies", request, record)
    return {"AttachedPolicies": list(page.items), **end_of(page)}


@operation("iam", "ListEntitiesForPolicy", subject=used_policy)
def list_entities_for_policy(
    kit: Kit, call: Call, request: ListEntitiesForPolicyRequest, record: ManagedPolicyRecord
) -> ListEntitiesForPolicyResponse:
    """List who has a managed policy, as a permissions policy or as a boundary: groups, users, roles."""
    with kit.state.read() as connection:
        owners = _owners_of(connection, call, request, record.arn)
    page = page_of(kit, call, "PolicyEntities", request, owners, _position)
    return {
        "PolicyGroups": [
            {"GroupName": owner.name, "GroupId": owner.unique_id}
            for owner in page.items
            if isinstance(owner, GroupRecord)
        ],
        "PolicyUsers": [
            {"UserName": owner.name, "UserId": owner.unique_id} for owner in page.items if isinstance(owner, UserRecord)
        ],
        "PolicyRoles": [
            {"RoleName": owner.name, "RoleId": owner.unique_id} for owner in page.items if isinstance(owner, RoleRecord)
        ],
        **end_of(page),
    }


def attached_policies(policy_arns: list[str]) -> list[AttachedPolicy]:
    """Return managed policies as IAM lists an owner's, by name."""
    shown: list[AttachedPolicy] = [{"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn} for arn in policy_arns]
    return sorted(shown, key=_name_of)


def _attach(kit: Kit, call: Call, owner: OwnerT, policy_arn: str) -> dict[str, object]:
    check_policy_arn(policy_arn)
    kind = kind_of(owner)
    with kit.state.write() as transaction:
        now = current(transaction, owner)
        attachable_policy(transaction, call, policy_arn)
        present = attachments.load_attached(transaction.connection, now.arn)
        if policy_arn not in present:
            check_count(f"PoliciesPer{kind}", len(present), quotas.ATTACHED[kind])
            attachments.attach_policy(transaction, now.account_id, now.arn, policy_arn)
            look_at_all_of_role(kit, transaction, now.arn, call.at)
    return {}


def _detach(kit: Kit, call: Call, owner: OwnerT, policy_arn: str) -> dict[str, object]:
    check_policy_arn(policy_arn)
    with kit.state.write() as transaction:
        now = current(transaction, owner)
        if not attachments.detach_policy(transaction, now.arn, policy_arn):
            raise not_found(policy_arn)
        look_at_all_of_role(kit, transaction, now.arn, call.at)
    return {}


def _attached(kit: Kit, call: Call, listing: str, request: Mapping[str, Any], owner: Owner) -> Page[AttachedPolicy]:
    prefix = request.get("PathPrefix", "/")
    with kit.state.read() as connection:
        arns = attachments.load_attached(connection, owner.arn)
    under = [arn for arn in arns if _path_of(arn).startswith(prefix)]
    return page_of(kit, call, listing, request, attached_policies(under), _name_of)


def _owners_of(connection: Connection, call: Call, request: Mapping[str, Any], policy_arn: str) -> list[Owner]:
    account_id, wanted, prefix = call.place.account_id, request.get("EntityFilter"), request.get("PathPrefix", "/")
    usages = [PolicyUsage(request["PolicyUsageFilter"])] if "PolicyUsageFilter" in request else list(PolicyUsage)
    arns = {arn for usage in usages for arn in attachments.load_owners(connection, account_id, policy_arn, usage)}
    owners: list[Owner] = []
    if wanted in (None, "Group"):
        owners += groups.list_groups(connection, account_id)
    if wanted in (None, "User"):
        owners += users.list_users(connection, account_id)
    if wanted in (None, "Role"):
        owners += roles.list_roles(connection, account_id)
    found = [owner for owner in owners if owner.arn in arns and owner.path.startswith(prefix)]
    return sorted(found, key=_position)


def _position(owner: Owner) -> str:
    return f"{_ORDER.index(kind_of(owner))} {owner.name}"


def _name_of(attached: AttachedPolicy) -> str:
    # An account may have a policy of the name of one of AWS's.
    of_aws = ":iam::aws:" in attached["PolicyArn"]
    return f"{attached['PolicyName']} {'a' if of_aws else 'l'}"


def _path_of(policy_arn: str) -> str:
    path = policy_arn.partition(":policy")[2]
    return path[: path.rindex("/") + 1]


_ORDER = ("Group", "User", "Role")
