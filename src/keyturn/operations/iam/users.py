"""Users: create, read, list, delete."""

from __future__ import annotations

from keyturn import ids
from keyturn.call import Call
from keyturn.errors.iam import DeleteConflictException, NoSuchEntityException
from keyturn.operations.iam.entities import (
    all_users,
    already_exists,
    check_new_name,
    request_tag_keys,
    tag_list,
    user,
    with_tags,
)
from keyturn.operations.iam.pages import page_of
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.subject import Subject
from keyturn.storage import principals
from keyturn.storage.principals import UserRecord
from keyturn.wire.types.iam import (
    CreateUserRequest,
    CreateUserResponse,
    DeleteUserRequest,
    DeleteUserResponse,
    GetUserRequest,
    GetUserResponse,
    ListUsersRequest,
    ListUsersResponse,
    User,
)

_USERS_PER_ACCOUNT = 5000


def new_user(_kit: Kit, call: Call, request: CreateUserRequest) -> Subject[None]:
    """The user that CreateUser would make."""
    arn = call.place.user_arn(request.get("Path", "/"), request["UserName"])
    return Subject(arn, arn, record=None, keys=request_tag_keys(request))


@operation("iam", "CreateUser", subject=new_user)
def create_user(kit: Kit, call: Call, request: CreateUserRequest, _subject: None) -> CreateUserResponse:
    """Make a user, who may do nothing yet."""
    name, path = request["UserName"], request.get("Path", "/")
    if request.get("Tags"):
        # Policies may grant by tags, so a new user gets none that its maker may not give to an old one.
        kit.authorise(call, "iam:TagUser", new_user(kit, call, request))
    if "PermissionsBoundary" in request:
        # A boundary that is not enforced would widen what somebody meant to narrow.
        raise NoSuchEntityException(f"Scope ARN: {request['PermissionsBoundary']} does not exist or is not attachable.")
    record = UserRecord(
        account_id=call.place.account_id,
        name=name,
        unique_id=ids.new_unique_id("AIDA"),
        path=path,
        arn=call.place.user_arn(path, name),
        created_at=call.at,
        tags=with_tags(None, request.get("Tags")),
    )
    with kit.state.write() as transaction:
        taken = [other.name for other in principals.list_users(transaction.connection, record.account_id)]
        check_new_name("User", name, taken, _USERS_PER_ACCOUNT)
        if not principals.insert_user(transaction, record):
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
            record
            for record in principals.list_users(connection, call.place.account_id)
            if record.path.startswith(prefix)
        ]
    page = page_of(kit, call, "ListUsers", request, records, lambda record: record.name)
    response: ListUsersResponse = {
        "Users": [_shown(record) for record in page.items],
        "IsTruncated": page.is_truncated,
    }
    if page.marker is not None:
        response["Marker"] = page.marker
    return response


@operation("iam", "DeleteUser", subject=user)
def delete_user(kit: Kit, _call: Call, _request: DeleteUserRequest, record: UserRecord) -> DeleteUserResponse:
    """Delete a user without access keys and policies."""
    with kit.state.write() as transaction:
        if principals.list_access_keys(transaction.connection, record.arn):
            raise DeleteConflictException("Cannot delete entity, must delete access keys first.")
        if principals.inline_policies(transaction.connection, record.arn):
            raise DeleteConflictException("Cannot delete entity, must delete policies first.")
        principals.delete_user(transaction, record)
    return {}


def _shown(record: UserRecord) -> User:
    return {
        "Path": record.path,
        "UserName": record.name,
        "UserId": record.unique_id,
        "Arn": record.arn,
        "CreateDate": record.created_at,
    }


def _shown_with_tags(record: UserRecord) -> User:
    shown = _shown(record)
    if record.tags:
        shown["Tags"] = tag_list(record.tags)
    return shown
