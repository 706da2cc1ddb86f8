from __future__ import annotations

from typing import Any

import pytest

from keyturn.errors.common import ValidationFailed
from keyturn.errors.iam import LimitExceededException, NoSuchEntityException
from keyturn.operations.refusal import Refused
from keyturn.storage import managed_policies
from keyturn.storage.managed_policies import ManagedPolicyRecord
from keyturn.testing.handlers import ALLOW_ALL, HandlerBench

from .documents import TRUST

OF_AWS = "arn:aws:iam::aws:policy/"
OURS = "arn:aws:iam::000000000000:policy/"
OWNERS = pytest.mark.parametrize(
    ("kind", "owner"), [("Role", {"RoleName": "x"}), ("User", {"UserName": "x"}), ("Group", {"GroupName": "x"})]
)


@pytest.fixture(autouse=True)
def owners(bench: HandlerBench) -> None:
    bench.call("iam", "CreateUser", UserName="x")
    bench.call("iam", "CreateGroup", GroupName="x")
    bench.call("iam", "CreateRole", RoleName="x", AssumeRolePolicyDocument=TRUST)


def make(bench: HandlerBench, name: str, **more: Any) -> str:
    made = bench.call("iam", "CreatePolicy", PolicyName=name, PolicyDocument=ALLOW_ALL, **more)
    arn: str = made["Policy"]["Arn"]
    return arn


@OWNERS
def test_own_and_awss_policies_are_attached_listed_by_name_and_detached(
    bench: HandlerBench, kind: str, owner: dict[str, str]
) -> None:
    arns = [make(bench, "zebra"), make(bench, "IAMFullAccess", Path="/own/"), OF_AWS + "IAMFullAccess"]
    for arn in (*arns, arns[0]):
        bench.call("iam", f"Attach{kind}Policy", **owner, PolicyArn=arn)

    page = bench.call("iam", f"ListAttached{kind}Policies", **owner, MaxItems=2)
    rest = bench.call("iam", f"ListAttached{kind}Policies", **owner, Marker=page["Marker"])

    assert page["AttachedPolicies"] + rest["AttachedPolicies"] == [
        {"PolicyName": "IAMFullAccess", "PolicyArn": OF_AWS + "IAMFullAccess"},
        {"PolicyName": "IAMFullAccess", "PolicyArn": OURS + "own/IAMFullAccess"},
        {"PolicyName": "zebra", "PolicyArn": OURS + "zebra"},
    ]
    under = bench.call("iam", f"ListAttached{kind}Policies", **owner, PathPrefix="/own/")["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in under] == [OURS + "own/IAMFullAccess"]
    for arn in arns:
        bench.call("iam", f"Detach{kind}Policy", **owner, PolicyArn=arn)
    assert bench.call("iam", f"ListAttached{kind}Policies", **owner)["AttachedPolicies"] == []
    with pytest.raises(NoSuchEntityException, match=rf"^Policy {arns[0]} was not found\.$"):
        bench.call("iam", f"Detach{kind}Policy", **owner, PolicyArn=arns[0])


@pytest.mark.parametrize(
    ("kind", "owner", "limit"),
    [("Role", {"RoleName": "x"}, 20), ("User", {"UserName": "x"}, 10), ("Group", {"GroupName": "x"}, 10)],
)
def test_there_is_a_quota_of_attached_policies(
    bench: HandlerBench, kind: str, owner: dict[str, str], limit: int
) -> None:
    arns = [make(bench, f"p{number}") for number in range(limit + 1)]
    for arn in (*arns[:limit], arns[0]):
        bench.call("iam", f"Attach{kind}Policy", **owner, PolicyArn=arn)

    with pytest.raises(LimitExceededException, match=rf"^Cannot exceed quota for PoliciesPer{kind}: {limit}$"):
        bench.call("iam", f"Attach{kind}Policy", **owner, PolicyArn=arns[limit])


@OWNERS
def test_a_policy_that_is_not_there_or_of_another_account_cannot_be_attached(
    bench: HandlerBench, kind: str, owner: dict[str, str]
) -> None:
    foreign = ManagedPolicyRecord(
        arn="arn:aws:iam::111111111111:policy/theirs",
        account_id="1" * 12,
        name="theirs",
        unique_id="ANPATHEIRS",
        path="/",
        description=None,
        tags=None,
        created_at=bench.clock.now(),
        updated_at=bench.clock.now(),
        default_version=1,
        newest_version=1,
    )
    with bench.kit.state.write() as transaction:
        managed_policies.insert_policy(transaction, foreign, ALLOW_ALL)

    for arn in (OURS + "none", OF_AWS + "none", foreign.arn):
        with pytest.raises(NoSuchEntityException) as refused:
            bench.call("iam", f"Attach{kind}Policy", **owner, PolicyArn=arn)
        assert refused.value.message == f"Policy {arn} does not exist or is not attachable."
    with pytest.raises(ValidationFailed, match=r"^ARN no-arn-at-all-but-long is not valid\.$"):
        bench.call("iam", f"Attach{kind}Policy", **owner, PolicyArn="no-arn-at-all-but-long")


@OWNERS
def test_a_missing_owner_is_named(bench: HandlerBench, kind: str, owner: dict[str, str]) -> None:
    nobody = dict.fromkeys(owner, "nobody")

    for operation in ("Attach{}Policy", "Detach{}Policy", "ListAttached{}Policies"):
        with pytest.raises(NoSuchEntityException, match=rf"^The {kind.lower()} with name nobody cannot be found\.$"):
            bench.call("iam", operation.format(kind), **nobody, PolicyArn=OF_AWS + "IAMFullAccess")


def test_a_policy_of_another_account_reads_the_same_whether_it_exists_or_not(bench: HandlerBench) -> None:
    told = set()
    for name in ("theirs", "none"):
        arn = f"arn:aws:iam::111111111111:policy/{name}"
        with pytest.raises(Refused) as refused:
            bench.call_as(bench.as_(bench.caller), "iam", "GetPolicy", PolicyArn=arn)
        told.add(refused.value.message.replace(arn, "*"))
    refusal = (
        "User: arn:aws:iam::000000000000:user/administrator is not authorized to perform: iam:GetPolicy on resource:"
        " policy * because no resource-based policy allows the iam:GetPolicy action"
    )
    assert told == {refusal}


def test_entities_are_listed_by_kind_path_and_usage_in_pages(bench: HandlerBench) -> None:
    arn = make(bench, "shared")
    bench.call("iam", "CreateUser", UserName="bounded", Path="/team/", PermissionsBoundary=arn)
    bench.call("iam", "AttachUserPolicy", UserName="x", PolicyArn=arn)
    bench.call("iam", "AttachGroupPolicy", GroupName="x", PolicyArn=arn)
    bench.call("iam", "AttachRolePolicy", RoleName="x", PolicyArn=arn)
    bench.call("iam", "PutRolePermissionsBoundary", RoleName="x", PermissionsBoundary=arn)

    def names(**filters: Any) -> list[str]:
        found: list[str] = []
        marker: dict[str, str] = {}
        while True:
            page = bench.call("iam", "ListEntitiesForPolicy", PolicyArn=arn, MaxItems=1, **filters, **marker)
            found += [f"group {group['GroupName']}" for group in page["PolicyGroups"]]
            found += [f"user {user['UserName']}" for user in page["PolicyUsers"]]
            found += [f"role {role['RoleName']}" for role in page["PolicyRoles"]]
            if not page["IsTruncated"]:
                return found
            marker = {"Marker": page["Marker"]}

    assert names() == ["group x", "user bounded", "user x", "role x"]
    assert names(PolicyUsageFilter="PermissionsPolicy") == ["group x", "user x", "role x"]
    assert names(PolicyUsageFilter="PermissionsBoundary") == ["user bounded", "role x"]
    assert names(EntityFilter="User") == ["user bounded", "user x"]
    assert names(PathPrefix="/team/") == ["user bounded"]
    assert names(EntityFilter="AWSManagedPolicy") == []


def test_a_marker_of_the_longest_name_fits_the_models_limit(bench: HandlerBench) -> None:
    arn = make(bench, "shared")
    for last in "ab":
        bench.call("iam", "CreateGroup", GroupName="g" * 127 + last)
        bench.call("iam", "AttachGroupPolicy", GroupName="g" * 127 + last, PolicyArn=arn)

    assert len(bench.call("iam", "ListEntitiesForPolicy", PolicyArn=arn, MaxItems=1)["Marker"]) <= 320
    details = bench.call("iam", "GetAccountAuthorizationDetails", Filter=["Group"], MaxItems=1)
    assert len(details["Marker"]) <= 320
