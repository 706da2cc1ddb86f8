"""What an audit event may show of a call."""

from __future__ import annotations

from datetime import UTC, datetime

from keyturn.wire.models import service
from keyturn.wire.redact import request_parameters, response_elements


def test_secret_values_are_gone_and_keys_are_spelled_as_cloudtrail_does() -> None:
    shown = request_parameters(
        service("secretsmanager").operation("PutSecretValue"),
        {
            "SecretId": "a",
            "SecretString": "hush",
            "SecretBinary": b"hush",
            "RotationToken": "hush",
            "VersionStages": ["x"],
        },
    )
    assert shown == {"secretId": "a", "versionStages": ["x"]}


def test_an_abbreviation_is_small_altogether() -> None:
    made = {"ARN": "arn:aws:secretsmanager:us-east-1:000000000000:secret:a-b1c2d3", "Name": "a"}
    shown = response_elements(service("secretsmanager").operation("CreateSecret"), made)
    assert shown == {"arn": made["ARN"], "name": "a"}


def test_sensitive_members_are_gone_at_any_depth() -> None:
    shown = request_parameters(
        service("lambda").operation("CreateFunction"),
        {"FunctionName": "f", "Code": {"ZipFile": b"PK", "S3Key": "k"}, "Environment": {"Variables": {"A": "hush"}}},
    )
    assert shown == {"functionName": "f", "code": {"s3Key": "k"}, "environment": {}}


def test_session_credentials_are_gone() -> None:
    credentials = {
        "AccessKeyId": "ASIAEXAMPLE",
        "SecretAccessKey": "hush",
        "SessionToken": "hush",
        "Expiration": datetime(2024, 1, 1, tzinfo=UTC),
    }
    shown = response_elements(service("sts").operation("AssumeRole"), {"Credentials": credentials})
    assert shown == {"credentials": {"accessKeyId": "ASIAEXAMPLE", "expiration": "2024-01-01T00:00:00Z"}}


def test_a_new_access_key_is_shown_without_its_secret() -> None:
    access_key = {"UserName": "u", "AccessKeyId": "AKIAEXAMPLE", "Status": "Active", "SecretAccessKey": "hush"}
    shown = response_elements(service("iam").operation("CreateAccessKey"), {"AccessKey": access_key})
    assert shown == {"accessKey": {"userName": "u", "accessKeyId": "AKIAEXAMPLE", "status": "Active"}}


def test_what_a_function_printed_and_what_a_password_is_are_not_shown() -> None:
    put = {"logGroupName": "g", "logStreamName": "s", "logEvents": [{"timestamp": 1, "message": "hush"}]}
    shown = request_parameters(service("logs").operation("PutLogEvents"), put)
    assert shown == {"logGroupName": "g", "logStreamName": "s", "logEvents": [{"timestamp": 1}]}
    password = response_elements(service("secretsmanager").operation("GetRandomPassword"), {"RandomPassword": "hush"})
    assert password is None


def test_names_the_model_does_not_know_are_not_shown() -> None:
    operation = service("secretsmanager").operation("DescribeSecret")
    assert request_parameters(operation, {"SecretId": "a", "Password": "hush"}) == {"secretId": "a"}


def test_nothing_to_show_is_none() -> None:
    assert request_parameters(service("sts").operation("GetCallerIdentity"), {}) is None
    assert response_elements(service("secretsmanager").operation("TagResource"), {}) is None
