from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from keyturn.operations.service_invocation import service_may_invoke
from keyturn.rules.policy.evaluate import Decision, Outcome, PolicyType
from keyturn.storage.functions import StatementRecord

FUNCTION_ARN = "arn:aws:lambda:us-east-1:000000000000:function:rotate"
SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf"


def decided(*statements: dict[str, Any]) -> Decision:
    whole = [
        {
            "Sid": "s",
            "Effect": "Allow",
            "Principal": {"Service": "secretsmanager.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": FUNCTION_ARN,
            **statement,
        }
        for statement in statements
    ]
    records = [cast("StatementRecord", SimpleNamespace(statement=json.dumps(each))) for each in whole]
    return service_may_invoke(FUNCTION_ARN, records, SECRET, "000000000000")


def test_without_a_policy_it_may_not() -> None:
    assert decided() == Decision(Outcome.IMPLICIT_DENY, PolicyType.RESOURCE)


def test_a_statement_for_the_service_lets_it() -> None:
    assert decided({}).allowed


@pytest.mark.parametrize("service", ["lambda.amazonaws.com", "events.amazonaws.com"])
def test_a_statement_for_another_service_does_not(service: str) -> None:
    assert not decided({"Principal": {"Service": service}}).allowed


def test_source_account_and_source_arn_are_those_of_the_secret() -> None:
    right = {"StringEquals": {"AWS:SourceAccount": "000000000000"}, "ArnLike": {"AWS:SourceArn": SECRET}}
    wrong = {"StringEquals": {"AWS:SourceAccount": "111111111111"}}

    assert decided({"Condition": right}).allowed
    assert not decided({"Condition": wrong}).allowed


def test_a_deny_wins() -> None:
    assert decided({}, {"Sid": "no", "Effect": "Deny"}).outcome is Outcome.EXPLICIT_DENY
