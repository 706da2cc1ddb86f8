"""The users, groups and roles that IAM's calls act on.

A refusal names the entity as AWS does: ``on resource: role NAME``, and its ARN where it is about to be made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from keyturn.call import Call, PrincipalKind
from keyturn.errors.common import ValidationFailed
from keyturn.errors.iam import NoSuchEntityException
from keyturn.operations.iam.tagging import ConditionKeys, request_tag_keys, resource_tag_keys
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject
from keyturn.storage import groups, roles, users
from keyturn.storage.database import Transaction
from keyturn.storage.groups import GroupRecord
from keyturn.storage.roles import RoleRecord
from keyturn.storage.users import UserRecord

Owner = UserRecord | GroupRecord | RoleRecord
"""Whoever has policies."""

OwnerT = TypeVar("OwnerT", UserRecord, GroupRecord, RoleRecord)

_BOUNDARY = "iam:permissionsboundary"


def role(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[RoleRecord]:
    """Load the role that ``RoleName`` means."""
    return _role(kit, call, request, with_boundary=False)


def role_with_boundary(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[RoleRecord]:
    """Load the role that ``RoleName`` means, for a call that changes what it may do."""
    return _role(kit, call, request, with_boundary=True)


def user(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[UserRecord]:
    """Load the user that ``UserName`` means; without it, the user who calls.

    Raises:
        ValidationFailed: No name, and the caller is not a user.
    """
    return _user(kit, call, request, with_boundary=False)


def user_with_boundary(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[UserRecord]:
    """Load the user that ``UserName`` means, for a call that changes what it may do.

    Raises:
        ValidationFailed: No name, and the caller is not a user.
    """
    return _user(kit, call, request, with_boundary=True)


def group(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[GroupRecord]:
    """Load the group that ``GroupName`` means."""
    name = request["GroupName"]
    with kit.state.read() as connection:
        record = groups.load_group(connection, call.place.account_id, name)
    asked, keys = f"group {name}", policy_keys(request)
    if record is None:
        return Subject(call.place.group_arn("/", name), asked, None, missing=missing("group", name), keys=keys)
    return Subject(record.arn, asked, record, keys=keys)


def all_roles(_kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[None]:
    """The path under which roles are listed."""
    arn = call.place.role_arn(request.get("PathPrefix", "/"), "")
    return Subject(arn, arn, record=None)


def all_users(_kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[None]:
    """The path under which users are listed."""
    arn = call.place.user_arn(request.get("PathPrefix", "/"), "")
    return Subject(arn, arn, record=None)


def all_groups(_kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[None]:
    """The path under which groups are listed."""
    arn = call.place.group_arn(request.get("PathPrefix", "/"), "")
    return Subject(arn, arn, record=None)


def new_entity(arn: str, request: Mapping[str, Any]) -> Subject[None]:
    """What a call would make."""
    return Subject(arn, arn, record=None, keys={**request_tag_keys(request), **policy_keys(request)})


def policy_keys(request: Mapping[str, Any]) -> ConditionKeys:
    """Condition keys of the managed policies that a request names."""
    named = {"iam:policyarn": request.get("PolicyArn"), _BOUNDARY: request.get("PermissionsBoundary")}
    return {name: (arn,) for name, arn in named.items() if arn is not None}


def kind_of(owner: Owner) -> str:
    """Return what IAM's texts call an owner: ``User``, ``Group`` or ``Role``."""
    if isinstance(owner, RoleRecord):
        return "Role"
    return "Group" if isinstance(owner, GroupRecord) else "User"


def current(transaction: Transaction, owner: OwnerT) -> OwnerT:
    """Lock a user, group or role and return it as it is now: nobody else changes it or its policies meanwhile.

    Raises:
        NoSuchEntityException: It is not there any more: what has its name by now is not what the caller was allowed.
    """
    found: OwnerT | None
    if isinstance(owner, RoleRecord):
        found = roles.lock_role(transaction, owner.account_id, owner.name)
    elif isinstance(owner, GroupRecord):
        found = groups.lock_group(transaction, owner.account_id, owner.name)
    else:
        found = users.lock_user(transaction, owner.account_id, owner.name)
    if found is None or (found.unique_id, found.arn) != (owner.unique_id, owner.arn):
        raise missing(kind_of(owner).lower(), owner.name)
    return found


def missing(kind: str, name: str) -> NoSuchEntityException:
    """What is said about a user, group or role that does not exist."""
    return NoSuchEntityException(f"The {kind} with name {name} cannot be found.")


def _role(kit: Kit, call: Call, request: Mapping[str, Any], *, with_boundary: bool) -> Subject[RoleRecord]:
    name = request["RoleName"]
    with kit.state.read() as connection:
        record = roles.load_role(connection, call.place.account_id, name)
    keys = _keys(request, record, with_boundary=with_boundary)
    if record is None:
        arn = call.place.role_arn("/", name)
        return Subject(arn, f"role {name}", None, missing=missing("role", name), keys=keys)
    return Subject(record.arn, f"role {name}", record, keys=keys)


def _user(kit: Kit, call: Call, request: Mapping[str, Any], *, with_boundary: bool) -> Subject[UserRecord]:
    name = request.get("UserName")
    if name is None:
        if call.principal.kind is not PrincipalKind.USER:
            raise ValidationFailed("Must specify userName when calling with non-User credentials")
        name = call.principal.name
    with kit.state.read() as connection:
        record = users.load_user(connection, call.place.account_id, name)
    keys = _keys(request, record, with_boundary=with_boundary)
    if record is None:
        arn = call.place.user_arn("/", name)
        return Subject(arn, f"user {name}", None, missing=missing("user", name), keys=keys)
    return Subject(record.arn, f"user {name}", record, keys=keys)


def _keys(request: Mapping[str, Any], record: UserRecord | RoleRecord | None, *, with_boundary: bool) -> ConditionKeys:
    tags = None if record is None else record.tags
    keys = {**request_tag_keys(request), **resource_tag_keys(tags)}
    if with_boundary and record is not None and record.boundary_arn is not None:
        keys[_BOUNDARY] = (record.boundary_arn,)
    # A boundary that a request names comes before the one that is there.
    return {**keys, **policy_keys(request)}
