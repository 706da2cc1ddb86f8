from __future__ import annotations

import json
import re

import pytest

from keyturn.call import Principal, PrincipalKind
from keyturn.errors.common import ValidationFailed
from keyturn.errors.iam import (
    DeleteConflictException,
    EntityAlreadyExistsException,
    InvalidInputException,
    NoSuchEntityException,
)
from keyturn.operations.refusal import Refused
from keyturn.testing.handlers import ALLOW_ALL, HandlerBench, user


def test_a_new_user_has_an_arn_with_its_path_and_an_id_of_its_own(bench: HandlerBench) -> None:
    made = bench.call("iam", "CreateUser", UserName="ada", Path="/team/")["User"]

    assert made["Arn"] == "arn:aws:iam::000000000000:user/team/ada"
    assert re.fullmatch("AIDA[A-Z2-7]{16}", made["UserId"])
    assert made["CreateDate"] == bench.clock.now()
    assert bench.call("iam", "GetUser", UserName="ada")["User"] == made


def test_tags_are_shown_by_get_and_not_by_list(bench: HandlerBench) -> None:
    bench.call("iam", "CreateUser", UserName="ada", Tags=[{"Key": "team", "Value": "blue"}])

    assert bench.call("iam", "GetUser", UserName="ada")["User"]["Tags"] == [{"Key": "team", "Value": "blue"}]
    assert "Tags" not in bench.call("iam", "ListUsers")["Users"][0]


def test_a_tag_key_that_occurs_twice_is_refused_whatever_its_case(bench: HandlerBench) -> None:
    tags = [{"Key": "team", "Value": "blue"}, {"Key": "Team", "Value": "red"}]

    with pytest.raises(InvalidInputException, match=r"Duplicate tag keys found\."):
        bench.call("iam", "CreateUser", UserName="ada", Tags=tags)


@pytest.mark.parametrize("name", ["ada", "ADA"])
def test_a_name_is_taken_whatever_its_case(bench: HandlerBench, name: str) -> None:
    bench.call("iam", "CreateUser", UserName="ada")

    with pytest.raises(EntityAlreadyExistsException, match=rf"^User with name {name} already exists.$"):
        bench.call("iam", "CreateUser", UserName=name)


def test_without_a_name_a_user_asks_about_itself(bench: HandlerBench) -> None:
    bench.call("iam", "CreateUser", UserName="ada")
    bench.caller = user("ada")

    assert bench.call("iam", "GetUser")["User"]["UserName"] == "ada"


def test_a_role_session_has_to_say_which_user_it_means(bench: HandlerBench) -> None:
    bench.caller = Principal(PrincipalKind.ASSUMED_ROLE, "arn:aws:sts::0:assumed-role/r/s", "AROA:s", "0", "r")

    with pytest.raises(ValidationFailed, match=r"^Must specify userName when calling with non-User credentials$"):
        bench.call("iam", "GetUser")


def test_a_user_that_does_not_exist_is_named_in_the_refusal(bench: HandlerBench) -> None:
    with pytest.raises(NoSuchEntityException, match=r"^The user with name nobody cannot be found\.$"):
        bench.call("iam", "GetUser", UserName="nobody")


def test_users_are_listed_by_path_in_pages(bench: HandlerBench) -> None:
    for name in ("eve", "ada", "bob"):
        bench.call("iam", "CreateUser", UserName=name, Path="/team/")
    bench.call("iam", "CreateUser", UserName="cara")

    first = bench.call("iam", "ListUsers", PathPrefix="/team/", MaxItems=2)
    assert [each["UserName"] for each in first["Users"]] == ["ada", "bob"]
    assert first["IsTruncated"] is True
    second = bench.call("iam", "ListUsers", PathPrefix="/team/", MaxItems=2, Marker=first["Marker"])
    assert [each["UserName"] for each in second["Users"]] == ["eve"]
    assert second["IsTruncated"] is False
    assert "Marker" not in second


def test_a_marker_fits_the_models_limit_and_no_other_listing(bench: HandlerBench) -> None:
    for number in range(2):
        bench.call("iam", "CreateUser", UserName=f"{number:a>64}")
    marker = bench.call("iam", "ListUsers", MaxItems=1)["Marker"]

    assert len(marker) <= 320
    with pytest.raises(ValidationFailed, match=r"^Invalid Marker\.$"):
        bench.call("iam", "ListRoles", Marker=marker)


def test_a_user_with_an_access_key_or_a_policy_is_not_deleted(bench: HandlerBench) -> None:
    bench.call("iam", "CreateUser", UserName="ada")
    key_id = bench.call("iam", "CreateAccessKey", UserName="ada")["AccessKey"]["AccessKeyId"]
    bench.call("iam", "PutUserPolicy", UserName="ada", PolicyName="all", PolicyDocument=ALLOW_ALL)

    with pytest.raises(DeleteConflictException, match="must delete access keys first"):
        bench.call("iam", "DeleteUser", UserName="ada")
    bench.call("iam", "DeleteAccessKey", UserName="ada", AccessKeyId=key_id)
    with pytest.raises(DeleteConflictException, match="must delete policies first"):
        bench.call("iam", "DeleteUser", UserName="ada")
    bench.call("iam", "DeleteUserPolicy", UserName="ada", PolicyName="all")
    bench.call("iam", "DeleteUser", UserName="ada")

    with pytest.raises(NoSuchEntityException):
        bench.call("iam", "GetUser", UserName="ada")


def test_a_user_in_a_group_or_with_a_managed_policy_is_not_deleted(bench: HandlerBench) -> None:
    bench.call("iam", "CreateUser", UserName="ada")
    bench.call("iam", "CreateGroup", GroupName="team")
    bench.call("iam", "AddUserToGroup", GroupName="team", UserName="ada")
    bench.call("iam", "AttachUserPolicy", UserName="ada", PolicyArn="arn:aws:iam::aws:policy/IAMFullAccess")

    with pytest.raises(DeleteConflictException, match=r"^Cannot delete entity, must detach all policies first\.$"):
        bench.call("iam", "DeleteUser", UserName="ada")
    bench.call("iam", "DetachUserPolicy", UserName="ada", PolicyArn="arn:aws:iam::aws:policy/IAMFullAccess")
    with pytest.raises(DeleteConflictException, match=r"^Cannot delete entity, must remove users from group first\.$"):
        bench.call("iam", "DeleteUser", UserName="ada")
    bench.call("iam", "RemoveUserFromGroup", GroupName="team", UserName="ada")
    bench.call("iam", "DeleteUser", UserName="ada")


def test_keys_groups_and_policies_follow_a_renamed_user(bench: HandlerBench) -> None:
    bench.call("iam", "CreateUser", UserName="ada", Tags=[{"Key": "team", "Value": "blue"}])
    bench.call("iam", "CreateGroup", GroupName="team")
    bench.call("iam", "AddUserToGroup", GroupName="team", UserName="ada")
    bench.call("iam", "PutUserPolicy", UserName="ada", PolicyName="all", PolicyDocument=ALLOW_ALL)
    bench.call("iam", "AttachUserPolicy", UserName="ada", PolicyArn="arn:aws:iam::aws:policy/IAMFullAccess")
    key_id = bench.call("iam", "CreateAccessKey", UserName="ada")["AccessKey"]["AccessKeyId"]
    before = bench.call("iam", "GetUser", UserName="ada")["User"]

    bench.call("iam", "UpdateUser", UserName="ada", NewUserName="lovelace", NewPath="/team/")

    assert bench.call("iam", "GetUser", UserName="lovelace")["User"] == {
        **before,
        "UserName": "lovelace",
        "Path": "/team/",
        "Arn": "arn:aws:iam::000000000000:user/team/lovelace",
    }
    assert bench.call("iam", "ListUserPolicies", UserName="lovelace")["PolicyNames"] == ["all"]
    (attached,) = bench.call("iam", "ListAttachedUserPolicies", UserName="lovelace")["AttachedPolicies"]
    assert attached["PolicyName"] == "IAMFullAccess"
    (key,) = bench.call("iam", "ListAccessKeys", UserName="lovelace")["AccessKeyMetadata"]
    assert (key["AccessKeyId"], key["UserName"]) == (key_id, "lovelace")
    (member,) = bench.call("iam", "GetGroup", GroupName="team")["Users"]
    assert member["Arn"] == "arn:aws:iam::000000000000:user/team/lovelace"


def test_a_user_cannot_get_a_name_that_is_taken_but_another_case_of_its_own(bench: HandlerBench) -> None:
    for name in ("ada", "bob"):
        bench.call("iam", "CreateUser", UserName=name)

    with pytest.raises(EntityAlreadyExistsException, match=r"^User with name BOB already exists\.$"):
        bench.call("iam", "UpdateUser", UserName="ada", NewUserName="BOB")
    bench.call("iam", "UpdateUser", UserName="ada", NewUserName="Ada")
    bench.call("iam", "UpdateUser", UserName="Ada", NewPath="/team/")
    bench.call("iam", "UpdateUser", UserName="Ada")
    assert bench.call("iam", "GetUser", UserName="Ada")["User"]["Arn"].endswith(":user/team/Ada")


def test_who_renames_a_user_must_be_allowed_both(bench: HandlerBench) -> None:
    bench.call("iam", "CreateUser", UserName="ada")
    update = {"Effect": "Allow", "Action": "iam:UpdateUser", "Resource": "arn:aws:iam::000000000000:user/ada"}
    bench.call("iam", "CreateUser", UserName="clerk")
    policy = json.dumps({"Version": "2012-10-17", "Statement": update})
    bench.call("iam", "PutUserPolicy", UserName="clerk", PolicyName="p", PolicyDocument=policy)

    with pytest.raises(Refused) as refused:
        bench.call_as(bench.as_(user("clerk")), "iam", "UpdateUser", UserName="ada", NewUserName="root")
    assert "on resource: arn:aws:iam::000000000000:user/root because" in refused.value.message


def test_tags_are_added_replaced_whatever_their_case_and_taken_off(bench: HandlerBench) -> None:
    bench.call("iam", "CreateUser", UserName="ada", Tags=[{"Key": "team", "Value": "blue"}])

    bench.call("iam", "TagUser", UserName="ada", Tags=[{"Key": "Team", "Value": "red"}, {"Key": "a", "Value": ""}])
    assert bench.call("iam", "ListUserTags", UserName="ada")["Tags"] == [
        {"Key": "Team", "Value": "red"},
        {"Key": "a", "Value": ""},
    ]
    bench.call("iam", "UntagUser", UserName="ada", TagKeys=["TEAM", "never there"])
    assert bench.call("iam", "ListUserTags", UserName="ada")["Tags"] == [{"Key": "a", "Value": ""}]
