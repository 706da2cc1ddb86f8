"""What the condition keys of IAM's own actions say, and on which resources the actions are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keyturn.call import Principal
from keyturn.operations.refusal import Refused
from keyturn.testing.handlers import ALLOW_ALL, HandlerBench, user

from .documents import TRUST

OURS = "arn:aws:iam::000000000000"
OF_AWS = "arn:aws:iam::aws:policy/"
LIMIT, OTHER = f"{OURS}:policy/limit", f"{OURS}:policy/other"
CLERK: Principal = user("clerk")


@pytest.fixture(autouse=True)
def people(bench: HandlerBench) -> None:
    for name in ("limit", "other"):
        bench.call("iam", "CreatePolicy", PolicyName=name, PolicyDocument=ALLOW_ALL, Tags=[{"Key": "t", "Value": name}])
    bench.call("iam", "CreateUser", UserName="clerk")
    bench.call("iam", "CreateUser", UserName="ada", PermissionsBoundary=LIMIT, Tags=[{"Key": "team", "Value": "blue"}])
    bench.call("iam", "CreateRole", RoleName="run", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=LIMIT)
    bench.call("iam", "CreateGroup", GroupName="team")


def only(bench: HandlerBench, action: str, resource: str, operator: str = "", **keys: Any) -> None:
    """Let the clerk do one thing."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": action, "Resource": resource}
    if keys:
        statement["Condition"] = {operator: {name.replace("__", ":"): value for name, value in keys.items()}}
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
    bench.call("iam", "PutUserPolicy", UserName="clerk", PolicyName="p", PolicyDocument=policy)


def may(bench: HandlerBench, operation: str, **request: Any) -> bool:
    try:
        bench.call_as(bench.as_(CLERK), "iam", operation, **request)
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "owner", "resource"),
    [
        ("User", {"UserName": "ada"}, "user/ada"),
        ("Role", {"RoleName": "run"}, "role/run"),
        ("Group", {"GroupName": "team"}, "group/team"),
    ],
)
@pytest.mark.parametrize("verb", ["Attach", "Detach"])
def test_which_policy_may_be_attached_and_detached_can_be_limited(
    bench: HandlerBench, kind: str, owner: dict[str, str], resource: str, verb: str
) -> None:
    for arn in (LIMIT, OTHER):
        if verb == "Detach":
            bench.call("iam", f"Attach{kind}Policy", **owner, PolicyArn=arn)
    only(bench, f"iam:{verb}{kind}Policy", f"{OURS}:{resource}", "ArnEquals", iam__PolicyARN=LIMIT)

    assert may(bench, f"{verb}{kind}Policy", **owner, PolicyArn=LIMIT)
    assert not may(bench, f"{verb}{kind}Policy", **owner, PolicyArn=OTHER)


@pytest.mark.parametrize(
    ("operation", "request_", "resource"),
    [
        ("CreateUser", {"UserName": "new"}, "user/new"),
        ("CreateRole", {"RoleName": "new", "AssumeRolePolicyDocument": TRUST}, "role/new"),
        ("PutUserPermissionsBoundary", {"UserName": "ada"}, "user/ada"),
        ("PutRolePermissionsBoundary", {"RoleName": "run"}, "role/run"),
    ],
)
def test_whoever_makes_others_can_be_made_to_give_them_a_boundary(
    bench: HandlerBench, operation: str, request_: dict[str, Any], resource: str
) -> None:
    only(bench, f"iam:{operation}", f"{OURS}:{resource}", "StringEquals", iam__PermissionsBoundary=LIMIT)

    assert not may(bench, operation, **request_, PermissionsBoundary=OTHER)
    if operation.startswith("Create"):
        assert not may(bench, operation, **request_)
    assert may(bench, operation, **request_, PermissionsBoundary=LIMIT)


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("PutUserPolicy", {"UserName": "ada", "PolicyName": "p", "PolicyDocument": ALLOW_ALL}),
        ("DeleteUserPolicy", {"UserName": "ada", "PolicyName": "there"}),
        ("AttachUserPolicy", {"UserName": "ada", "PolicyArn": OTHER}),
        ("DetachUserPolicy", {"UserName": "ada", "PolicyArn": OF_AWS + "IAMFullAccess"}),
        ("DeleteUserPermissionsBoundary", {"UserName": "ada"}),
        ("PutRolePolicy", {"RoleName": "run", "PolicyName": "p", "PolicyDocument": ALLOW_ALL}),
        ("DeleteRolePolicy", {"RoleName": "run", "PolicyName": "there"}),
        ("AttachRolePolicy", {"RoleName": "run", "PolicyArn": OTHER}),
        ("DetachRolePolicy", {"RoleName": "run", "PolicyArn": OF_AWS + "IAMFullAccess"}),
        ("DeleteRolePermissionsBoundary", {"RoleName": "run"}),
    ],
)
def test_policies_may_be_changed_only_of_those_within_a_boundary(
    bench: HandlerBench, operation: str, request_: dict[str, Any]
) -> None:
    for kind, owner in (("User", {"UserName": "ada"}), ("Role", {"RoleName": "run"})):
        bench.call("iam", f"Put{kind}Policy", **owner, PolicyName="there", PolicyDocument=ALLOW_ALL)
        bench.call("iam", f"Attach{kind}Policy", **owner, PolicyArn=OF_AWS + "IAMFullAccess")
    only(bench, f"iam:{operation}", "*", "StringEquals", iam__PermissionsBoundary=OTHER)
    assert not may(bench, operation, **request_)

    only(bench, f"iam:{operation}", "*", "StringEquals", iam__PermissionsBoundary=LIMIT)
    assert may(bench, operation, **request_)


def test_other_calls_do_not_tell_the_boundary(bench: HandlerBench) -> None:
    only(bench, "iam:GetUser", "*", "StringEquals", iam__PermissionsBoundary=LIMIT)

    assert not may(bench, "GetUser", UserName="ada")


@pytest.mark.parametrize("prefix", ["aws", "iam"])
def test_calls_can_be_limited_by_tags_of_users_and_policies(bench: HandlerBench, prefix: str) -> None:
    only(bench, "iam:GetUser", "*", "StringEquals", **{f"{prefix}__ResourceTag/team": "blue"})
    assert may(bench, "GetUser", UserName="ada")
    assert not may(bench, "GetUser", UserName="clerk")

    only(bench, "iam:GetPolicy", "*", "StringEquals", **{f"{prefix}__ResourceTag/t": "limit"})
    assert may(bench, "GetPolicy", PolicyArn=LIMIT)
    assert not may(bench, "GetPolicy", PolicyArn=OTHER)
    assert not may(bench, "GetPolicy", PolicyArn=OF_AWS + "IAMFullAccess")


@pytest.mark.parametrize(
    ("operation", "untag", "request_"),
    [
        ("TagUser", "UntagUser", {"UserName": "ada"}),
        ("TagRole", "UntagRole", {"RoleName": "run"}),
        ("TagPolicy", "UntagPolicy", {"PolicyArn": LIMIT}),
    ],
)
def test_which_tags_may_be_given_and_taken_can_be_limited(
    bench: HandlerBench, operation: str, untag: str, request_: dict[str, Any]
) -> None:
    only(bench, f"iam:{operation}", "*", "StringEquals", **{"aws__RequestTag/team": "red"})
    assert may(bench, operation, **request_, Tags=[{"Key": "team", "Value": "red"}])
    assert not may(bench, operation, **request_, Tags=[{"Key": "team", "Value": "blue"}])

    only(bench, f"iam:{untag}", "*", "ForAllValues:StringEquals", aws__TagKeys=["team"])
    assert may(bench, untag, **request_, TagKeys=["team"])
    assert not may(bench, untag, **request_, TagKeys=["team", "t"])


def test_a_new_policy_gets_no_tags_that_its_maker_may_not_give(bench: HandlerBench) -> None:
    new = {"PolicyName": "new", "PolicyDocument": ALLOW_ALL}
    only(bench, "iam:CreatePolicy", f"{OURS}:policy/new")

    with pytest.raises(Refused, match="perform: iam:TagPolicy on resource: policy new because"):
        bench.call_as(bench.as_(CLERK), "iam", "CreatePolicy", **new, Tags=[{"Key": "a", "Value": "b"}])
    assert may(bench, "CreatePolicy", **new)


@pytest.mark.parametrize(
    ("operation", "request_", "resource"),
    [
        ("GetPolicy", {"PolicyArn": LIMIT}, LIMIT),
        ("GetPolicyVersion", {"PolicyArn": LIMIT, "VersionId": "v1"}, LIMIT),
        ("GetPolicy", {"PolicyArn": OF_AWS + "IAMFullAccess"}, OF_AWS + "IAM*"),
        ("ListEntitiesForPolicy", {"PolicyArn": LIMIT}, LIMIT),
        ("GetGroup", {"GroupName": "team"}, f"{OURS}:group/team"),
        ("AddUserToGroup", {"GroupName": "team", "UserName": "ada"}, f"{OURS}:group/team"),
        ("ListGroupsForUser", {"UserName": "ada"}, f"{OURS}:user/ada"),
        ("ListGroups", {"PathPrefix": "/"}, f"{OURS}:group/*"),
        ("ListPolicies", {}, "*"),
    ],
)
def test_an_action_is_allowed_on_its_resource_and_on_no_other(
    bench: HandlerBench, operation: str, request_: dict[str, Any], resource: str
) -> None:
    only(bench, f"iam:{operation}", f"{OURS}:policy/elsewhere")
    assert not may(bench, operation, **request_)

    only(bench, f"iam:{operation}", resource)
    assert may(bench, operation, **request_)


@pytest.mark.parametrize(
    ("operation", "request_", "told"),
    [
        ("GetPolicy", {"PolicyArn": LIMIT}, f"policy {LIMIT}"),
        ("DeletePolicyVersion", {"PolicyArn": LIMIT, "VersionId": "v1"}, f"policy {LIMIT}"),
        ("CreatePolicy", {"PolicyName": "new", "PolicyDocument": ALLOW_ALL}, "policy new"),
        ("ListPolicies", {}, "policy path /"),
        ("ListPolicies", {"PathPrefix": "/team/"}, "policy path /team/"),
        ("AttachRolePolicy", {"RoleName": "run", "PolicyArn": LIMIT}, "role run"),
        ("CreateGroup", {"GroupName": "new", "Path": "/p/"}, f"{OURS}:group/p/new"),
        ("DeleteGroup", {"GroupName": "team"}, "group team"),
        ("ListGroups", {}, f"{OURS}:group/"),
        ("PutUserPermissionsBoundary", {"UserName": "ada", "PermissionsBoundary": LIMIT}, "user ada"),
    ],
)
def test_a_refusal_names_the_resource_as_aws_does(
    bench: HandlerBench, operation: str, request_: dict[str, Any], told: str
) -> None:
    with pytest.raises(Refused) as refused:
        bench.call_as(bench.as_(user("nobody")), "iam", operation, **request_)
    assert refused.value.message == (
        f"User: arn:aws:iam::000000000000:user/nobody is not authorized to perform: iam:{operation} on resource: {told}"
        f" because no identity-based policy allows the iam:{operation} action"
    )
