from __future__ import annotations

import re

import pytest

from keyturn.errors.iam import (
    DeleteConflictException,
    EntityAlreadyExistsException,
    LimitExceededException,
    NoSuchEntityException,
)
from keyturn.operations.refusal import Refused
from keyturn.testing.handlers import ALLOW_ALL, HandlerBench, user

from .documents import allowing


def test_a_new_group_has_an_arn_with_its_path_an_id_of_its_own_and_no_members(bench: HandlerBench) -> None:
    made = bench.call("iam", "CreateGroup", GroupName="team", Path="/people/")["Group"]

    assert made["Arn"] == "arn:aws:iam::000000000000:group/people/team"
    assert re.fullmatch("AGPA[A-Z2-7]{16}", made["GroupId"])
    assert bench.call("iam", "GetGroup", GroupName="team") == {"Group": made, "Users": [], "IsTruncated": False}


@pytest.mark.parametrize("name", ["team", "TEAM"])
def test_a_name_is_taken_whatever_its_case(bench: HandlerBench, name: str) -> None:
    bench.call("iam", "CreateGroup", GroupName="team")
    bench.call("iam", "CreateGroup", GroupName="other")

    with pytest.raises(EntityAlreadyExistsException, match=rf"^Group with name {name} already exists\.$"):
        bench.call("iam", "CreateGroup", GroupName=name)
    with pytest.raises(EntityAlreadyExistsException, match=rf"^Group with name {name} already exists\.$"):
        bench.call("iam", "UpdateGroup", GroupName="other", NewGroupName=name)
    bench.call("iam", "UpdateGroup", GroupName="team", NewGroupName=name)


def test_groups_are_listed_by_path_in_pages(bench: HandlerBench) -> None:
    for name in ("c", "a", "b"):
        bench.call("iam", "CreateGroup", GroupName=name, Path="/team/")
    bench.call("iam", "CreateGroup", GroupName="elsewhere")

    first = bench.call("iam", "ListGroups", PathPrefix="/team/", MaxItems=2)
    second = bench.call("iam", "ListGroups", PathPrefix="/team/", Marker=first["Marker"])

    assert [group["GroupName"] for page in (first, second) for group in page["Groups"]] == ["a", "b", "c"]
    assert (first["IsTruncated"], second["IsTruncated"]) == (True, False)


def test_members_and_groups_are_listed_in_pages(bench: HandlerBench) -> None:
    bench.call("iam", "CreateGroup", GroupName="team")
    for name in ("bob", "ada", "eve"):
        bench.call("iam", "CreateUser", UserName=name)
        bench.call("iam", "AddUserToGroup", GroupName="team", UserName=name)

    first = bench.call("iam", "GetGroup", GroupName="team", MaxItems=2)
    second = bench.call("iam", "GetGroup", GroupName="team", Marker=first["Marker"])
    assert [member["UserName"] for page in (first, second) for member in page["Users"]] == ["ada", "bob", "eve"]

    bench.call("iam", "CreateGroup", GroupName="another")
    bench.call("iam", "AddUserToGroup", GroupName="another", UserName="ada")
    first = bench.call("iam", "ListGroupsForUser", UserName="ada", MaxItems=1)
    second = bench.call("iam", "ListGroupsForUser", UserName="ada", Marker=first["Marker"])
    assert [group["GroupName"] for page in (first, second) for group in page["Groups"]] == ["another", "team"]


def test_a_user_is_in_at_most_ten_groups(bench: HandlerBench) -> None:
    bench.call("iam", "CreateUser", UserName="ada")
    for number in range(11):
        bench.call("iam", "CreateGroup", GroupName=f"team{number}")
    for number in range(10):
        bench.call("iam", "AddUserToGroup", GroupName=f"team{number}", UserName="ada")
    # Once more changes nothing, and is not one more.
    bench.call("iam", "AddUserToGroup", GroupName="team0", UserName="ada")

    with pytest.raises(LimitExceededException, match=r"^Cannot exceed quota for GroupsPerUser: 10$"):
        bench.call("iam", "AddUserToGroup", GroupName="team10", UserName="ada")


def test_an_account_has_at_most_so_many_groups(bench: HandlerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyturn.operations.iam.quotas.GROUPS", 2)
    for number in range(2):
        bench.call("iam", "CreateGroup", GroupName=f"team{number}")

    with pytest.raises(LimitExceededException, match=r"^Cannot exceed quota for GroupsPerAccount: 2$"):
        bench.call("iam", "CreateGroup", GroupName="one-more")


def test_a_group_with_members_or_policies_is_not_deleted(bench: HandlerBench) -> None:
    bench.call("iam", "CreateGroup", GroupName="team")
    bench.call("iam", "CreateUser", UserName="ada")
    bench.call("iam", "AddUserToGroup", GroupName="team", UserName="ada")
    bench.call("iam", "PutGroupPolicy", GroupName="team", PolicyName="all", PolicyDocument=ALLOW_ALL)
    of_aws = {"GroupName": "team", "PolicyArn": "arn:aws:iam::aws:policy/IAMFullAccess"}
    bench.call("iam", "AttachGroupPolicy", **of_aws)

    for text, operation, request in (
        ("must remove users from group first", "RemoveUserFromGroup", {"GroupName": "team", "UserName": "ada"}),
        ("must delete policies first", "DeleteGroupPolicy", {"GroupName": "team", "PolicyName": "all"}),
        ("must detach all policies first", "DetachGroupPolicy", of_aws),
    ):
        with pytest.raises(DeleteConflictException, match=rf"^Cannot delete entity, {text}\.$"):
            bench.call("iam", "DeleteGroup", GroupName="team")
        bench.call("iam", operation, **request)
    bench.call("iam", "DeleteGroup", GroupName="team")

    with pytest.raises(NoSuchEntityException, match=r"^The group with name team cannot be found\.$"):
        bench.call("iam", "GetGroup", GroupName="team")


def test_who_renames_a_group_must_be_allowed_both(bench: HandlerBench) -> None:
    bench.call("iam", "CreateGroup", GroupName="team")
    bench.call("iam", "CreateUser", UserName="clerk")
    policy = allowing("iam:UpdateGroup", resource="arn:aws:iam::000000000000:group/team")
    bench.call("iam", "PutUserPolicy", UserName="clerk", PolicyName="p", PolicyDocument=policy)
    clerk = bench.as_(user("clerk"))

    with pytest.raises(Refused) as refused:
        bench.call_as(clerk, "iam", "UpdateGroup", GroupName="team", NewGroupName="admins")
    assert "on resource: arn:aws:iam::000000000000:group/admins because" in refused.value.message
    with pytest.raises(Refused) as refused:
        bench.call_as(clerk, "iam", "UpdateGroup", GroupName="other", NewGroupName="team")
    assert "on resource: group other because" in refused.value.message
