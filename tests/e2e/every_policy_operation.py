"""Calls every operation of IAM that is about groups, managed policies, boundaries and accounts."""

from __future__ import annotations

from typing import Any


def use_policies(iam: Any, user_name: str, role_name: str, access_key_id: str, document: str) -> None:
    """Make, use and remove a group and a managed policy; user and role are left as they were."""
    arn = iam.create_policy(PolicyName="every", PolicyDocument=document)["Policy"]["Arn"]
    user, group, role, policy = (
        {"UserName": user_name},
        {"GroupName": "every"},
        {"RoleName": role_name},
        {"PolicyArn": arn},
    )
    iam.create_group(**group)
    iam.add_user_to_group(**group, **user)
    iam.put_group_policy(**group, PolicyName="p", PolicyDocument=document)
    for owner, attach in ((user, "attach_user_policy"), (group, "attach_group_policy"), (role, "attach_role_policy")):
        getattr(iam, attach)(**owner, **policy)
    iam.put_user_permissions_boundary(**user, PermissionsBoundary=arn)
    iam.put_role_permissions_boundary(**role, PermissionsBoundary=arn)
    _read(iam, user, group, policy, access_key_id)
    _change(iam, user, group, role, policy, document)
    iam.delete_user_permissions_boundary(**user)
    iam.delete_role_permissions_boundary(**role)
    for owner, detach in ((user, "detach_user_policy"), (group, "detach_group_policy"), (role, "detach_role_policy")):
        getattr(iam, detach)(**owner, **policy)
    iam.delete_group_policy(**group, PolicyName="p")
    iam.remove_user_from_group(**group, **user)
    iam.delete_group(**group)
    iam.delete_policy(**policy)


def _read(iam: Any, user: Any, group: Any, policy: Any, access_key_id: str) -> None:
    iam.get_group(**group)
    iam.get_group_policy(**group, PolicyName="p")
    iam.list_groups()
    iam.list_groups_for_user(**user)
    iam.list_group_policies(**group)
    iam.list_attached_group_policies(**group)
    iam.get_policy(**policy)
    iam.get_policy_version(**policy, VersionId="v1")
    iam.list_policies(Scope="Local")
    iam.list_policy_versions(**policy)
    iam.list_policy_tags(**policy)
    iam.list_entities_for_policy(**policy)
    iam.list_user_tags(**user)
    iam.get_access_key_last_used(AccessKeyId=access_key_id)
    iam.get_account_summary()
    iam.get_account_authorization_details()
    iam.list_account_aliases()


def _change(iam: Any, user: Any, group: Any, role: Any, policy: Any, document: str) -> None:
    iam.tag_policy(**policy, Tags=[{"Key": "a", "Value": "b"}])
    iam.untag_policy(**policy, TagKeys=["a"])
    iam.tag_user(**user, Tags=[{"Key": "a", "Value": "b"}])
    iam.untag_user(**user, TagKeys=["a"])
    iam.create_policy_version(**policy, PolicyDocument=document)
    iam.set_default_policy_version(**policy, VersionId="v2")
    iam.delete_policy_version(**policy, VersionId="v1")
    iam.update_user(**user, NewPath="/")
    iam.update_group(**group, NewPath="/")
    iam.update_role_description(**role, Description="changed")
