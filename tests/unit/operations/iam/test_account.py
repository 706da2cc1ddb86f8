from __future__ import annotations

from typing import Any

import pytest

from keyturn.operations.refusal import Refused
from keyturn.testing.handlers import ALLOW_ALL, HandlerBench, user
from keyturn.wire.models import service

from .documents import TRUST

LAMBDA = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
SUMMARY_KEYS = {
    "AccessKeysPerUserQuota",
    "AccountAccessKeysPresent",
    "AccountMFAEnabled",
    "AccountPasswordPresent",
    "AccountSigningCertificatesPresent",
    "AssumeRolePolicySizeQuota",
    "AttachedPoliciesPerGroupQuota",
    "AttachedPoliciesPerRoleQuota",
    "AttachedPoliciesPerUserQuota",
    "GlobalEndpointTokenVersion",
    "GroupPolicySizeQuota",
    "Groups",
    "GroupsPerUserQuota",
    "GroupsQuota",
    "InstanceProfiles",
    "InstanceProfilesQuota",
    "MFADevices",
    "MFADevicesInUse",
    "Policies",
    "PoliciesQuota",
    "PolicySizeQuota",
    "PolicyVersionsInUse",
    "PolicyVersionsInUseQuota",
    "Providers",
    "RolePolicySizeQuota",
    "Roles",
    "RolesQuota",
    "ServerCertificates",
    "ServerCertificatesQuota",
    "SigningCertificatesPerUserQuota",
    "UserPolicySizeQuota",
    "Users",
    "UsersQuota",
    "VersionsPerPolicyQuota",
}


@pytest.fixture
def full(bench: HandlerBench) -> HandlerBench:
    """An account with one of each, and who has what."""
    arn = bench.call("iam", "CreatePolicy", PolicyName="own", PolicyDocument=ALLOW_ALL)["Policy"]["Arn"]
    bench.call("iam", "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=ALLOW_ALL)
    bench.call("iam", "CreateUser", UserName="ada", PermissionsBoundary=arn)
    bench.call("iam", "CreateGroup", GroupName="team")
    bench.call("iam", "AddUserToGroup", GroupName="team", UserName="ada")
    bench.call(
        "iam", "CreateRole", RoleName="run", AssumeRolePolicyDocument=TRUST, Description="d", PermissionsBoundary=arn
    )
    bench.call("iam", "AttachRolePolicy", RoleName="run", PolicyArn=LAMBDA)
    return bench


def test_the_summary_counts_and_names_the_quotas(full: HandlerBench) -> None:
    summary = full.call("iam", "GetAccountSummary")["SummaryMap"]

    counts = {name: summary[name] for name in ("Users", "Groups", "Roles", "Policies", "PolicyVersionsInUse")}
    assert counts == {"Users": 1, "Groups": 1, "Roles": 1, "Policies": 1, "PolicyVersionsInUse": 2}
    # As recorded, more than the model has names for.
    assert set(summary) == SUMMARY_KEYS
    output = service("iam").operation("GetAccountSummary").output
    assert output is not None
    assert set(output.members["SummaryMap"].key.traits["enum"]) <= SUMMARY_KEYS
    assert (summary["PolicySizeQuota"], summary["GroupPolicySizeQuota"], summary["UsersQuota"]) == (6144, 5120, 5000)


def test_there_are_no_aliases(bench: HandlerBench) -> None:
    assert bench.call("iam", "ListAccountAliases") == {"AccountAliases": [], "IsTruncated": False}


@pytest.mark.parametrize("operation", ["GetAccountSummary", "GetAccountAuthorizationDetails", "ListAccountAliases"])
def test_a_refusal_shows_the_whole_account_as_a_star(bench: HandlerBench, operation: str) -> None:
    with pytest.raises(Refused, match=r" on resource: \* because no identity-based policy allows "):
        bench.call_as(bench.as_(user("nobody")), "iam", operation)


def test_details_show_boundaries_and_of_awss_policies_those_in_use(full: HandlerBench) -> None:
    details = full.call("iam", "GetAccountAuthorizationDetails")

    boundary = {
        "PermissionsBoundaryType": "Policy",
        "PermissionsBoundaryArn": "arn:aws:iam::000000000000:policy/own",
    }
    (ada,) = details["UserDetailList"]
    (run,) = details["RoleDetailList"]
    assert ada["PermissionsBoundary"] == run["PermissionsBoundary"] == boundary
    assert run["AttachedManagedPolicies"] == [{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": LAMBDA}]
    assert "Description" not in run
    own, of_aws = details["Policies"]
    assert [version["VersionId"] for version in own["PolicyVersionList"]] == ["v2", "v1"]
    assert (own["PermissionsBoundaryUsageCount"], own["AttachmentCount"]) == (2, 0)
    assert (of_aws["Arn"], of_aws["AttachmentCount"]) == (LAMBDA, 1)
    assert of_aws["PolicyVersionList"][0]["IsDefaultVersion"] is True


def test_details_are_paged_across_all_kinds(full: HandlerBench) -> None:
    pages: list[Any] = []
    marker: dict[str, str] = {}
    while not pages or pages[-1]["IsTruncated"]:
        pages.append(full.call("iam", "GetAccountAuthorizationDetails", MaxItems=1, **marker))
        marker = {"Marker": pages[-1].get("Marker", "")}

    kinds = ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")
    assert [[len(page[kind]) for kind in kinds] for page in pages] == [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 1],
    ]
    whole = full.call("iam", "GetAccountAuthorizationDetails")
    assert {kind: [one for page in pages for one in page[kind]] for kind in kinds} == {
        kind: whole[kind] for kind in kinds
    }


@pytest.mark.parametrize(
    ("filters", "counts"),
    [
        (["User", "Role"], [1, 0, 1, 0]),
        (["LocalManagedPolicy"], [0, 0, 0, 1]),
        (["AWSManagedPolicy"], [0, 0, 0, 1]),
    ],
)
def test_details_are_filtered_by_kind(full: HandlerBench, filters: list[str], counts: list[int]) -> None:
    details = full.call("iam", "GetAccountAuthorizationDetails", Filter=filters)

    kinds = ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")
    assert [len(details[kind]) for kind in kinds] == counts
