"""Inline policies of users, groups and roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyturn.call import Call
from keyturn.errors.iam import NoSuchEntityException
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
from keyturn.operations.kit import Kit
from keyturn.operations.paging import Page
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.overtaken_preflight import look_at_all_of_role
from keyturn.rules.policy.document import check_inline_size, parse_identity_policy
from keyturn.storage import inline_policies
from keyturn.storage.groups import GroupRecord
from keyturn.storage.roles import RoleRecord
from keyturn.storage.users import UserRecord
from keyturn.wire.types.iam import (
    DeleteGroupPolicyRequest,
    DeleteRolePolicyRequest,
    DeleteUserPolicyRequest,
    GetGroupPolicyRequest,
    GetGroupPolicyResponse,
    GetRolePolicyRequest,
    GetRolePolicyResponse,
    GetUserPolicyRequest,
    GetUserPolicyResponse,
    ListGroupPoliciesRequest,
    ListGroupPoliciesResponse,
    ListRolePoliciesRequest,
    ListRolePoliciesResponse,
    ListUserPoliciesRequest,
    ListUserPoliciesResponse,
    PutGroupPolicyRequest,
    PutRolePolicyRequest,
    PutUserPolicyRequest,
)


@operation("iam", "PutUserPolicy", subject=user_with_boundary)
def put_user_policy(kit: Kit, call: Call, request: PutUserPolicyRequest, record: UserRecord) -> dict[str, object]:
    """Give a user a policy, or replace the one of that name."""
    return _put(kit, call, record, request["PolicyName"], request["PolicyDocument"])


@operation("iam", "PutGroupPolicy", subject=group)
def put_group_policy(kit: Kit, call: Call, request: PutGroupPolicyRequest, record: GroupRecord) -> dict[str, object]:
    """Give a group, and so its members, a policy, or replace the one of that name."""
    return _put(kit, call, record, request["PolicyName"], request["PolicyDocument"])


@operation("iam", "PutRolePolicy", subject=role_with_boundary)
def put_role_policy(kit: Kit, call: Call, request: PutRolePolicyRequest, record: RoleRecord) -> dict[str, object]:
    """Give a role a policy, or replace the one of that name."""
    return _put(kit, call, record, request["PolicyName"], request["PolicyDocument"])


@operation("iam", "GetUserPolicy", subject=user)
def get_user_policy(kit: Kit, _call: Call, request: GetUserPolicyRequest, record: UserRecord) -> GetUserPolicyResponse:
    """Show a policy of a user as it was put."""
    name = request["PolicyName"]
    return {"UserName": record.name, "PolicyName": name, "PolicyDocument": _document(kit, record, name)}


@operation("iam", "GetGroupPolicy", subject=group)
def get_group_policy(
    kit: Kit, _call: Call, request: GetGroupPolicyRequest, record: GroupRecord
) -> GetGroupPolicyResponse:
    """Show a policy of a group as it was put."""
    name = request["PolicyName"]
    return {"GroupName": record.name, "PolicyName": name, "PolicyDocument": _document(kit, record, name)}


@operation("iam", "GetRolePolicy", subject=role)
def get_role_policy(kit: Kit, _call: Call, request: GetRolePolicyRequest, record: RoleRecord) -> GetRolePolicyResponse:
    """Show a policy of a role as it was put."""
    name = request["PolicyName"]
    return {"RoleName": record.name, "PolicyName": name, "PolicyDocument": _document(kit, record, name)}


@operation("iam", "ListUserPolicies", subject=user)
def list_user_policies(
    kit: Kit, call: Call, request: ListUserPoliciesRequest, record: UserRecord
) -> ListUserPoliciesResponse:
    """List the names of a user's policies."""
    page = _names(kit, call, "ListUserPolicies", request, record)
    return {"PolicyNames": list(page.items), **end_of(page)}


@operation("iam", "ListGroupPolicies", subject=group)
def list_group_policies(
    kit: Kit, call: Call, request: ListGroupPoliciesRequest, record: GroupRecord
) -> ListGroupPoliciesResponse:
    """List the names of a group's policies."""
    page = _names(kit, call, "ListGroupPolicies", request, record)
    return {"PolicyNames": list(page.items), **end_of(page)}


@operation("iam", "ListRolePolicies", subject=role)
def list_role_policies(
    kit: Kit, call: Call, request: ListRolePoliciesRequest, record: RoleRecord
) -> ListRolePoliciesResponse:
    """List the names of a role's policies."""
    page = _names(kit, call, "ListRolePolicies", request, record)
    return {"PolicyNames": list(page.items), **end_of(page)}


@operation("iam", "DeleteUserPolicy", subject=user_with_boundary)
def delete_user_policy(kit: Kit, call: Call, request: DeleteUserPolicyRequest, record: UserRecord) -> dict[str, object]:
    """Take a policy from a user."""
    return _delete(kit, call, record, request["PolicyName"])


@operation("iam", "DeleteGroupPolicy", subject=group)
def delete_group_policy(
    kit: Kit, call: Call, request: DeleteGroupPolicyRequest, record: GroupRecord
) -> dict[str, object]:
    """Take a policy from a group."""
    return _delete(kit, call, record, request["PolicyName"])


@operation("iam", "DeleteRolePolicy", subject=role_with_boundary)
def delete_role_policy(kit: Kit, call: Call, request: DeleteRolePolicyRequest, record: RoleRecord) -> dict[str, object]:
    """Take a policy from a role."""
    return _delete(kit, call, record, request["PolicyName"])


def _put(kit: Kit, call: Call, owner: OwnerT, name: str, document: str) -> dict[str, object]:
    parse_identity_policy(document)
    with kit.state.write() as transaction:
        now = current(transaction, owner)
        present = inline_policies.load_inline_policies(transaction.connection, now.arn)
        check_inline_size(kind_of(now).lower(), now.name, {**present, name: document}.values())
        inline_policies.put_inline_policy(transaction, now.arn, name, document)
        look_at_all_of_role(kit, transaction, now.arn, call.at)
    return {}


def _document(kit: Kit, owner: Owner, name: str) -> str:
    with kit.state.read() as connection:
        document = inline_policies.load_inline_policies(connection, owner.arn).get(name)
    if document is None:
        raise _missing(owner, name)
    return document


def _names(kit: Kit, call: Call, listing: str, request: Mapping[str, Any], owner: Owner) -> Page[str]:
    with kit.state.read() as connection:
        names = sorted(inline_policies.load_inline_policies(connection, owner.arn))
    return page_of(kit, call, listing, request, names, str)


def _delete(kit: Kit, call: Call, owner: OwnerT, name: str) -> dict[str, object]:
    with kit.state.write() as transaction:
        now = current(transaction, owner)
        if not inline_policies.delete_inline_policy(transaction, now.arn, name):
            raise _missing(now, name)
        look_at_all_of_role(kit, transaction, now.arn, call.at)
    return {}


def _missing(owner: Owner, name: str) -> NoSuchEntityException:
    return NoSuchEntityException(f"The {kind_of(owner).lower()} policy with name {name} cannot be found.")
