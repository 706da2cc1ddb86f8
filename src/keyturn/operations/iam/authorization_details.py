"""Everything about an account's users, groups, roles and policies at once, for tools that audit it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from keyturn.call import Call
from keyturn.operations.iam.account import whole_account
from keyturn.operations.iam.attachments import attached_policies
from keyturn.operations.iam.boundaries import shown_boundary
from keyturn.operations.iam.entities import Owner
from keyturn.operations.iam.managed_policies import policy_uses, shown_policy
from keyturn.operations.iam.pages import end_of, page_of
from keyturn.operations.iam.policy_subjects import aws_policies, load_versions
from keyturn.operations.iam.policy_versions import with_document
from keyturn.operations.iam.roles import last_used
from keyturn.operations.iam.tagging import tag_list
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.storage import attachments, groups, inline_policies, managed_policies, roles, users
from keyturn.storage.groups import GroupRecord
from keyturn.storage.managed_policies import ManagedPolicyRecord
from keyturn.storage.roles import RoleRecord
from keyturn.storage.users import UserRecord
from keyturn.wire.types.iam import (
    AttachedPolicy,
    GetAccountAuthorizationDetailsRequest,
    GetAccountAuthorizationDetailsResponse,
    GroupDetail,
    ManagedPolicyDetail,
    PolicyDetail,
    RoleDetail,
    UserDetail,
)

_KINDS = ("User", "Group", "Role", "LocalManagedPolicy", "AWSManagedPolicy")


@dataclass(frozen=True, slots=True)
class _Item:
    """One of the things that are listed, in the order of their kinds and names."""

    kind: str
    record: Owner | ManagedPolicyRecord

    @property
    def position(self) -> str:
        """What it is ordered by."""
        return f"{_KINDS.index(self.kind)} {self.record.name}"


@dataclass(frozen=True, slots=True)
class _Belongings:
    """The policies of the owners on one page, and the groups of its users."""

    groups: Mapping[str, list[str]]
    inline: Mapping[str, Mapping[str, str]]
    attached: Mapping[str, list[str]]

    def inline_of(self, owner: Owner) -> list[PolicyDetail]:
        """Return an owner's inline policies as they are shown."""
        return [{"PolicyName": name, "PolicyDocument": document} for name, document in self.inline[owner.arn].items()]

    def attached_of(self, owner: Owner) -> list[AttachedPolicy]:
        """Return an owner's managed policies as they are shown."""
        return attached_policies(self.attached[owner.arn])


@operation("iam", "GetAccountAuthorizationDetails", subject=whole_account)
def get_account_authorization_details(
    kit: Kit, call: Call, request: GetAccountAuthorizationDetailsRequest, _subject: None
) -> GetAccountAuthorizationDetailsResponse:
    """Show users, groups, roles and policies with all that says what they may do."""
    wanted = set(request.get("Filter") or _KINDS)
    with kit.state.read() as connection:
        items = [item for item in _items(connection, call) if item.kind in wanted]
        page = page_of(kit, call, "AccountDetails", request, items, lambda item: item.position)
        records = [item.record for item in page.items]
        owners = [record for record in records if not isinstance(record, ManagedPolicyRecord)]
        arns = [owner.arn for owner in owners]
        belongings = _Belongings(
            groups=groups.load_names_of_groups(connection, arns),
            inline=inline_policies.load_all_inline_policies(connection, arns),
            attached=attachments.load_all_attached(connection, arns),
        )
        return {
            "UserDetailList": [_user(owner, belongings) for owner in owners if isinstance(owner, UserRecord)],
            "GroupDetailList": [_group(owner, belongings) for owner in owners if isinstance(owner, GroupRecord)],
            "RoleDetailList": [_role(kit, owner, belongings) for owner in owners if isinstance(owner, RoleRecord)],
            "Policies": _managed(
                connection, call, [record for record in records if isinstance(record, ManagedPolicyRecord)]
            ),
            **end_of(page),
        }


def _items(connection: Connection, call: Call) -> list[_Item]:
    account_id = call.place.account_id
    attached, bounding = policy_uses(connection, call)
    found: list[_Item] = [
        *(_Item("User", record) for record in users.list_users(connection, account_id)),
        *(_Item("Group", record) for record in groups.list_groups(connection, account_id)),
        *(_Item("Role", record) for record in roles.list_roles(connection, account_id)),
        *(_Item("LocalManagedPolicy", record) for record in managed_policies.list_policies(connection, account_id)),
        # Of AWS's policies those that the account uses.
        *(
            _Item("AWSManagedPolicy", record)
            for record in aws_policies(call)
            if record.arn in attached or record.arn in bounding
        ),
    ]
    return sorted(found, key=lambda item: item.position)


def _user(record: UserRecord, belongings: _Belongings) -> UserDetail:
    shown: UserDetail = {
        "Path": record.path,
        "UserName": record.name,
        "UserId": record.unique_id,
        "Arn": record.arn,
        "CreateDate": record.created_at,
        "GroupList": belongings.groups[record.arn],
        "AttachedManagedPolicies": belongings.attached_of(record),
        "Tags": tag_list(record.tags),
    }
    # As recorded, an empty list is shown of groups and roles and not of users.
    if inline := belongings.inline_of(record):
        shown["UserPolicyList"] = inline
    if record.boundary_arn is not None:
        shown["PermissionsBoundary"] = shown_boundary(record.boundary_arn)
    return shown


def _group(record: GroupRecord, belongings: _Belongings) -> GroupDetail:
    return {
        "Path": record.path,
        "GroupName": record.name,
        "GroupId": record.unique_id,
        "Arn": record.arn,
        "CreateDate": record.created_at,
        "GroupPolicyList": belongings.inline_of(record),
        "AttachedManagedPolicies": belongings.attached_of(record),
    }


def _role(kit: Kit, record: RoleRecord, belongings: _Belongings) -> RoleDetail:
    shown: RoleDetail = {
        "Path": record.path,
        "RoleName": record.name,
        "RoleId": record.unique_id,
        "Arn": record.arn,
        "CreateDate": record.created_at,
        "AssumeRolePolicyDocument": record.trust_policy,
        "InstanceProfileList": [],
        "RolePolicyList": belongings.inline_of(record),
        "AttachedManagedPolicies": belongings.attached_of(record),
        "Tags": tag_list(record.tags),
        "RoleLastUsed": last_used(kit, record),
    }
    if record.boundary_arn is not None:
        shown["PermissionsBoundary"] = shown_boundary(record.boundary_arn)
    return shown


def _managed(connection: Connection, call: Call, records: Sequence[ManagedPolicyRecord]) -> list[ManagedPolicyDetail]:
    attached, bounding = policy_uses(connection, call)
    shown: list[ManagedPolicyDetail] = []
    for record in records:
        policy = shown_policy(record, attached, bounding)
        shown.append(
            {
                "PolicyName": record.name,
                "PolicyId": record.unique_id,
                "Arn": record.arn,
                "Path": record.path,
                "DefaultVersionId": policy["DefaultVersionId"],
                "AttachmentCount": policy["AttachmentCount"],
                "PermissionsBoundaryUsageCount": policy["PermissionsBoundaryUsageCount"],
                "IsAttachable": True,
                "CreateDate": record.created_at,
                "UpdateDate": record.updated_at,
                "PolicyVersionList": [with_document(version, record) for version in load_versions(connection, record)],
            }
        )
    return shown
