"""Permissions boundaries: the managed policy beyond which nothing can allow a user or role anything."""

from __future__ import annotations

from keyturn.call import Call
from keyturn.errors.iam import InvalidInputException, NoSuchEntityException
from keyturn.operations.iam.entities import current, role_with_boundary, user_with_boundary
from keyturn.operations.iam.policy_subjects import attachable_policy, is_policy_arn
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.overtaken_preflight import look_at_all_of_role
from keyturn.storage import roles, users
from keyturn.storage.database import Transaction
from keyturn.storage.roles import RoleRecord
from keyturn.storage.users import UserRecord
from keyturn.wire.types.iam import (
    AttachedPermissionsBoundary,
    DeleteRolePermissionsBoundaryRequest,
    DeleteUserPermissionsBoundaryRequest,
    PutRolePermissionsBoundaryRequest,
    PutUserPermissionsBoundaryRequest,
)


@operation("iam", "PutUserPermissionsBoundary", subject=user_with_boundary)
def put_user_permissions_boundary(
    kit: Kit, call: Call, request: PutUserPermissionsBoundaryRequest, record: UserRecord
) -> dict[str, object]:
    """Give a user a boundary, in place of the one it has."""
    with kit.state.write() as transaction:
        now = current(transaction, record)
        lock_boundary(transaction, call, request["PermissionsBoundary"])
        users.update_user(transaction, now, boundary_arn=request["PermissionsBoundary"])
    return {}


@operation("iam", "PutRolePermissionsBoundary", subject=role_with_boundary)
def put_role_permissions_boundary(
    kit: Kit, call: Call, request: PutRolePermissionsBoundaryRequest, record: RoleRecord
) -> dict[str, object]:
    """Give a role a boundary, in place of the one it has."""
    with kit.state.write() as transaction:
        now = current(transaction, record)
        lock_boundary(transaction, call, request["PermissionsBoundary"])
        roles.update_role(transaction, now, boundary_arn=request["PermissionsBoundary"])
        look_at_all_of_role(kit, transaction, now.arn, call.at)
    return {}


@operation("iam", "DeleteUserPermissionsBoundary", subject=user_with_boundary)
def delete_user_permissions_boundary(
    kit: Kit, _call: Call, _request: DeleteUserPermissionsBoundaryRequest, record: UserRecord
) -> dict[str, object]:
    """Take a user's boundary away, if it has one."""
    with kit.state.write() as transaction:
        users.update_user(transaction, current(transaction, record), boundary_arn=None)
    return {}


@operation("iam", "DeleteRolePermissionsBoundary", subject=role_with_boundary)
def delete_role_permissions_boundary(
    kit: Kit, call: Call, _request: DeleteRolePermissionsBoundaryRequest, record: RoleRecord
) -> dict[str, object]:
    """Take a role's boundary away, if it has one."""
    with kit.state.write() as transaction:
        now = current(transaction, record)
        roles.update_role(transaction, now, boundary_arn=None)
        look_at_all_of_role(kit, transaction, now.arn, call.at)
    return {}


def lock_boundary(transaction: Transaction, call: Call, policy_arn: str) -> None:
    """Return if a policy can be a boundary; it stays until the transaction ends.

    Raises:
        InvalidInputException: It is not the ARN of a policy.
        NoSuchEntityException: There is no such policy.
    """
    if not is_policy_arn(policy_arn):
        raise InvalidInputException(f"ARN {policy_arn} is not valid.")
    try:
        attachable_policy(transaction, call, policy_arn)
    except NoSuchEntityException as error:
        message = f"Scope ARN: {policy_arn} does not exist or is not attachable."
        raise NoSuchEntityException(message) from error


def shown_boundary(policy_arn: str) -> AttachedPermissionsBoundary:
    """Return a boundary as IAM shows it; the model has another name for its type."""
    return {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": policy_arn}
