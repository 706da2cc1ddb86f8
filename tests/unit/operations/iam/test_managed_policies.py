from __future__ import annotations

import re
from typing import Any

import pytest

from keyturn.errors.common import AccessDenied, ValidationFailed
from keyturn.errors.iam import (
    DeleteConflictException,
    EntityAlreadyExistsException,
    LimitExceededException,
    MalformedPolicyDocumentException,
    NoSuchEntityException,
)
from keyturn.testing.handlers import ALLOW_ALL, HandlerBench

from .documents import TRUST, allowing, long_policy

OURS = "arn:aws:iam::000000000000:policy/"
OF_AWS = "arn:aws:iam::aws:policy/"
LAMBDA = OF_AWS + "service-role/AWSLambdaBasicExecutionRole"


def make(bench: HandlerBench, name: str = "read", **more: Any) -> str:
    request = {"PolicyName": name, "PolicyDocument": ALLOW_ALL, **more}
    arn: str = bench.call("iam", "CreatePolicy", **request)["Policy"]["Arn"]
    return arn


def listed(bench: HandlerBench, **filters: Any) -> list[str]:
    names: list[str] = []
    marker: dict[str, str] = {}
    while True:
        page = bench.call("iam", "ListPolicies", **filters, **marker)
        names += [policy["PolicyName"] for policy in page["Policies"]]
        if not page["IsTruncated"]:
            return names
        assert len(page["Marker"]) <= 320
        marker = {"Marker": page["Marker"]}


def test_a_new_policy_has_an_arn_with_its_path_and_an_id_of_its_own(bench: HandlerBench) -> None:
    made = bench.call("iam", "CreatePolicy", PolicyName="read", Path="/team/", PolicyDocument=ALLOW_ALL)["Policy"]

    assert made["Arn"] == OURS + "team/read"
    assert re.fullmatch("ANPA[A-Z2-7]{16}", made["PolicyId"])
    assert made["CreateDate"] == made["UpdateDate"] == bench.clock.now()


@pytest.mark.parametrize("name", ["read", "READ"])
def test_a_name_is_taken_whatever_its_case_and_path(bench: HandlerBench, name: str) -> None:
    make(bench)

    with pytest.raises(EntityAlreadyExistsException) as refused:
        make(bench, name, Path="/elsewhere/")
    assert refused.value.message == f"A policy called {name} already exists. Duplicate names are not allowed."


def test_a_policy_must_be_well_formed_of_the_newer_version_and_not_too_long(bench: HandlerBench) -> None:
    with pytest.raises(MalformedPolicyDocumentException, match=r"^Syntax errors in policy\.$"):
        make(bench, PolicyDocument=ALLOW_ALL[:-1] + ",}")
    old = ALLOW_ALL.replace("2012-10-17", "2008-10-17")
    with pytest.raises(MalformedPolicyDocumentException, match=r"^Policy document must be version 2012-10-17 or great"):
        make(bench, PolicyDocument=old)
    with pytest.raises(LimitExceededException, match=r"^Cannot exceed quota for PolicySize: 6144$"):
        make(bench, PolicyDocument=long_policy(6_145))
    arn = make(bench, PolicyDocument=long_policy(6_144))
    with pytest.raises(LimitExceededException, match=r"^Cannot exceed quota for PolicySize: 6144$"):
        bench.call("iam", "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=long_policy(6_145))
    with pytest.raises(MalformedPolicyDocumentException, match="must be version"):
        bench.call("iam", "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=old)


def test_an_account_has_at_most_so_many_policies(bench: HandlerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyturn.operations.iam.quotas.POLICIES", 2)
    for name in ("a", "b"):
        make(bench, name)

    with pytest.raises(LimitExceededException, match=r"^Cannot exceed quota for PoliciesPerAccount: 2$"):
        make(bench, "c")


def test_policies_of_aws_can_be_read(bench: HandlerBench) -> None:
    shown = bench.call("iam", "GetPolicy", PolicyArn=LAMBDA)["Policy"]

    assert (shown["PolicyId"], shown["Path"], shown["DefaultVersionId"]) == (
        "ANPAJNCQGXC42545SKXIK",
        "/service-role/",
        "v1",
    )
    assert shown["Description"] == "Provides write permissions to CloudWatch Logs."
    assert shown["Tags"] == []
    version = bench.call("iam", "GetPolicyVersion", PolicyArn=LAMBDA, VersionId="v1")["PolicyVersion"]
    assert '"logs:PutLogEvents"' in version["Document"]
    assert (version["VersionId"], version["IsDefaultVersion"]) == ("v1", True)
    listed_versions = bench.call("iam", "ListPolicyVersions", PolicyArn=LAMBDA)["Versions"]
    assert listed_versions == [{name: version[name] for name in ("VersionId", "IsDefaultVersion", "CreateDate")}]
    assert bench.call("iam", "ListPolicyTags", PolicyArn=LAMBDA)["Tags"] == []
    with pytest.raises(NoSuchEntityException, match=rf"^Policy {LAMBDA} version v2 does not exist or is not attachab"):
        bench.call("iam", "GetPolicyVersion", PolicyArn=LAMBDA, VersionId="v2")


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("DeletePolicy", {}),
        ("CreatePolicyVersion", {"PolicyDocument": ALLOW_ALL, "SetAsDefault": True}),
        ("SetDefaultPolicyVersion", {"VersionId": "v1"}),
        ("DeletePolicyVersion", {"VersionId": "v1"}),
        ("TagPolicy", {"Tags": [{"Key": "a", "Value": "b"}]}),
        ("UntagPolicy", {"TagKeys": ["a"]}),
    ],
)
def test_policies_of_aws_are_changed_by_nobody(bench: HandlerBench, operation: str, request_: dict[str, Any]) -> None:
    before = bench.call("iam", "GetPolicy", PolicyArn=LAMBDA)

    with pytest.raises(AccessDenied, match=r"^Policy is outside your own account\.$"):
        bench.call("iam", operation, PolicyArn=LAMBDA, **request_)

    assert bench.call("iam", "GetPolicy", PolicyArn=LAMBDA) == before


@pytest.mark.parametrize(
    ("operation", "request_", "text"),
    [
        ("GetPolicy", {}, "was not found."),
        ("DeletePolicy", {}, "was not found."),
        ("TagPolicy", {"Tags": []}, "was not found."),
        ("ListPolicyVersions", {}, "was not found."),
        ("CreatePolicyVersion", {"PolicyDocument": ALLOW_ALL}, "was not found."),
        ("GetPolicyVersion", {"VersionId": "v1"}, "version v1 does not exist or is not attachable."),
        ("ListEntitiesForPolicy", {}, "does not exist or is not attachable."),
    ],
)
@pytest.mark.parametrize("arn", [OURS + "none", OF_AWS + "none", "arn:aws-cn:iam::aws:policy/IAMFullAccess"])
def test_a_missing_policy_is_named(
    bench: HandlerBench, operation: str, request_: dict[str, Any], text: str, arn: str
) -> None:
    with pytest.raises(NoSuchEntityException) as refused:
        bench.call("iam", operation, PolicyArn=arn, **request_)
    assert refused.value.message == f"Policy {arn} {text}"


@pytest.mark.parametrize(
    "arn", ["no-arn-at-all-but-long", "arn:aws:iam::000000000000:role/read", "arn:aws:s3:::policy/read"]
)
def test_what_is_no_arn_of_a_policy_is_told(bench: HandlerBench, arn: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        bench.call("iam", "GetPolicy", PolicyArn=arn)
    assert refused.value.message == f"ARN {arn} is not valid."


def test_policies_are_listed_by_name_aws_and_own_together(bench: HandlerBench) -> None:
    for name in ("IAMFullAccess", "IAMFullAccess-2", "zebra", "x" * 128):
        make(bench, name)

    everything = listed(bench, MaxItems=1)

    assert everything == sorted(everything)
    assert everything.count("IAMFullAccess") == 2
    assert {"AdministratorAccess", "zebra", "x" * 128} <= set(everything)
    assert listed(bench, Scope="Local") == ["IAMFullAccess", "IAMFullAccess-2", "x" * 128, "zebra"]
    of_aws = listed(bench, Scope="AWS")
    assert sorted([*of_aws, *listed(bench, Scope="Local")]) == everything
    assert listed(bench, PathPrefix="/service-role/") == [
        "AWSLambdaBasicExecutionRole",
        "AWSLambdaVPCAccessExecutionRole",
    ]


def test_policies_are_listed_by_who_has_them(bench: HandlerBench) -> None:
    attached, bounding, _unused = (make(bench, name) for name in ("attached", "bounding", "unused"))
    bench.call("iam", "CreateUser", UserName="ada", PermissionsBoundary=bounding)
    bench.call("iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=LAMBDA)
    for arn in (attached, OF_AWS + "IAMFullAccess"):
        bench.call("iam", "AttachUserPolicy", UserName="ada", PolicyArn=arn)

    assert listed(bench, OnlyAttached=True) == ["IAMFullAccess", "attached"]
    assert listed(bench, OnlyAttached=True, Scope="Local") == ["attached"]
    assert listed(bench, PolicyUsageFilter="PermissionsPolicy") == ["IAMFullAccess", "attached"]
    assert listed(bench, PolicyUsageFilter="PermissionsBoundary") == ["AWSLambdaBasicExecutionRole", "bounding"]
    counts = {
        policy["PolicyName"]: (policy["AttachmentCount"], policy["PermissionsBoundaryUsageCount"])
        for policy in bench.call("iam", "ListPolicies", Scope="Local")["Policies"]
    }
    assert counts == {"attached": (1, 0), "bounding": (0, 1), "unused": (0, 0)}
    shown = bench.call("iam", "GetPolicy", PolicyArn=LAMBDA)["Policy"]
    assert (shown["AttachmentCount"], shown["PermissionsBoundaryUsageCount"]) == (0, 1)


def test_a_policy_that_somebody_has_or_that_has_versions_is_not_deleted(bench: HandlerBench) -> None:
    arn = make(bench)
    bench.call("iam", "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=allowing("a:b"), SetAsDefault=True)
    bench.call("iam", "CreateUser", UserName="ada", PermissionsBoundary=arn)
    bench.call("iam", "CreateGroup", GroupName="team")
    bench.call("iam", "AttachGroupPolicy", GroupName="team", PolicyArn=arn)

    attached = r"^Cannot delete a policy attached to entities\.$"
    with pytest.raises(DeleteConflictException, match=attached):
        bench.call("iam", "DeletePolicy", PolicyArn=arn)
    bench.call("iam", "DetachGroupPolicy", GroupName="team", PolicyArn=arn)
    with pytest.raises(DeleteConflictException, match=attached):
        bench.call("iam", "DeletePolicy", PolicyArn=arn)
    bench.call("iam", "DeleteUserPermissionsBoundary", UserName="ada")
    with pytest.raises(DeleteConflictException) as refused:
        bench.call("iam", "DeletePolicy", PolicyArn=arn)
    assert refused.value.message == (
        "This policy has more than one version. Before you delete a policy, you must delete the policy's versions."
        " The default version is deleted with the policy."
    )
    bench.call("iam", "DeletePolicyVersion", PolicyArn=arn, VersionId="v1")
    bench.call("iam", "DeletePolicy", PolicyArn=arn)

    with pytest.raises(NoSuchEntityException, match="was not found"):
        bench.call("iam", "GetPolicy", PolicyArn=arn)


def test_a_policy_is_updated_when_a_version_is_made(bench: HandlerBench) -> None:
    arn = make(bench)
    made_at = bench.clock.now()
    bench.clock.advance(bench.clock.now() - made_at.replace(hour=0))

    bench.call("iam", "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=allowing("a:b"))
    updated_at = bench.clock.now()
    bench.clock.advance(updated_at - updated_at.replace(minute=0))
    bench.call("iam", "SetDefaultPolicyVersion", PolicyArn=arn, VersionId="v2")

    shown = bench.call("iam", "GetPolicy", PolicyArn=arn)["Policy"]
    assert (shown["CreateDate"], shown["UpdateDate"], shown["DefaultVersionId"]) == (made_at, updated_at, "v2")


def test_versions_are_listed_in_pages(bench: HandlerBench) -> None:
    arn = make(bench)
    for _ in range(4):
        bench.call("iam", "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=ALLOW_ALL)

    first = bench.call("iam", "ListPolicyVersions", PolicyArn=arn, MaxItems=3)
    second = bench.call("iam", "ListPolicyVersions", PolicyArn=arn, Marker=first["Marker"])

    versions = [version["VersionId"] for page in (first, second) for version in page["Versions"]]
    assert versions == ["v5", "v4", "v3", "v2", "v1"]


@pytest.mark.parametrize("version_id", ["v0", "v01", "v99999999999999999999", "v1.a"])
def test_a_version_that_cannot_be_is_missing(bench: HandlerBench, version_id: str) -> None:
    arn = make(bench)

    for operation in ("GetPolicyVersion", "SetDefaultPolicyVersion", "DeletePolicyVersion"):
        with pytest.raises(NoSuchEntityException, match="does not exist or is not attachable"):
            bench.call("iam", operation, PolicyArn=arn, VersionId=version_id)


def test_a_policy_has_at_most_fifty_tags(bench: HandlerBench) -> None:
    arn = make(bench, Tags=[{"Key": f"key {number}", "Value": ""} for number in range(50)])

    with pytest.raises(LimitExceededException):
        bench.call("iam", "TagPolicy", PolicyArn=arn, Tags=[{"Key": "one more", "Value": ""}])
    bench.call("iam", "TagPolicy", PolicyArn=arn, Tags=[{"Key": "key 1", "Value": "new"}])
