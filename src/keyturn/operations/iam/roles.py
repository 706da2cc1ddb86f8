"""Roles: create, read, list, change, tag, delete."""

from __future__ import annotations

from keyturn import ids
from keyturn.call import Call
from keyturn.errors.iam import DeleteConflictException, MalformedPolicyDocumentException
from keyturn.operations.iam import quotas
from keyturn.operations.iam.boundaries import lock_boundary, shown_boundary
from keyturn.operations.iam.entities import all_roles, current, new_entity, role
from keyturn.operations.iam.pages import end_of, page_of
from keyturn.operations.iam.quotas import already_exists, check_new_name
from keyturn.operations.iam.tagging import tag_list, with_tags, without_tags
from keyturn.operations.kit import Kit
from keyturn.operations.named_principals import missing_principals
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.overtaken_preflight import look_at_all_of_role
from keyturn.operations.subject import Subject
from keyturn.rules.policy.document import PolicyDocument, parse_trust_policy
from keyturn.storage import attachments, inline_policies, roles
from keyturn.storage.database import Transaction
from keyturn.storage.roles import RoleRecord
from keyturn.storage.uses import Use
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
    RoleLastUsed,
    TagRoleRequest,
    UntagRoleRequest,
    UpdateAssumeRolePolicyRequest,
    UpdateAssumeRolePolicyResponse,
    UpdateRoleDescriptionRequest,
    UpdateRoleDescriptionResponse,
    UpdateRoleRequest,
    UpdateRoleResponse,
)

_DEFAULT_SESSION_SECONDS = 3600


def new_role(_kit: Kit, call: Call, request: CreateRoleRequest) -> Subject[None]:
    """The role that CreateRole would make."""
    return new_entity(call.place.role_arn(request.get("Path", "/"), request["RoleName"]), request)


@operation("iam", "CreateRole", subject=new_role)
def create_role(kit: Kit, call: Call, request: CreateRoleRequest, _subject: None) -> CreateRoleResponse:
    """Make a role."""
    name, path = request["RoleName"], request.get("Path", "/")
    if request.get("Tags"):
        # Policies may grant by tags, so a new role gets none that its maker may not give to an old one.
        kit.authorise(call, "iam:TagRole", new_role(kit, call, request))
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
        boundary_arn=request.get("PermissionsBoundary"),
    )
    with kit.state.write() as transaction:
        kit.state.dialect.lock_count(transaction.connection, f"roles {record.account_id}")
        _check_principals(transaction, trust_policy)
        taken = roles.role_names(transaction.connection, record.account_id)
        check_new_name("Role", name, taken, quotas.ROLES)
        if record.boundary_arn is not None:
            lock_boundary(transaction, call, record.boundary_arn)
        if not roles.insert_role(transaction, record):
            raise already_exists("Role", name)
        # A function may have been left by a role of this name.
        look_at_all_of_role(kit, transaction, record.arn, call.at)
    shown = _shown_with_tags(record)
    # AWS shows these of a role that is there, and not of one that was just made.
    del shown["MaxSessionDuration"]
    shown.pop("Description", None)
    return {"Role": shown}


@operation("iam", "GetRole", subject=role)
def get_role(kit: Kit, _call: Call, _request: GetRoleRequest, record: RoleRecord) -> GetRoleResponse:
    """Show a role."""
    return {"Role": {**_shown_with_tags(record), "RoleLastUsed": last_used(kit, record)}}


@operation("iam", "ListRoles", subject=all_roles)
def list_roles(kit: Kit, call: Call, request: ListRolesRequest, _subject: None) -> ListRolesResponse:
    """List roles by name."""
    prefix = request.get("PathPrefix", "/")
    with kit.state.read() as connection:
        records = [
            record for record in roles.list_roles(connection, call.place.account_id) if record.path.startswith(prefix)
        ]
    page = page_of(kit, call, "ListRoles", request, records, lambda record: record.name)
    return {"Roles": [_shown(record) for record in page.items], **end_of(page)}


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
            roles.update_role(transaction, record, **columns)
    return {}


@operation("iam", "UpdateRoleDescription", subject=role)
def update_role_description(
    kit: Kit, _call: Call, request: UpdateRoleDescriptionRequest, record: RoleRecord
) -> UpdateRoleDescriptionResponse:
    """Change a role's description; UpdateRole can do that, too."""
    with kit.state.write() as transaction:
        roles.update_role(transaction, current(transaction, record), description=request["Description"])
    shown = _shown_with_tags(record)
    del shown["MaxSessionDuration"]
    return {"Role": {**shown, "Description": request["Description"]}}


@operation("iam", "UpdateAssumeRolePolicy", subject=role)
def update_assume_role_policy(
    kit: Kit, call: Call, request: UpdateAssumeRolePolicyRequest, record: RoleRecord
) -> UpdateAssumeRolePolicyResponse:
    """Replace a role's trust policy."""
    trust_policy = parse_trust_policy(request["PolicyDocument"])
    with kit.state.write() as transaction:
        _check_principals(transaction, trust_policy)
        roles.update_role(transaction, record, trust_policy=request["PolicyDocument"])
        look_at_all_of_role(kit, transaction, record.arn, call.at)
    return {}


@operation("iam", "DeleteRole", subject=role)
def delete_role(kit: Kit, call: Call, _request: DeleteRoleRequest, record: RoleRecord) -> DeleteRoleResponse:
    """Delete a role without policies; its sessions end at once."""
    with kit.state.write() as transaction:
        now, connection = current(transaction, record), transaction.connection
        if attachments.load_attached(connection, now.arn):
            raise DeleteConflictException("Cannot delete entity, must detach all policies first.")
        if inline_policies.load_inline_policies(connection, now.arn):
            raise DeleteConflictException("Cannot delete entity, must delete policies first.")
        roles.delete_role(transaction, now)
        look_at_all_of_role(kit, transaction, now.arn, call.at)
    return {}


@operation("iam", "TagRole", subject=role)
def tag_role(kit: Kit, _call: Call, request: TagRoleRequest, record: RoleRecord) -> dict[str, object]:
    """Add tags to a role, or give them other values."""
    with kit.state.write() as transaction:
        now = current(transaction, record)
        roles.update_role(transaction, now, tags=with_tags(now.tags, request["Tags"]))
    return {}


@operation("iam", "UntagRole", subject=role)
def untag_role(kit: Kit, _call: Call, request: UntagRoleRequest, record: RoleRecord) -> dict[str, object]:
    """Take tags off a role; those that it does not have are passed over."""
    with kit.state.write() as transaction:
        now = current(transaction, record)
        roles.update_role(transaction, now, tags=without_tags(now.tags, request["TagKeys"]) or None)
    return {}


@operation("iam", "ListRoleTags", subject=role)
def list_role_tags(kit: Kit, call: Call, request: ListRoleTagsRequest, record: RoleRecord) -> ListRoleTagsResponse:
    """List a role's tags by key."""
    page = page_of(kit, call, "ListRoleTags", request, tag_list(record.tags), lambda tag: tag["Key"])
    return {"Tags": list(page.items), **end_of(page)}


@operation("iam", "ListInstanceProfilesForRole", subject=role)
def list_instance_profiles_for_role(
    _kit: Kit, _call: Call, _request: ListInstanceProfilesForRoleRequest, _record: RoleRecord
) -> ListInstanceProfilesForRoleResponse:
    """Say that no instance profile holds the role: clients ask before they delete it."""
    return {"InstanceProfiles": [], "IsTruncated": False}


def last_used(kit: Kit, record: RoleRecord) -> RoleLastUsed:
    """Return when a session of a role has last signed a call; nothing if none has."""
    stored = None
    if record.last_used_at is not None:
        stored = Use(record.last_used_at, "", record.last_used_region or "")
    use = kit.uses.last(record.arn, stored)
    return {} if use is None else {"LastUsedDate": use.used_at, "Region": use.region}


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


def _shown_with_tags(record: RoleRecord) -> Role:
    shown = _shown(record)
    if record.boundary_arn is not None:
        shown["PermissionsBoundary"] = shown_boundary(record.boundary_arn)
    if record.tags:
        shown["Tags"] = tag_list(record.tags)
    return shown


def _check_principals(transaction: Transaction, trust_policy: PolicyDocument) -> None:
    """Refuse a trust policy that names a user or role which does not exist.

    Raises:
        MalformedPolicyDocumentException: It names one.
    """
    for text in missing_principals(transaction.connection, trust_policy):
        raise MalformedPolicyDocumentException(f'Invalid principal in policy: "AWS":"{text}"')
