from __future__ import annotations

import json
from typing import Any

import pytest

from keyturn.errors.lambda_ import (
    InvalidParameterValueException,
    PolicyLengthExceededException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from keyturn.operations.lambda_.names import parse_function_name
from keyturn.operations.lambda_.subjects import load_function, statements_of
from keyturn.operations.service_invocation import service_may_invoke
from keyturn.testing.handlers import PLACE

from .conftest import ARN, LambdaBench

SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf"


def add(bench: LambdaBench, sid: str = "SecretsManagerAccess", **request: Any) -> Any:
    whole = {
        "FunctionName": ARN,
        "StatementId": sid,
        "Action": "lambda:InvokeFunction",
        "Principal": "secretsmanager.amazonaws.com",
    }
    return bench.call("AddPermission", **{**whole, **request})


def statement(bench: LambdaBench, **request: Any) -> Any:
    return json.loads(add(bench, **request)["Statement"])


@pytest.fixture(autouse=True)
def function(bench: LambdaBench) -> None:
    bench.create()


def test_the_statement_that_rotation_needs_is_answered_letter_by_letter(bench: LambdaBench) -> None:
    # Recorded by localstack 2022-09.
    assert add(bench) == {
        "Statement": '{"Sid":"SecretsManagerAccess","Effect":"Allow",'
        '"Principal":{"Service":"secretsmanager.amazonaws.com"},"Action":"lambda:InvokeFunction",'
        '"Resource":"arn:aws:lambda:us-east-1:000000000000:function:rotate"}'
    }


def test_the_policy_holds_the_statements_in_their_order(bench: LambdaBench) -> None:
    first, second = add(bench, "b")["Statement"], add(bench, "a")["Statement"]

    shown = bench.call("GetPolicy", FunctionName="rotate")

    assert shown["Policy"] == f'{{"Version":"2012-10-17","Id":"default","Statement":[{first},{second}]}}'
    assert shown["RevisionId"] == bench.call("GetFunctionConfiguration", FunctionName="rotate")["RevisionId"]


@pytest.mark.parametrize(
    ("principal", "shown"),
    [
        ("*", "*"),
        ("111111111111", {"AWS": "arn:aws:iam::111111111111:root"}),
        ("arn:aws:iam::111111111111:root", {"AWS": "arn:aws:iam::111111111111:root"}),
        ("arn:aws:iam::111111111111:role/x/y", {"AWS": "arn:aws:iam::111111111111:role/x/y"}),
        ("events.amazonaws.com", {"Service": "events.amazonaws.com"}),
        ("logs.us-east-1.amazonaws.com", {"Service": "logs.us-east-1.amazonaws.com"}),
    ],
)
def test_a_principal_is_a_service_an_account_an_identity_or_everybody(
    bench: LambdaBench, principal: str, shown: Any
) -> None:
    assert statement(bench, Principal=principal)["Principal"] == shown


@pytest.mark.parametrize(
    "principal",
    [
        "somebody",
        "arn:aws:s3:::bucket",
        "arn:aws:iam::1:user/x",
        "amazonaws.com",
        # What whoever decides could not read would keep everybody from the function.
        "arn:aws:iam::000000000000:user/",
        "arn:aws:iam::000000000000:user/*",
        "arn:aws:iam::000000000000:role/é",
        "arn:aws:sts::000000000000:assumed-role/x",
        "arn:foo:iam::000000000000:root",
        "arn:aws:iam:us-east-1:000000000000:root",
    ],
)
def test_any_other_principal_is_invalid(bench: LambdaBench, principal: str) -> None:
    with pytest.raises(InvalidParameterValueException) as refused:
        add(bench, Principal=principal)
    assert refused.value.message == "The provided principal was invalid. Please check the principal and try again."


def test_conditions_name_the_source(bench: LambdaBench) -> None:
    made = statement(bench, SourceAccount="000000000000", SourceArn=SECRET, PrincipalOrgID="o-a1b2c3d4e5")

    assert made["Condition"] == {
        "StringEquals": {"AWS:SourceAccount": "000000000000", "aws:PrincipalOrgID": "o-a1b2c3d4e5"},
        "ArnLike": {"AWS:SourceArn": SECRET},
    }


def test_a_statement_id_is_given_once(bench: LambdaBench) -> None:
    add(bench, "s3")

    with pytest.raises(ResourceConflictException) as refused:
        add(bench, "s3", Principal="events.amazonaws.com")
    assert refused.value.message == (
        "The statement id (s3) provided already exists. Please provide a new statement id, or remove the existing"
        " statement."
    )
    assert "events" not in bench.call("GetPolicy", FunctionName="rotate")["Policy"]


def test_a_policy_beyond_20_kb_is_refused_and_stays_as_it_was(bench: LambdaBench) -> None:
    add(bench, "first")
    before = bench.call("GetPolicy", FunctionName="rotate")

    with pytest.raises(PolicyLengthExceededException):
        add(bench, "second", SourceArn="arn:aws:s3:::" + "x" * 20_480)
    assert bench.call("GetPolicy", FunctionName="rotate") == before


@pytest.mark.parametrize("operation", ["AddPermission", "RemovePermission"])
def test_latest_has_no_policy_of_its_own(bench: LambdaBench, operation: str) -> None:
    more = {"Action": "lambda:*", "Principal": "*"} if operation == "AddPermission" else {}

    with pytest.raises(InvalidParameterValueException, match=r"policies for \$LATEST\."):
        bench.call(operation, FunctionName="rotate", Qualifier="$LATEST", StatementId="s", **more)


def test_a_change_of_the_policy_is_a_new_revision(bench: LambdaBench) -> None:
    before = bench.call("GetFunctionConfiguration", FunctionName="rotate")["RevisionId"]

    add(bench, RevisionId=before)

    with pytest.raises(PreconditionFailedException):
        add(bench, "second", RevisionId=before)
    with pytest.raises(PreconditionFailedException):
        bench.call("RemovePermission", FunctionName="rotate", StatementId="SecretsManagerAccess", RevisionId=before)


def test_without_statements_there_is_no_policy(bench: LambdaBench) -> None:
    def get_policy() -> None:
        with pytest.raises(ResourceNotFoundException) as refused:
            bench.call("GetPolicy", FunctionName="rotate")
        assert refused.value.message == "The resource you requested does not exist."

    get_policy()
    add(bench, "only")
    bench.call("RemovePermission", FunctionName="rotate", StatementId="only")
    get_policy()


def test_only_statements_that_are_there_can_be_removed(bench: LambdaBench) -> None:
    with pytest.raises(ResourceNotFoundException, match="No policy is associated with the given resource"):
        bench.call("RemovePermission", FunctionName="rotate", StatementId="x")
    add(bench)
    with pytest.raises(ResourceNotFoundException, match="Statement x is not found in resource policy"):
        bench.call("RemovePermission", FunctionName="rotate", StatementId="x")


def test_a_function_that_is_missing_is_named_by_its_arn(bench: LambdaBench) -> None:
    with pytest.raises(ResourceNotFoundException) as refused:
        add(bench, FunctionName="other")
    assert refused.value.message == f"Function not found: {ARN.replace('rotate', 'other')}"


def test_secrets_manager_may_invoke_only_what_names_it(bench: LambdaBench) -> None:
    def may() -> bool:
        kit = bench.handlers.kit
        kit.kept.refresh()
        record = load_function(kit, parse_function_name(PLACE, "rotate"))
        assert record is not None
        return service_may_invoke(record.arn, statements_of(kit, record.arn), SECRET, "000000000000").allowed

    assert not may()
    add(bench, "other-secret", SourceArn=SECRET.replace("db", "web"))
    assert not may()
    add(bench, "this-secret", SourceArn=SECRET, SourceAccount="000000000000")
    assert may()
    bench.call("RemovePermission", FunctionName="rotate", StatementId="this-secret")
    assert not may()
