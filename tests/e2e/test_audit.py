"""Every call leaves an audit event that LookupEvents finds, the refused ones too."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Credentials, ServerProcess


def events(server: ServerProcess, key: str, value: str) -> list[dict[str, Any]]:
    """Everything found by one attribute, newest first, through a paginator."""
    pages = server.client("cloudtrail").get_paginator("lookup_events")
    found = pages.paginate(LookupAttributes=[{"AttributeKey": key, "AttributeValue": value}])
    return [event for page in found for event in page["Events"]]


def test_a_call_is_found_as_soon_as_it_is_answered(server: ServerProcess) -> None:
    made = server.client("iam").create_user(UserName="audited")

    event = events(server, "EventName", "CreateUser")[0]

    record = json.loads(event["CloudTrailEvent"])
    assert (event["Username"], event["ReadOnly"]) == ("administrator", "false")
    assert event["EventSource"] == "iam.amazonaws.com"
    assert event["AccessKeyId"] == server.admin.access_key_id
    assert abs(event["EventTime"] - datetime.now(UTC)) < timedelta(minutes=1)
    assert event["Resources"][0]["ResourceName"] == made["User"]["Arn"]
    assert record["requestID"] == made["ResponseMetadata"]["RequestId"]
    assert record["requestParameters"] == {"userName": "audited"}
    assert record["responseElements"]["user"]["arn"] == made["User"]["Arn"]
    assert record["userIdentity"]["userName"] == "administrator"


def test_a_refusal_is_found_with_the_policy_that_decided(server: ServerProcess) -> None:
    iam = server.client("iam")
    iam.create_user(UserName="denied")
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Sid": "NoRoles", "Effect": "Deny", "Action": "iam:*Role*", "Resource": "*"},
        ],
    }
    iam.put_user_policy(UserName="denied", PolicyName="no-roles", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName="denied")["AccessKey"]
    client = server.client("iam", Credentials(made["AccessKeyId"], made["SecretAccessKey"]))

    with pytest.raises(ClientError) as refused:
        client.get_role(RoleName="anything")

    event = events(server, "Username", "denied")[0]
    record = json.loads(event["CloudTrailEvent"])
    assert event["EventName"] == "GetRole"
    assert record["errorCode"] == "AccessDenied"
    assert record["errorMessage"] == refused.value.response["Error"]["Message"]
    authorization = record["additionalEventData"]["authorization"]
    encoded = authorization.pop("encodedMessage")
    assert authorization == {
        "outcome": "explicitDeny",
        "policyType": "identity-based policy",
        "policyName": "no-roles",
        "statementIndex": 1,
        "sid": "NoRoles",
    }
    decoded = server.client("sts").decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"]
    assert json.loads(decoded)["matchedStatements"]["items"][0]["statementId"] == "NoRoles"


@pytest.mark.parametrize("is_known", [False, True], ids=["unknown key", "wrong secret"])
def test_who_was_turned_away_is_found_by_the_key_they_claimed(server: ServerProcess, is_known: bool) -> None:
    access_key_id = server.admin.access_key_id if is_known else "AKIAUNKNOWNUNKNOWN00"
    with pytest.raises(ClientError) as told:
        server.client("sts", Credentials(access_key_id, "not the secret")).get_caller_identity()

    records = [json.loads(event["CloudTrailEvent"]) for event in events(server, "AccessKeyId", access_key_id)]

    refused = next(record for record in records if record["eventName"] == "GetCallerIdentity")
    assert refused["userIdentity"]["type"] == "Unknown"
    assert refused["errorCode"]
    assert refused["errorMessage"] == told.value.response["Error"]["Message"]


def test_a_new_secret_access_key_is_in_no_event(server: ServerProcess) -> None:
    iam = server.client("iam")
    iam.create_user(UserName="quiet")
    made = iam.create_access_key(UserName="quiet")["AccessKey"]

    record = events(server, "EventName", "CreateAccessKey")[0]["CloudTrailEvent"]

    assert made["AccessKeyId"] in record
    assert made["SecretAccessKey"] not in record
    assert made["SecretAccessKey"] not in server.log()


def test_a_session_and_its_token_are_in_no_event(server: ServerProcess) -> None:
    trust = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}'
    )
    role = server.client("iam").create_role(RoleName="quiet", AssumeRolePolicyDocument=trust)["Role"]
    made = server.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="test")["Credentials"]

    record = events(server, "EventName", "AssumeRole")[0]["CloudTrailEvent"]

    assert made["AccessKeyId"] in record
    assert made["SecretAccessKey"] not in record
    assert made["SecretAccessKey"] not in server.log()
    assert made["SessionToken"] not in server.log()
    assert made["SessionToken"] not in record


def test_time_ranges_and_pages(server: ServerProcess) -> None:
    client = server.client("cloudtrail")
    for _ in range(3):
        server.client("sts").get_caller_identity()

    first = client.lookup_events(MaxResults=2)
    second = client.lookup_events(MaxResults=2, NextToken=first["NextToken"])
    ids = [event["EventId"] for event in first["Events"] + second["Events"]]
    assert len(set(ids)) == 4
    assert client.lookup_events(EndTime=datetime.now(UTC) - timedelta(days=1))["Events"] == []
    with pytest.raises(client.exceptions.InvalidTimeRangeException):
        client.lookup_events(StartTime=datetime.now(UTC), EndTime=datetime.now(UTC) - timedelta(days=1))
    with pytest.raises(client.exceptions.InvalidNextTokenException):
        client.lookup_events(NextToken="made up")
