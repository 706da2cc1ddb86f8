from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from keyturn.call import Principal, PrincipalKind
from keyturn.errors.iam import (
    DeleteConflictException,
    EntityAlreadyExistsException,
    LimitExceededException,
    MalformedPolicyDocumentException,
    NoSuchEntityException,
)
from keyturn.operations.uses import Uses
from keyturn.testing.handlers import ALLOW_ALL, HandlerBench


def trust(**principal: Any) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


LAMBDA = trust(Service="lambda.amazonaws.com")


def test_a_new_role_is_shown_without_its_session_limit_and_a_read_one_with_it(bench: HandlerBench) -> None:
    made = bench.call("iam", "CreateRole", RoleName="rotator", AssumeRolePolicyDocument=LAMBDA)["Role"]

    assert set(made) == {"Path", "RoleName", "RoleId", "Arn", "CreateDate", "AssumeRolePolicyDocument"}
    assert made["Arn"] == "arn:aws:iam::000000000000:role/rotator"
    assert re.fullmatch("AROA[A-Z2-7]{16}", made["RoleId"])
    shown = bench.call("iam", "GetRole", RoleName="rotator")["Role"]
    assert shown == {**made, "MaxSessionDuration": 3600, "RoleLastUsed": {}}


def test_a_role_cannot_be_made_twice(bench: HandlerBench) -> None:
    bench.call("iam", "CreateRole", RoleName="rotator", AssumeRolePolicyDocument=LAMBDA)

    with pytest.raises(EntityAlreadyExistsException, match=r"^Role with name rotator already exists\.$"):
        bench.call("iam", "CreateRole", RoleName="rotator", AssumeRolePolicyDocument=LAMBDA)


def test_a_trailing_comma_in_a_trust_policy_has_a_text_of_its_own(bench: HandlerBench) -> None:
    with pytest.raises(MalformedPolicyDocumentException, match=r"^This policy contains invalid Json$"):
        bench.call("iam", "CreateRole", RoleName="rotator", AssumeRolePolicyDocument=LAMBDA[:-1] + ",}")


def test_a_trust_policy_over_its_quota_is_refused(bench: HandlerBench) -> None:
    document = trust(AWS=[f"arn:aws:iam::111111111111:role/{number:x>60}" for number in range(40)])

    with pytest.raises(LimitExceededException, match=r"^Cannot exceed quota for ACLSizePerRole: 2048$"):
        bench.call("iam", "CreateRole", RoleName="rotator", AssumeRolePolicyDocument=document)


@pytest.mark.parametrize("resource", ["user/ada", "role/gone"])
def test_a_trust_policy_cannot_name_a_principal_that_does_not_exist(bench: HandlerBench, resource: str) -> None:
    arn = f"arn:aws:iam::000000000000:{resource}"

    with pytest.raises(MalformedPolicyDocumentException) as refused:
        bench.call("iam", "CreateRole", RoleName="rotator", AssumeRolePolicyDocument=trust(AWS=arn))
    assert refused.value.message == f'Invalid principal in policy: "AWS":"{arn}"'


def test_a_trust_policy_may_name_a_user_who_exists(bench: HandlerBench) -> None:
    bench.call("iam", "CreateUser", UserName="ada")
    document = trust(AWS="arn:aws:iam::000000000000:user/ada")
    bench.call("iam", "CreateRole", RoleName="rotator", AssumeRolePolicyDocument=LAMBDA)

    bench.call("iam", "UpdateAssumeRolePolicy", RoleName="rotator", PolicyDocument=document)

    assert bench.call("iam", "GetRole", RoleName="rotator")["Role"]["AssumeRolePolicyDocument"] == document


def test_update_changes_only_what_it_is_given(bench: HandlerBench) -> None:
    bench.call("iam", "CreateRole", RoleName="rotator", AssumeRolePolicyDocument=LAMBDA, Description="before")

    bench.call("iam", "UpdateRole", RoleName="rotator", MaxSessionDuration=7200)
    bench.call("iam", "UpdateRole", RoleName="rotator")

    shown = bench.call("iam", "GetRole", RoleName="rotator")["Role"]
    assert (shown["Description"], shown["MaxSessionDuration"]) == ("before", 7200)


def test_tags_are_replaced_whatever_their_case_listed_by_key_and_taken_off(bench: HandlerBench) -> None:
    bench.call("iam", "CreateRole", RoleName="rotator", AssumeRolePolicyDocument=LAMBDA)

    bench.call("iam", "TagRole", RoleName="rotator", Tags=[{"Key": "b", "Value": "1"}, {"Key": "a", "Value": "2"}])
    bench.call("iam", "TagRole", RoleName="rotator", Tags=[{"Key": "B", "Value": "3"}])
    assert bench.call("iam", "ListRoleTags", RoleName="rotator")["Tags"] == [
        {"Key": "B", "Value": "3"},
        {"Key": "a", "Value": "2"},
    ]
    bench.call("iam", "UntagRole", RoleName="rotator", TagKeys=["b", "never there"])
    assert bench.call("iam", "ListRoleTags", RoleName="rotator")["Tags"] == [{"Key": "a", "Value": "2"}]


def test_a_role_has_at_most_fifty_tags(bench: HandlerBench) -> None:
    tags = [{"Key": f"key {number}", "Value": ""} for number in range(50)]
    bench.call("iam", "CreateRole", RoleName="rotator", AssumeRolePolicyDocument=LAMBDA, Tags=tags)

    with pytest.raises(LimitExceededException):
        bench.call("iam", "TagRole", RoleName="rotator", Tags=[{"Key": "one more", "Value": ""}])


def test_a_role_with_a_policy_is_not_deleted(bench: HandlerBench) -> None:
    bench.call("iam", "CreateRole", RoleName="rotator", AssumeRolePolicyDocument=LAMBDA)
    bench.call("iam", "PutRolePolicy", RoleName="rotator", PolicyName="all", PolicyDocument=ALLOW_ALL)

    with pytest.raises(DeleteConflictException, match=r"^Cannot delete entity, must delete policies first\.$"):
        bench.call("iam", "DeleteRole", RoleName="rotator")
    bench.call("iam", "DeleteRolePolicy", RoleName="rotator", PolicyName="all")
    bench.call("iam", "DeleteRole", RoleName="rotator")

    with pytest.raises(NoSuchEntityException, match=r"^The role with name rotator cannot be found\.$"):
        bench.call("iam", "GetRole", RoleName="rotator")


def test_a_new_role_does_not_show_its_description_and_a_read_one_does(bench: HandlerBench) -> None:
    made = bench.call("iam", "CreateRole", RoleName="rotator", AssumeRolePolicyDocument=LAMBDA, Description="rotates")[
        "Role"
    ]

    assert "Description" not in made
    assert bench.call("iam", "GetRole", RoleName="rotator")["Role"]["Description"] == "rotates"


def test_a_session_of_a_role_is_its_last_use(bench: HandlerBench) -> None:
    arn = bench.call("iam", "CreateRole", RoleName="rotator", AssumeRolePolicyDocument=LAMBDA)["Role"]["Arn"]
    session = Principal(
        PrincipalKind.ASSUMED_ROLE, "arn:aws:sts::0:assumed-role/rotator/s", "AROA:s", "0", "rotator", "ASIA1", arn
    )
    used_at = bench.clock.now()
    bench.kit.uses.note(session, "secretsmanager", "eu-west-1", used_at)

    shown = bench.call("iam", "GetRole", RoleName="rotator")["Role"]["RoleLastUsed"]
    assert shown == {"LastUsedDate": used_at, "Region": "eu-west-1"}
    # Stored, it is known to every server.
    bench.kit.uses.store(bench.kit.state)
    bench.kit = replace(bench.kit, uses=Uses())
    assert bench.call("iam", "GetRole", RoleName="rotator")["Role"]["RoleLastUsed"] == shown


def test_roles_are_listed_by_name(bench: HandlerBench) -> None:
    for name in ("b", "a"):
        bench.call("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=LAMBDA)

    assert [each["RoleName"] for each in bench.call("iam", "ListRoles")["Roles"]] == ["a", "b"]


def test_no_instance_profile_holds_a_role(bench: HandlerBench) -> None:
    bench.call("iam", "CreateRole", RoleName="rotator", AssumeRolePolicyDocument=LAMBDA)

    assert bench.call("iam", "ListInstanceProfilesForRole", RoleName="rotator")["InstanceProfiles"] == []
