"""Groups and who is in them."""

from __future__ import annotations

from keyturn import ids
from keyturn.call import Call
from keyturn.errors.iam import DeleteConflictException
from keyturn.operations.iam import quotas
from keyturn.operations.iam.entities import all_groups, current, group, missing, new_entity, user
from keyturn.operations.iam.pages import end_of, page_of
from keyturn.operations.iam.quotas import already_exists, check_count, check_new_name
from keyturn.operations.iam.users import shown_user
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.subject import Subject
from keyturn.storage import attachments, groups, inline_policies, users
from keyturn.storage.database import Transaction
from keyturn.storage.groups import GroupRecord
from keyturn.storage.users import UserRecord
from keyturn.wire.types.iam import (
    AddUserToGroupRequest,
    CreateGroupRequest,
    CreateGroupResponse,
    DeleteGroupRequest,
    GetGroupRequest,
    GetGroupResponse,
    Group,
    ListGroupsForUserRequest,
    ListGroupsForUserResponse,
    ListGroupsRequest,
    ListGroupsResponse,
    RemoveUserFromGroupRequest,
    UpdateGroupRequest,
)


def new_group(_kit: Kit, call: Call, request: CreateGroupRequest) -> Subject[None]:
    """The group that CreateGroup would make."""
    return new_entity(call.place.group_arn(request.get("Path", "/"), request["GroupName"]), request)


@operation("iam", "CreateGroup", subject=new_group)
def create_group(kit: Kit, call: Call, request: CreateGroupRequest, _subject: None) -> CreateGroupResponse:
    """Make a group, in which nobody is yet."""
    name, path = request["GroupName"], request.get("Path", "/")
    record = GroupRecord(
        account_id=call.place.account_id,
        name=name,
        unique_id=ids.new_unique_id("AGPA"),
        path=path,
        arn=call.place.group_arn(path, name),
        created_at=call.at,
    )
    with kit.state.write() as transaction:
        kit.state.dialect.lock_count(transaction.connection, f"groups {record.account_id}")
        taken = groups.group_names(transaction.connection, record.account_id)
        check_new_name("Group", name, taken, quotas.GROUPS)
        if not groups.insert_group(transaction, record):
            raise already_exists("Group", name)
    return {"Group": _shown(record)}


@operation("iam", "GetGroup", subject=group)
def get_group(kit: Kit, call: Call, request: GetGroupRequest, record: GroupRecord) -> GetGroupResponse:
    """Show a group and its members by name."""
    with kit.state.read() as connection:
        members = groups.load_members(connection, record.arn)
    page = page_of(kit, call, "GetGroup", request, members, lambda member: member.name)
    return {"Group": _shown(record), "Users": [shown_user(member) for member in page.items], **end_of(page)}


@operation("iam", "ListGroups", subject=all_groups)
def list_groups(kit: Kit, call: Call, request: ListGroupsRequest, _subject: None) -> ListGroupsResponse:
    """List groups by name."""
    prefix = request.get("PathPrefix", "/")
    with kit.state.read() as connection:
        records = [
            record for record in groups.list_groups(connection, call.place.account_id) if record.path.startswith(prefix)
        ]
    page = page_of(kit, call, "ListGroups", request, records, lambda record: record.name)
    return {"Groups": [_shown(record) for record in page.items], **end_of(page)}


@operation("iam", "UpdateGroup", subject=group)
def update_group(kit: Kit, call: Call, request: UpdateGroupRequest, record: GroupRecord) -> dict[str, object]:
    """Give a group another name or path; members and policies follow."""
    name, path = request.get("NewGroupName", record.name), request.get("NewPath", record.path)
    arn = call.place.group_arn(path, name)
    # Who may not manage the group that this would become may not make it of another.
    kit.authorise(call, "iam:UpdateGroup", new_entity(arn, request))
    with kit.state.write() as transaction:
        kit.state.dialect.lock_count(transaction.connection, f"groups {record.account_id}")
        now = current(transaction, record)
        others = [other for other in groups.group_names(transaction.connection, now.account_id) if other != now.name]
        check_new_name("Group", name, others, quotas.GROUPS)
        groups.rename_group(transaction, now, name, path, arn)
    return {}


@operation("iam", "DeleteGroup", subject=group)
def delete_group(kit: Kit, _call: Call, _request: DeleteGroupRequest, record: GroupRecord) -> dict[str, object]:
    """Delete a group without members and policies."""
    with kit.state.write() as transaction:
        now, connection = current(transaction, record), transaction.connection
        if groups.load_members(connection, now.arn):
            raise DeleteConflictException("Cannot delete entity, must remove users from group first.")
        if inline_policies.load_inline_policies(connection, now.arn):
            raise DeleteConflictException("Cannot delete entity, must delete policies first.")
        if attachments.load_attached(connection, now.arn):
            raise DeleteConflictException("Cannot delete entity, must detach all policies first.")
        groups.delete_group(transaction, now)
    return {}


@operation("iam", "AddUserToGroup", subject=group)
def add_user_to_group(kit: Kit, _call: Call, request: AddUserToGroupRequest, record: GroupRecord) -> dict[str, object]:
    """Put a user into a group, whose policies count for it from now on."""
    with kit.state.write() as transaction:
        member = _member(transaction, record, request["UserName"])
        now = current(transaction, record)
        present = groups.load_groups_of(transaction.connection, member.arn)
        if now.arn not in (other.arn for other in present):
            check_count("GroupsPerUser", len(present), quotas.GROUPS_PER_USER)
            groups.add_member(transaction, now, member)
    return {}


@operation("iam", "RemoveUserFromGroup", subject=group)
def remove_user_from_group(
    kit: Kit, _call: Call, request: RemoveUserFromGroupRequest, record: GroupRecord
) -> dict[str, object]:
    """Take a user out of a group; one that is not in it stays out."""
    with kit.state.write() as transaction:
        member = _member(transaction, record, request["UserName"])
        groups.remove_member(transaction, current(transaction, record), member)
    return {}


@operation("iam", "ListGroupsForUser", subject=user)
def list_groups_for_user(
    kit: Kit, call: Call, request: ListGroupsForUserRequest, record: UserRecord
) -> ListGroupsForUserResponse:
    """List the groups that a user is in by name."""
    with kit.state.read() as connection:
        records = groups.load_groups_of(connection, record.arn)
    page = page_of(kit, call, "ListGroupsForUser", request, records, lambda record: record.name)
    return {"Groups": [_shown(record) for record in page.items], **end_of(page)}


def _member(transaction: Transaction, record: GroupRecord, name: str) -> UserRecord:
    """Lock the user that is to be in a group or not. Users are locked before groups, always."""
    found = users.lock_user(transaction, record.account_id, name)
    if found is None:
        raise missing("user", name)
    return found


def _shown(record: GroupRecord) -> Group:
    return {
        "Path": record.path,
        "GroupName": record.name,
        "GroupId": record.unique_id,
        "Arn": record.arn,
        "CreateDate": record.created_at,
    }
