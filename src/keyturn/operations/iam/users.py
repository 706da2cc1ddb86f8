"""Users: create, read, list, rename, tag, delete."""

from __future__ import annotations

from keyturn import ids
from keyturn.call import Call
from keyturn.errors.iam import DeleteConflictException
from keyturn.operations.iam import quotas
from keyturn.operations.iam.boundaries import lock_boundary, shown_boundary
from keyturn.operations.iam.entities import all_users, current, new_entity, user
from keyturn.operations.iam.pages import end_of, page_of
from keyturn.operations.iam.quotas import already_exists, check_new_name
from keyturn.operations.iam.tagging import tag_list, with_tags, without_tags
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.subject import Subject
from keyturn.storage import access_keys, attachments, groups, inline_policies, users
from keyturn.storage.users import UserRecord
from keyturn.wire.types.iam import (
    CreateUserRequest,
    CreateUserResponse,
    DeleteUserRequest,
    DeleteUserResponse,
    GetUserRequest,
    GetUserResponse,
    ListUsersRequest,
    ListUsersResponse,
    ListUserTagsRequest,
    ListUserTagsResponse,
    TagUserRequest,
    UntagUserRequest,
    UpdateUserRequest,
    User,
)


def new_user(_kit: Kit, call: Call, request: CreateUserRequest) -> Subject[None]:
    """The user that CreateUser would make."""
    return new_entity(call.place.user_arn(request.get("Path", "/"), request["UserName"]), request)


@operation("iam", "CreateUser", subject=new_user)
def create_user(kit: Kit, call: Call, request: CreateUserRequest, _subject: None) -> CreateUserResponse:
    """Make a user, who may do nothing yet."""
    name, path = request["UserName"], request.get("Path", "/")
    if request.get("Tags"):
        # Policies may grant by tags, so a new user gets none that its maker may not give to an old one.
        kit.authorise(call, "iam:TagUser", new_user(kit, call, request))
    record = UserRecord(
        account_id=call.place.account_id,
        name=name,
        unique_id=ids.new_unique_id("AIDA"),
        path=path,
        arn=call.place.user_arn(path, name),
        created_at=call.at,
        tags=with_tags(None, request.get("Tags")),
        boundary_arn=request.get("PermissionsBoundary"),
    )
    with kit.state.write() as transaction:
        kit.state.dialect.lock_count(transaction.connection, f"users {record.account_id}")
        taken = users.user_names(transaction.connection, record.account_id)
        check_new_name("User", name, taken, quotas.USERS)
        if record.boundary_arn is not None:
            lock_boundary(transaction, call, record.boundary_arn)
        if not users.insert_user(transaction, record):
            raise already_exists("User", name)
    return {"User": _shown_with_tags(record)}


@operation("iam", "GetUser", subject=user)
def get_user(_kit: Kit, _call: Call, _request: GetUserRequest, record: UserRecord) -> GetUserResponse:
    """Show a user; without a name, the one who calls."""
    return {"User": _shown_with_tags(record)}


@operation("iam", "ListUsers", subject=all_users)
def list_users(kit: Kit, call: Call, request: ListUsersRequest, _subject: None) -> ListUsersResponse:
    """List users by name."""
    prefix = request.get("PathPrefix", "/")
    with kit.state.read() as connection:
        records = [
            record for record in users.list_users(connection, call.place.account_id) if record.path.startswith(prefix)
        ]
    page = page_of(kit, call, "ListUsers", request, records, lambda record: record.name)
    return {"Users": [shown_user(record) for record in page.items], **end_of(page)}


@operation("iam", "UpdateUser", subject=user)
def update_user(kit: Kit, call: Call, request: UpdateUserRequest, record: UserRecord) -> dict[str, object]:
    """Give a user another name or path; keys, groups and policies follow, what others wrote about its ARN does not."""
    name, path = request.get("NewUserName", record.name), request.get("NewPath", record.path)
    arn = call.place.user_arn(path, name)
    # Who may not manage the user that this would become may not make it of another.
    kit.authorise(call, "iam:UpdateUser", new_entity(arn, request))
    with kit.state.write() as transaction:
        kit.state.dialect.lock_count(transaction.connection, f"users {record.account_id}")
        now = current(transaction, record)
        others = [other for other in users.user_names(transaction.connection, now.account_id) if other != now.name]
        check_new_name("User", name, others, quotas.USERS)
        users.rename_user(transaction, now, name, path, arn)
    return {}


@operation("iam", "DeleteUser", subject=user)
def delete_user(kit: Kit, _call: Call, _request: DeleteUserRequest, record: UserRecord) -> DeleteUserResponse:
    """Delete a user without access keys, policies and groups."""
    with kit.state.write() as transaction:
        now, connection = current(transaction, record), transaction.connection
        if access_keys.list_access_keys(connection, now.arn):
            raise DeleteConflictException("Cannot delete entity, must delete access keys first.")
        if inline_policies.load_inline_policies(connection, now.arn):
            raise DeleteConflictException("Cannot delete entity, must delete policies first.")
        if attachments.load_attached(connection, now.arn):
            raise DeleteConflictException("Cannot delete entity, must detach all policies first.")
        if groups.load_groups_of(connection, now.arn):
            raise DeleteConflictException("Cannot delete entity, must remove users from group first.")
        users.delete_user(transaction, now)
    return {}


@operation("iam", "TagUser", subject=user)
def tag_user(kit: Kit, _call: Call, request: TagUserRequest, record: UserRecord) -> dict[str, object]:
    """Add tags to a user, or give them other values."""
    with kit.state.write() as transaction:
        now = current(transaction, record)
        users.update_user(transaction, now, tags=with_tags(now.tags, request["Tags"]))
    return {}


@operation("iam", "UntagUser", subject=user)
def untag_user(kit: Kit, _call: Call, request: UntagUserRequest, record: UserRecord) -> dict[str, object]:
    """Take tags off a user; those that it does not have are passed over."""
    with kit.state.write() as transaction:
        now = current(transaction, record)
        users.update_user(transaction, now, tags=without_tags(now.tags, request["TagKeys"]) or None)
    return {}


@operation("iam", "ListUserTags", subject=user)
def list_user_tags(kit: Kit, call: Call, request: ListUserTagsRequest, record: UserRecord) -> ListUserTagsResponse:
    """List a user's tags by key."""
    page = page_of(kit, call, "ListUserTags", request, tag_list(record.tags), lambda tag: tag["Key"])
    return {"Tags": list(page.items), **end_of(page)}


def shown_user(record: UserRecord) -> User:
    """Return a user as listings show it: without tags and boundary."""
    return {
        "Path": record.path,
        "UserName": record.name,
        "UserId": record.unique_id,
        "Arn": record.arn,
        "CreateDate": record.created_at,
    }


def _shown_with_tags(record: UserRecord) -> User:
    shown = shown_user(record)
    if record.boundary_arn is not None:
        shown["PermissionsBoundary"] = shown_boundary(record.boundary_arn)
    if record.tags:
        shown["Tags"] = tag_list(record.tags)
    return shown
