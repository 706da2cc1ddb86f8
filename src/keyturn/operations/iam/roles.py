"""Roles: create, read, list, change, tag, delete."""

from __future__ import annotations

from keyturn import ids
from keyturn.call import Call
from keyturn.errors.iam import DeleteConflictException, MalformedPolicyDocumentException, NoSuchEntityException
from keyturn.operations.iam.entities import (
    all_roles,
    already_exists,
    check_new_name,
    missing_role,
    request_tag_keys,
    role,
    tag_list,
    with_tags,
)
from keyturn.operations.iam.pages import page_of
from keyturn.operations.kit import Kit
from keyturn.operations.named_principals import missing_principals
from keyturn.operations.registry import operation
from keyturn.operations.subject import Subject
from keyturn.rules.policy.document import PolicyDocument, parse_trust_policy
from keyturn.storage import principals
from keyturn.storage.database import Transaction
from keyturn.storage.principals import RoleRecord
from keyturn.wire.types.iam import (
    CreateRoleRequest,
    CreateRoleResponse,
    DeleteRoleRequest,
    DeleteRoleResponse,
    GetRoleRequest,
    GetRoleResponse,
    ListInstanceProfilesForRoleRequest,
    ListInstanceProfilesForRoleResponse,
    ListRolesRequest,
    ListRolesResponse,
    ListRoleTagsRequest,
    ListRoleTagsResponse,
    Role,
    TagRoleRequest,
    UntagRoleRequest,
    UpdateAssumeRolePolicyRequest,
    UpdateAssumeRolePolicyResponse,
    UpdateRoleRequest,
    UpdateRoleResponse,
)

_ROLES_PER_ACCOUNT = 1000
_DEFAULT_SESSION_SECONDS = 3600


def new_role(_kit: Kit, call: Call, request: CreateRoleRequest) -> Subject[None]:
    """The role that CreateRole would make."""
    arn = call.place.role_arn(request.get("Path", "/"), request["RoleName"])
    return Subject(arn, arn, record=None, keys=request_tag_keys(request))


@operation("iam", "CreateRole", subject=new_role)
def create_role(kit: Kit, call: Call, request: CreateRoleRequest, _subject: None) -> CreateRoleResponse:
    """Make a role."""
    name, path = request["RoleName"], request.get("Path", "/")
    if request.get("Tags"):
        # Policies may grant by tags, so a new role gets none that its maker may not give to an old one.
        kit.authorise(call, "iam:TagRole", new_role(kit, call, request))
    _refuse_boundary(request)
    trust_policy = parse_trust_policy(request["AssumeRolePolicyDocument"])
    record = RoleRecord(
        account_id=call.place.account_id,
        name=name,
        unique_id=ids.new_unique_id("AROA"),
        path=path,
        arn=call.place.role_arn(path, name),
        created_at=call.at,
        trust_policy=request["AssumeRolePolicyDocument"],
        description=request.get("Description"),
        max_session_seconds=request.get("MaxSessionDuration", _DEFAULT_SESSION_SECONDS),
        tags=with_tags(None, request.get("Tags")),
    )
    with kit.state.write() as transaction:
        _check_principals(transaction, trust_policy)
        taken = [other.name for other in principals.list_roles(transaction.connection, record.account_id)]
        check_new_name("Role", name, taken, _ROLES_PER_ACCOUNT)
        if not principals.insert_role(transaction, record):
            raise already_exists("Role", name)
    shown = _shown(record)
    del shown["MaxSessionDuration"]
    if record.tags:
        shown["Tags"] = tag_list(record.tags)
    return {"Role": shown}


@operation("iam", "GetRole", subject=role)
def get_role(_kit: Kit, _call: Call, _request: GetRoleRequest, record: RoleRecord) -> GetRoleResponse:
    """Show a role."""
    shown = _shown(record)
    shown["RoleLastUsed"] = {}
    if record.tags:
        shown["Tags"] = tag_list(record.tags)
    return {"Role": shown}


@operation("iam", "ListRoles", subject=all_roles)
def list_roles(kit: Kit, call: Call, request: ListRolesRequest, _subject: None) -> ListRolesResponse:
    """List roles by name."""
    prefix = request.get("PathPrefix", "/")
    with kit.state.read() as connection:
        records = [
            record
            for record in principals.list_roles(connection, call.place.account_id)
            if record.path.startswith(prefix)
        ]
    page = page_of(kit, call, "ListRoles", request, records, lambda record: record.name)
    response: ListRolesResponse = {
        "Roles": [_shown(record) for record in page.items],
        "IsTruncated": page.is_truncated,
    }
    if page.marker is not None:
        response["Marker"] = page.marker
    return response


@operation("iam", "UpdateRole", subject=role)
def update_role(kit: Kit, _call: Call, request: UpdateRoleRequest, record: RoleRecord) -> UpdateRoleResponse:
    """Change a role's description or how long its sessions may last."""
    columns: dict[str, object] = {}
    if "Description" in request:
        columns["description"] = request["Description"]
    if "MaxSessionDuration" in request:
        columns["max_session_seconds"] = request["MaxSessionDuration"]
    if columns:
        with kit.state.write() as transaction:
            principals.update_role(transaction, record, **columns)
    return {}


@operation("iam", "UpdateAssumeRolePolicy", subject=role)
def update_assume_role_policy(
    kit: Kit, _call: Call, request: UpdateAssumeRolePolicyRequest, record: RoleRecord
) -> UpdateAssumeRolePolicyResponse:
    """Replace a role's trust policy."""
    trust_policy = parse_trust_policy(request["PolicyDocument"])
    with kit.state.write() as transaction:
        _check_principals(transaction, trust_policy)
        principals.update_role(transaction, record, trust_policy=request["PolicyDocument"])
    return {}


@operation("iam", "DeleteRole", subject=role)
def delete_role(kit: Kit, _call: Call, _request: DeleteRoleRequest, record: RoleRecord) -> DeleteRoleResponse:
    """Delete a role without policies; its sessions end at once."""
    with kit.state.write() as transaction:
        if principals.inline_policies(transaction.connection, record.arn):
            raise DeleteConflictException("Cannot delete entity, must delete policies first.")
        principals.delete_role(transaction, record)
    return {}


@operation("iam", "TagRole", subject=role)
def tag_role(kit: Kit, _call: Call, request: TagRoleRequest, record: RoleRecord) -> dict[str, object]:
    """Add tags to a role, or give them other values."""
    with kit.state.write() as transaction:
        current = _current(transaction, record)
        principals.update_role(transaction, record, tags=with_tags(current.tags, request["Tags"]))
    return {}


@operation("iam", "UntagRole", subject=role)
def untag_role(kit: Kit, _call: Call, request: UntagRoleRequest, record: RoleRecord) -> dict[str, object]:
    """Take tags off a role; those that it does not have are passed over."""
    unwanted = {key.casefold() for key in request["TagKeys"]}
    with kit.state.write() as transaction:
        present = _current(transaction, record).tags or {}
        kept = {key: value for key, value in present.items() if key.casefold() not in unwanted}
        principals.update_role(transaction, record, tags=kept or None)
    return {}


@operation("iam", "ListRoleTags", subject=role)
def list_role_tags(kit: Kit, call: Call, request: ListRoleTagsRequest, record: RoleRecord) -> ListRoleTagsResponse:
    """List a role's tags by key."""
    page = page_of(kit, call, "ListRoleTags", request, tag_list(record.tags), lambda tag: tag["Key"])
    response: ListRoleTagsResponse = {"Tags": list(page.items), "IsTruncated": page.is_truncated}
    if page.marker is not None:
        response["Marker"] = page.marker
    return response


@operation("iam", "ListInstanceProfilesForRole", subject=role)
def list_instance_profiles_for_role(
    _kit: Kit, _call: Call, _request: ListInstanceProfilesForRoleRequest, _record: RoleRecord
) -> ListInstanceProfilesForRoleResponse:
    """Say that no instance profile holds the role: clients ask before they delete it."""
    return {"InstanceProfiles": [], "IsTruncated": False}


def _shown(record: RoleRecord) -> Role:
    shown: Role = {
        "Path": record.path,
        "RoleName": record.name,
        "RoleId": record.unique_id,
        "Arn": record.arn,
        "CreateDate": record.created_at,
        "AssumeRolePolicyDocument": record.trust_policy,
        "MaxSessionDuration": record.max_session_seconds,
    }
    if record.description is not None:
        shown["Description"] = record.description
    return shown


def _current(transaction: Transaction, record: RoleRecord) -> RoleRecord:
    """Return the role as it is inside of the transaction; tags are changed by reading them first."""
    current = principals.load_role(transaction.connection, record.account_id, record.name)
    if current is None:
        raise missing_role(record.name)
    return current


def _check_principals(transaction: Transaction, trust_policy: PolicyDocument) -> None:
    """Refuse a trust policy that names a user or role which does not exist.

    Raises:
        MalformedPolicyDocumentException: It names one.
    """
    for text in missing_principals(transaction.connection, trust_policy):
        raise MalformedPolicyDocumentException(f'Invalid principal in policy: "AWS":"{text}"')


def _refuse_boundary(request: CreateRoleRequest) -> None:
    # A boundary that is not enforced would widen what somebody meant to narrow.
    boundary = request.get("PermissionsBoundary")
    if boundary is not None:
        raise NoSuchEntityException(f"Scope ARN: {boundary} does not exist or is not attachable.")
