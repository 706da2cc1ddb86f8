"""Inline policies of users and roles. Managed policies are not offered; the lists of attached ones are empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyturn.call import Call
from keyturn.errors.iam import NoSuchEntityException
from keyturn.operations.iam.entities import missing_role, missing_user, role, user
from keyturn.operations.iam.pages import page_of
from keyturn.operations.kit import Kit
from keyturn.operations.paging import Page
from keyturn.operations.registry import operation
from keyturn.rules.policy.document import check_inline_size, parse_identity_policy
from keyturn.storage import principals
from keyturn.storage.principals import RoleRecord, UserRecord
from keyturn.wire.types.iam import (
    DeleteRolePolicyRequest,
    DeleteRolePolicyResponse,
    DeleteUserPolicyRequest,
    DeleteUserPolicyResponse,
    GetRolePolicyRequest,
    GetRolePolicyResponse,
    GetUserPolicyRequest,
    GetUserPolicyResponse,
    ListAttachedRolePoliciesRequest,
    ListAttachedRolePoliciesResponse,
    ListAttachedUserPoliciesRequest,
    ListAttachedUserPoliciesResponse,
    ListRolePoliciesRequest,
    ListRolePoliciesResponse,
    ListUserPoliciesRequest,
    ListUserPoliciesResponse,
    PutRolePolicyRequest,
    PutRolePolicyResponse,
    PutUserPolicyRequest,
    PutUserPolicyResponse,
)

Owner = RoleRecord | UserRecord


@operation("iam", "PutRolePolicy", subject=role)
def put_role_policy(kit: Kit, _call: Call, request: PutRolePolicyRequest, record: RoleRecord) -> PutRolePolicyResponse:
    """Give a role a policy, or replace the one of that name."""
    _put(kit, record, request["PolicyName"], request["PolicyDocument"])
    return {}


@operation("iam", "PutUserPolicy", subject=user)
def put_user_policy(kit: Kit, _call: Call, request: PutUserPolicyRequest, record: UserRecord) -> PutUserPolicyResponse:
    """Give a user a policy, or replace the one of that name."""
    _put(kit, record, request["PolicyName"], request["PolicyDocument"])
    return {}


@operation("iam", "GetRolePolicy", subject=role)
def get_role_policy(kit: Kit, _call: Call, request: GetRolePolicyRequest, record: RoleRecord) -> GetRolePolicyResponse:
    """Show a policy of a role as it was put."""
    name = request["PolicyName"]
    return {"RoleName": record.name, "PolicyName": name, "PolicyDocument": _document(kit, record, name)}


@operation("iam", "GetUserPolicy", subject=user)
def get_user_policy(kit: Kit, _call: Call, request: GetUserPolicyRequest, record: UserRecord) -> GetUserPolicyResponse:
    """Show a policy of a user as it was put."""
    name = request["PolicyName"]
    return {"UserName": record.name, "PolicyName": name, "PolicyDocument": _document(kit, record, name)}


@operation("iam", "ListRolePolicies", subject=role)
def list_role_policies(
    kit: Kit, call: Call, request: ListRolePoliciesRequest, record: RoleRecord
) -> ListRolePoliciesResponse:
    """List the names of a role's policies."""
    page = _names(kit, call, "ListRolePolicies", request, record)
    response: ListRolePoliciesResponse = {"PolicyNames": list(page.items), "IsTruncated": page.is_truncated}
    if page.marker is not None:
        response["Marker"] = page.marker
    return response


@operation("iam", "ListUserPolicies", subject=user)
def list_user_policies(
    kit: Kit, call: Call, request: ListUserPoliciesRequest, record: UserRecord
) -> ListUserPoliciesResponse:
    """List the names of a user's policies."""
    page = _names(kit, call, "ListUserPolicies", request, record)
    response: ListUserPoliciesResponse = {"PolicyNames": list(page.items), "IsTruncated": page.is_truncated}
    if page.marker is not None:
        response["Marker"] = page.marker
    return response


@operation("iam", "DeleteRolePolicy", subject=role)
def delete_role_policy(
    kit: Kit, _call: Call, request: DeleteRolePolicyRequest, record: RoleRecord
) -> DeleteRolePolicyResponse:
    """Take a policy from a role."""
    _delete(kit, record, request["PolicyName"])
    return {}


@operation("iam", "DeleteUserPolicy", subject=user)
def delete_user_policy(
    kit: Kit, _call: Call, request: DeleteUserPolicyRequest, record: UserRecord
) -> DeleteUserPolicyResponse:
    """Take a policy from a user."""
    _delete(kit, record, request["PolicyName"])
    return {}


@operation("iam", "ListAttachedRolePolicies", subject=role)
def list_attached_role_policies(
    _kit: Kit, _call: Call, _request: ListAttachedRolePoliciesRequest, _record: RoleRecord
) -> ListAttachedRolePoliciesResponse:
    """Say that no managed policy is attached: clients ask before they delete a role."""
    return {"AttachedPolicies": [], "IsTruncated": False}


@operation("iam", "ListAttachedUserPolicies", subject=user)
def list_attached_user_policies(
    _kit: Kit, _call: Call, _request: ListAttachedUserPoliciesRequest, _record: UserRecord
) -> ListAttachedUserPoliciesResponse:
    """Say that no managed policy is attached: clients ask before they delete a user."""
    return {"AttachedPolicies": [], "IsTruncated": False}


def _put(kit: Kit, owner: Owner, name: str, document: str) -> None:
    parse_identity_policy(document)
    with kit.state.write() as transaction:
        connection = transaction.connection
        if isinstance(owner, RoleRecord):
            if principals.load_role(connection, owner.account_id, owner.name) is None:
                raise missing_role(owner.name)
        elif principals.load_user(connection, owner.account_id, owner.name) is None:
            raise missing_user(owner.name)
        present = principals.inline_policies(connection, owner.arn)
        check_inline_size(_kind(owner), owner.name, {**present, name: document}.values())
        principals.put_inline_policy(transaction, owner.arn, name, document)


def _document(kit: Kit, owner: Owner, name: str) -> str:
    with kit.state.read() as connection:
        document = principals.inline_policies(connection, owner.arn).get(name)
    if document is None:
        raise _missing(owner, name)
    return document


def _names(kit: Kit, call: Call, listing: str, request: Mapping[str, Any], owner: Owner) -> Page[str]:
    with kit.state.read() as connection:
        names = sorted(principals.inline_policies(connection, owner.arn))
    return page_of(kit, call, listing, request, names, str)


def _delete(kit: Kit, owner: Owner, name: str) -> None:
    with kit.state.write() as transaction:
        if not principals.delete_inline_policy(transaction, owner.arn, name):
            raise _missing(owner, name)


def _missing(owner: Owner, name: str) -> NoSuchEntityException:
    return NoSuchEntityException(f"The {_kind(owner)} policy with name {name} cannot be found.")


def _kind(owner: Owner) -> str:
    return "role" if isinstance(owner, RoleRecord) else "user"
