"""The policy simulator, of stored policies and of policies that are tried out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyturn.errors.common import AccessDenied, NotImplementedHere
from keyturn.errors.iam import InvalidInputException, NoSuchEntityException
from keyturn.testing.handlers import HandlerBench, open_bench, user

GET = "secretsmanager:GetSecretValue"
SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-a1b2c3"
ADA = "arn:aws:iam::000000000000:user/ada"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        opened.call("iam", "CreateUser", UserName="ada")
        yield opened


def policy(action: Any = GET, resource: Any = "*", effect: str = "Allow", **more: Any) -> str:
    statement = {"Effect": effect, "Action": action, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def custom(bench: HandlerBench, *policies: str, **request: Any) -> Any:
    request.setdefault("ActionNames", [GET])
    return bench.call("iam", "SimulateCustomPolicy", PolicyInputList=list(policies), **request)["EvaluationResults"]


def test_a_policy_is_tried_without_being_anybodys(bench: HandlerBench) -> None:
    text = policy()

    [result] = custom(bench, text)

    assert result == {
        "EvalActionName": GET,
        "EvalResourceName": "*",
        "EvalDecision": "allowed",
        "MatchedStatements": [
            {
                "SourcePolicyId": "PolicyInputList.1",
                "SourcePolicyType": "IAM Policy",
                "StartPosition": {"Line": 1, "Column": text.index("[") + 2},
                "EndPosition": {"Line": 1, "Column": text.index("]") + 1},
            }
        ],
        "MissingContextValues": [],
    }


def test_each_resource_has_its_own_result_and_the_worst_stands_for_all(bench: HandlerBench) -> None:
    [result] = custom(bench, policy(resource=SECRET), ResourceArns=[SECRET, SECRET + "x"])

    assert result["EvalDecision"] == "implicitDeny"
    assert [(one["EvalResourceName"], one["EvalResourceDecision"]) for one in result["ResourceSpecificResults"]] == [
        (SECRET, "allowed"),
        (SECRET + "x", "implicitDeny"),
    ]


def test_of_a_deny_only_the_deny_is_told(bench: HandlerBench) -> None:
    [result] = custom(bench, policy(), policy(effect="Deny"))

    assert result["EvalDecision"] == "explicitDeny"
    assert [one["SourcePolicyId"] for one in result["MatchedStatements"]] == ["PolicyInputList.2"]


def test_what_nobody_supplied_is_named_as_the_policy_spells_it(bench: HandlerBench) -> None:
    asking = policy(Condition={"DateGreaterThan": {"aws:CurrentTime": "2018-08-16T12:00:00Z"}})
    entry = {
        "ContextKeyName": "aws:currenttime",
        "ContextKeyValues": ["2019-04-25T11:00:00Z"],
        "ContextKeyType": "date",
    }

    [without] = custom(bench, asking)
    [supplied] = custom(bench, asking, ContextEntries=[entry])

    assert (without["EvalDecision"], without["MissingContextValues"]) == ("implicitDeny", ["aws:CurrentTime"])
    assert (supplied["EvalDecision"], supplied["MissingContextValues"]) == ("allowed", [])


def test_a_boundary_narrows_and_says_so(bench: HandlerBench) -> None:
    inside, outside = (
        custom(bench, policy(), PermissionsBoundaryPolicyInputList=[policy(action)])[0] for action in (GET, "s3:*")
    )

    assert inside["EvalDecision"] == "allowed"
    assert inside["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": True}
    assert outside["EvalDecision"] == "implicitDeny"
    assert outside["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}


def test_a_resource_policy_is_tried_for_the_caller_that_is_named(bench: HandlerBench) -> None:
    resource_policy = policy(Principal={"AWS": ADA})
    tried = {"ResourceArns": [SECRET], "ResourcePolicy": resource_policy}

    [named] = custom(bench, policy("s3:*"), CallerArn=ADA, **tried)
    [other] = custom(bench, policy("s3:*"), CallerArn=ADA + "x", **tried)

    assert named["EvalDecision"] == "allowed"
    assert named["MatchedStatements"][0]["SourcePolicyId"] == "ResourcePolicy"
    assert other["EvalDecision"] == "implicitDeny"


def test_a_principals_own_policies_are_tried_with_those_of_the_request(bench: HandlerBench) -> None:
    bench.call("iam", "PutUserPolicy", UserName="ada", PolicyName="own", PolicyDocument=policy())
    bench.kept.refresh()

    response = bench.call(
        "iam",
        "SimulatePrincipalPolicy",
        PolicySourceArn=ADA,
        PolicyInputList=[policy("secretsmanager:DescribeSecret")],
        ActionNames=[GET, "secretsmanager:DescribeSecret", "secretsmanager:DeleteSecret"],
        ResourceArns=[SECRET],
    )

    assert [
        (one["EvalDecision"], [statement["SourcePolicyId"] for statement in one["MatchedStatements"]])
        for one in response["EvaluationResults"]
    ] == [("allowed", ["own"]), ("allowed", ["PolicyInputList.1"]), ("implicitDeny", [])]
    assert response["IsTruncated"] is False


def test_results_come_in_pages(bench: HandlerBench) -> None:
    actions = [f"s3:Action{number}" for number in range(5)]
    request: dict[str, Any] = {"PolicySourceArn": ADA, "ActionNames": actions, "MaxItems": 2}
    seen: list[str] = []
    while True:
        response = bench.call("iam", "SimulatePrincipalPolicy", **request)
        seen += [one["EvalActionName"] for one in response["EvaluationResults"]]
        if not response["IsTruncated"]:
            break
        request["Marker"] = response["Marker"]

    assert seen == actions


def test_what_is_simulated_is_what_is_decided(bench: HandlerBench) -> None:
    document = policy("iam:GetUser", resource=ADA.replace("ada", "${aws:username}"))
    bench.call("iam", "PutUserPolicy", UserName="ada", PolicyName="own", PolicyDocument=document)
    bench.call("iam", "CreateUser", UserName="bob")
    bench.kept.refresh()

    for name, decision in (("ada", "allowed"), ("bob", "implicitDeny")):
        [result] = bench.call(
            "iam",
            "SimulatePrincipalPolicy",
            PolicySourceArn=ADA,
            ActionNames=["iam:GetUser"],
            ResourceArns=[ADA.replace("ada", name)],
        )["EvaluationResults"]
        assert result["EvalDecision"] == decision
    bench.call_as(bench.as_(user("ada")), "iam", "GetUser", UserName="ada")
    with pytest.raises(AccessDenied):
        bench.call_as(bench.as_(user("ada")), "iam", "GetUser", UserName="bob")


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"PolicyInputList": ["{}"]}, InvalidInputException),
        ({"PolicyInputList": [policy()], "CallerArn": "arn:aws:iam::000000000000:role/r"}, InvalidInputException),
        ({"PolicyInputList": [policy()], "ResourceOwner": "000000000000"}, NotImplementedHere),
        (
            {"PolicyInputList": [policy()], "PermissionsBoundaryPolicyInputList": [policy(), policy()]},
            InvalidInputException,
        ),
    ],
)
def test_what_cannot_be_simulated_is_refused(
    bench: HandlerBench, request_: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        bench.call("iam", "SimulateCustomPolicy", ActionNames=[GET], **request_)


def test_a_source_that_is_not_there_is_missed(bench: HandlerBench) -> None:
    with pytest.raises(NoSuchEntityException):
        bench.call("iam", "SimulatePrincipalPolicy", PolicySourceArn=ADA + "x", ActionNames=[GET])
    with pytest.raises(InvalidInputException, match="does not clearly define entity type and name"):
        bench.call(
            "iam", "SimulatePrincipalPolicy", PolicySourceArn="arn:aws:iam::000000000000:root", ActionNames=[GET]
        )


def test_the_keys_that_policies_ask_for_are_listed(bench: HandlerBench) -> None:
    conditions = {
        "StringEquals": {"aws:PrincipalTag/Team": "${aws:RequestedRegion}"},
        "Bool": {"aws:SecureTransport": "true"},
    }
    tried = policy(resource="arn:aws:s3:::${aws:username}/*", Condition=conditions)
    bench.call("iam", "PutUserPolicy", UserName="ada", PolicyName="own", PolicyDocument=tried)
    bench.kept.refresh()
    names = ["aws:PrincipalTag/Team", "aws:RequestedRegion", "aws:SecureTransport", "aws:username"]

    found = bench.call("iam", "GetContextKeysForCustomPolicy", PolicyInputList=[tried, policy()])
    own = bench.call("iam", "GetContextKeysForPrincipalPolicy", PolicySourceArn=ADA)

    assert found == own == {"ContextKeyNames": names}
