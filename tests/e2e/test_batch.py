"""BatchGetSecretValue through boto3: what it gives, what it refuses, and what the audit trail says of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Credentials, ServerProcess
from .refusals import refusal


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Any:
    client = server.client("secretsmanager", parameter_validation=False)
    for name in ("app/one", "app/two", "app/three"):
        client.create_secret(Name=name, SecretString=f"value of {name}")
    client.create_secret(Name="app/binary", SecretBinary=b"\x00\xff")
    client.create_secret(Name="empty")
    client.create_secret(Name="dead", SecretString="x")
    client.delete_secret(SecretId="dead")
    return client


def arn(client: Any, name: str) -> str:
    found: str = client.describe_secret(SecretId=name)["ARN"]
    return found


def names(response: Any) -> list[str]:
    return [value["Name"] for value in response["SecretValues"]]


def caller(server: ServerProcess, name: str, *statements: dict[str, Any]) -> Any:
    """A client of a user with these permissions."""
    iam = server.client("iam")
    iam.create_user(UserName=name)
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement} for statement in statements]}
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return server.client("secretsmanager", Credentials(key["AccessKeyId"], key["SecretAccessKey"]))


def test_each_value_is_what_get_secret_value_answers_in_the_order_asked_for(client: Any) -> None:
    asked = ["app/two", arn(client, "app/one"), arn(client, "app/three")[:-7], "app/binary", "app/two"]

    answer = client.batch_get_secret_value(SecretIdList=asked)

    alone = [client.get_secret_value(SecretId=secret_id) for secret_id in asked]
    for value in alone:
        del value["ResponseMetadata"]
    assert answer["SecretValues"] == alone
    assert names(answer) == ["app/two", "app/one", "app/three", "app/binary", "app/two"]
    assert alone[3]["SecretBinary"] == b"\x00\xff"
    assert answer["Errors"] == []
    assert "NextToken" not in answer


def test_what_fails_is_told_apart_as_get_secret_value_tells_it(client: Any) -> None:
    elsewhere = arn(client, "app/one").replace(":us-east-1:", ":eu-west-1:")
    failing = ["no/such", "dead", "empty", "not a name", arn(client, "app/one")[:-6] + "AbCdEf", elsewhere]

    answer = client.batch_get_secret_value(SecretIdList=[failing[0], "app/one", *failing[1:]])

    assert names(answer) == ["app/one"]
    for error, secret_id in zip(answer["Errors"], failing, strict=True):
        told = refusal(client.get_secret_value, SecretId=secret_id)
        assert error == {"SecretId": secret_id, "ErrorCode": told.code, "Message": told.message}
    assert {error["ErrorCode"] for error in answer["Errors"]} == {
        "ResourceNotFoundException",
        "InvalidRequestException",
        "ValidationException",
    }


def test_filters_choose_secrets_page_by_page(client: Any) -> None:
    filters = [{"Key": "name", "Values": ["app/", "empty", "dead"]}]
    first = client.batch_get_secret_value(Filters=filters, MaxResults=3)
    second = client.batch_get_secret_value(Filters=filters, MaxResults=3, NextToken=first["NextToken"])

    assert names(first) == ["app/one", "app/two", "app/three"]
    assert names(second) == ["app/binary"]
    assert second["Errors"] == [
        {
            "SecretId": arn(client, "empty"),
            "ErrorCode": "ResourceNotFoundException",
            "Message": "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
        }
    ]
    assert "NextToken" not in second
    nothing = client.batch_get_secret_value(Filters=[{"Key": "name", "Values": ["other"]}])
    assert (nothing["SecretValues"], nothing["Errors"]) == ([], [])


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({}, "InvalidParameterException"),
        ({"SecretIdList": ["a"], "Filters": [{"Key": "name", "Values": ["a"]}]}, "InvalidParameterException"),
        ({"SecretIdList": ["a"], "MaxResults": 1}, "InvalidParameterException"),
        ({"Filters": [{"Key": "name", "Values": ["a"]}], "NextToken": "made up"}, "InvalidNextTokenException"),
        ({"SecretIdList": []}, "ValidationException"),
        ({"SecretIdList": ["a"] * 21}, "ValidationException"),
        ({"Filters": [{"Key": "name", "Values": ["a"]}], "MaxResults": 21}, "ValidationException"),
        ({"Filters": [{"Key": "size", "Values": ["a"]}]}, "ValidationException"),
    ],
)
def test_questions_that_cannot_be_asked(client: Any, request_: dict[str, Any], code: str) -> None:
    assert refusal(client.batch_get_secret_value, **request_).code == code


def test_every_secret_needs_its_own_permission(client: Any, server: ServerProcess) -> None:
    one = arn(client, "app/one")
    some = caller(
        server,
        "some",
        {"Action": ["secretsmanager:BatchGetSecretValue", "secretsmanager:ListSecrets"], "Resource": "*"},
        {"Action": "secretsmanager:GetSecretValue", "Resource": one},
    )

    by_name = some.batch_get_secret_value(SecretIdList=["app/two", "app/one", "no/such"])
    by_filter = some.batch_get_secret_value(Filters=[{"Key": "name", "Values": ["app/t", "app/o"]}])

    assert names(by_name) == names(by_filter) == ["app/one"]
    for error, secret_id in zip(by_name["Errors"], ("app/two", "no/such"), strict=True):
        told = refusal(some.get_secret_value, SecretId=secret_id)
        assert error == {"SecretId": secret_id, "ErrorCode": "AccessDeniedException", "Message": told.message}
    assert [error["SecretId"] for error in by_filter["Errors"]] == [arn(client, "app/two"), arn(client, "app/three")]
    assert {error["ErrorCode"] for error in by_filter["Errors"]} == {"AccessDeniedException"}


def test_the_call_itself_needs_permission_on_everything(client: Any, server: ServerProcess) -> None:
    reader = caller(server, "reader", {"Action": "secretsmanager:GetSecretValue", "Resource": "*"})
    narrow = caller(
        server, "narrow", {"Action": "secretsmanager:*", "Resource": arn(client, "app/one").rpartition("-")[0] + "*"}
    )
    batcher = caller(
        server,
        "batcher",
        {"Action": ["secretsmanager:BatchGetSecretValue", "secretsmanager:GetSecretValue"], "Resource": "*"},
    )

    for refused in (reader, narrow):
        with pytest.raises(ClientError, match=r"not authorized to perform: secretsmanager:BatchGetSecretValue because"):
            refused.batch_get_secret_value(SecretIdList=["app/one"])
    assert names(batcher.batch_get_secret_value(SecretIdList=["app/one"])) == ["app/one"]
    with pytest.raises(ClientError, match=r"not authorized to perform: secretsmanager:ListSecrets because"):
        batcher.batch_get_secret_value(Filters=[{"Key": "name", "Values": ["app/one"]}])


def test_the_trail_has_an_event_for_the_call_and_for_each_secret(client: Any, server: ServerProcess) -> None:
    one = arn(client, "app/one")
    watched = caller(
        server,
        "watched",
        {"Action": "secretsmanager:BatchGetSecretValue", "Resource": "*"},
        {"Action": "secretsmanager:GetSecretValue", "Resource": one},
    )

    answer = watched.batch_get_secret_value(SecretIdList=["app/one", "app/two", "no/such"])

    pages = server.client("cloudtrail").get_paginator("lookup_events")
    found = pages.paginate(LookupAttributes=[{"AttributeKey": "Username", "AttributeValue": "watched"}])
    events = [json.loads(event["CloudTrailEvent"]) for page in found for event in page["Events"]]
    assert sorted(event["eventName"] for event in events) == ["BatchGetSecretValue", *["GetSecretValue"] * 3]
    assert {event["requestID"] for event in events} == {answer["ResponseMetadata"]["RequestId"]}
    assert len({event["eventID"] for event in events}) == 4
    assert all(event["readOnly"] and event["responseElements"] is None for event in events)
    of = {event["requestParameters"].get("secretId"): event for event in events}
    assert of[None]["requestParameters"] == {"secretIdList": ["app/one", "app/two", "no/such"]}
    assert of["app/one"]["resources"][0]["ARN"] == one
    assert "errorCode" not in of["app/one"]
    for secret_id in ("app/two", "no/such"):
        assert of[secret_id]["errorCode"] == "AccessDenied"
        assert f"secretsmanager:GetSecretValue on resource: {secret_id}" in of[secret_id]["errorMessage"]
        assert of[secret_id]["additionalEventData"]["authorization"]["outcome"] == "implicitDeny"
    assert "value of" not in json.dumps(events)


def test_a_secret_that_was_read_so_was_accessed_today(client: Any) -> None:
    client.create_secret(Name="accessed", SecretString="x")
    assert "LastAccessedDate" not in client.describe_secret(SecretId="accessed")

    client.batch_get_secret_value(SecretIdList=["accessed"])

    last = client.describe_secret(SecretId="accessed")["LastAccessedDate"]
    assert last.astimezone(UTC).date() == datetime.now(UTC).date()
    by_access = client.list_secrets(SortBy="last-accessed-date", SortOrder="desc")["SecretList"]
    assert by_access[0]["LastAccessedDate"] == last
