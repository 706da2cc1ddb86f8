"""ListSecrets through boto3: filters, order and pages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Credentials, ServerProcess
from .refusals import refusal

SECRETS: list[dict[str, Any]] = [
    {"Name": "prod/db", "Description": "the main database", "Tags": [{"Key": "team", "Value": "Blue"}]},
    {"Name": "prod/api", "Description": "Token of the APIgateway", "Tags": [{"Key": "Team", "Value": "blue"}]},
    {"Name": "test/db", "Description": "a test database"},
    {"Name": "Prod/db"},
]
NAMES = [secret["Name"] for secret in SECRETS]


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Any:
    client = server.client("secretsmanager")
    for secret in SECRETS:
        client.create_secret(SecretString="x", **secret)
    return client


def names(client: Any, **request: Any) -> list[str]:
    return [secret["Name"] for secret in client.list_secrets(**request)["SecretList"]]


def filters(*pairs: tuple[str, str | list[str]]) -> list[dict[str, Any]]:
    return [{"Key": key, "Values": [values] if isinstance(values, str) else values} for key, values in pairs]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ([("name", "prod/")], {"prod/db", "prod/api"}),
        ([("name", "Prod/")], {"Prod/db"}),
        ([("name", "db")], set()),
        ([("name", ["prod/a", "test"])], {"prod/api", "test/db"}),
        ([("name", "!prod/")], {"test/db", "Prod/db"}),
        ([("tag-key", "team")], {"prod/db"}),
        ([("tag-key", ["team", "Team"])], {"prod/db", "prod/api"}),
        ([("tag-value", "Bl")], {"prod/db"}),
        ([("description", "DATA")], {"prod/db", "test/db"}),
        ([("description", "main data")], {"prod/db"}),
        ([("description", "gateway")], set()),
        ([("all", "blue")], {"prod/db", "prod/api"}),
        ([("all", "db")], {"prod/db", "test/db", "Prod/db"}),
        ([("name", "prod"), ("description", "token")], {"prod/api"}),
        ([("name", "prod"), ("name", "test")], set()),
        ([("primary-region", "us")], set()),
        ([("owning-service", "rds")], set()),
    ],
)
def test_filters(client: Any, asked: list[tuple[str, str | list[str]]], found: set[str]) -> None:
    assert set(names(client, Filters=filters(*asked))) == found


def test_an_entry_shows_what_a_description_shows(client: Any) -> None:
    (entry,) = client.list_secrets(Filters=filters(("name", "prod/db")))["SecretList"]
    described = client.describe_secret(SecretId="prod/db")

    described["SecretVersionsToStages"] = described.pop("VersionIdsToStages")
    del described["ResponseMetadata"]
    assert entry == described


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"SortBy": "name", "SortOrder": "asc"}, ["Prod/db", "prod/api", "prod/db", "test/db"]),
        ({"SortBy": "name", "SortOrder": "desc"}, ["test/db", "prod/db", "prod/api", "Prod/db"]),
        ({"SortBy": "created-date", "SortOrder": "asc"}, NAMES),
        ({"SortBy": "created-date", "SortOrder": "desc"}, NAMES[::-1]),
        ({"SortBy": "last-changed-date", "SortOrder": "asc"}, NAMES),
    ],
)
@pytest.mark.parametrize("page_size", [1, 3, 100])
def test_pages_in_every_order_hold_each_secret_once(
    client: Any, request_: dict[str, str], expected: list[str], page_size: int
) -> None:
    paginator = client.get_paginator("list_secrets")

    pages = list(paginator.paginate(**request_, PaginationConfig={"PageSize": page_size}))

    assert [secret["Name"] for page in pages for secret in page["SecretList"]] == expected
    assert [len(page["SecretList"]) for page in pages[:-1]] == [page_size] * (len(pages) - 1)
    assert "NextToken" not in pages[-1]


def test_a_secret_created_between_two_pages_disturbs_nothing(client: Any) -> None:
    first = client.list_secrets(SortBy="name", SortOrder="asc", MaxResults=2)
    client.create_secret(Name="Aa/first", SecretString="x")
    try:
        rest = client.list_secrets(SortBy="name", SortOrder="asc", MaxResults=2, NextToken=first["NextToken"])
    finally:
        client.delete_secret(SecretId="Aa/first", ForceDeleteWithoutRecovery=True)

    assert [secret["Name"] for secret in rest["SecretList"]] == ["prod/db", "test/db"]


def test_a_token_answers_only_the_question_it_came_from(client: Any, server: ServerProcess) -> None:
    token = client.list_secrets(MaxResults=2)["NextToken"]

    for request in (
        {"NextToken": token, "SortBy": "name"},
        {"NextToken": token, "Filters": filters(("name", "prod"))},
        {"NextToken": token[:-4] + "AAAA"},
        {"NextToken": "made up"},
    ):
        assert refusal(client.list_secrets, **request).code == "InvalidNextTokenException"
    assert "prod" not in token


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"MaxResults": 0}, "ValidationException"),
        ({"MaxResults": 101}, "ValidationException"),
        ({"Filters": filters(("size", "large"))}, "ValidationException"),
        ({"Filters": filters(("name", "*"))}, "ValidationException"),
        ({"Filters": filters(*[("name", "a")] * 11)}, "ValidationException"),
        ({"Filters": [{"Values": ["a"]}]}, "InvalidParameterException"),
        ({"Filters": [{"Key": "name"}]}, "InvalidParameterException"),
        ({"SortBy": "size"}, "ValidationException"),
    ],
)
def test_questions_that_cannot_be_asked(server: ServerProcess, request_: dict[str, Any], code: str) -> None:
    # botocore itself would refuse some of them.
    client = server.client("secretsmanager", parameter_validation=False)

    assert refusal(client.list_secrets, **request_).code == code


def test_more_than_a_hundred_versions_are_listed_in_pages_oldest_first(server: ServerProcess) -> None:
    client = server.client("secretsmanager")
    made = [client.create_secret(Name="many/versions", SecretString="0")["VersionId"]]
    for number in range(1, 104):
        made.append(client.put_secret_value(SecretId="many/versions", SecretString=str(number))["VersionId"])
    labels = {"VersionStages": ["mine"]}
    made.append(client.put_secret_value(SecretId="many/versions", SecretString="x", **labels)["VersionId"])

    question: dict[str, Any] = {"SecretId": "many/versions", "IncludeDeprecated": True}
    pages = [client.list_secret_version_ids(**question)]
    for size in (1, 100):
        token = pages[-1]["NextToken"]
        pages.append(client.list_secret_version_ids(**question, MaxResults=size, NextToken=token))
    listed = [version for page in pages for version in page["Versions"]]
    labelled = client.list_secret_version_ids(SecretId="many/versions")

    assert [len(page["Versions"]) for page in pages] == [100, 1, 4]
    assert "NextToken" not in pages[-1]
    assert [version["VersionId"] for version in listed] == made
    assert [version for version in listed if "VersionStages" in version] == listed[-3:] == labelled["Versions"]
    assert all(set(version) == {"VersionId", "CreatedDate", "KmsKeyIds"} for version in listed[:-3])
    assert [version["VersionStages"] for version in labelled["Versions"]] == [["AWSPREVIOUS"], ["AWSCURRENT"], ["mine"]]
    assert set(labelled) == {"ARN", "Name", "Versions", "ResponseMetadata"}


def test_a_list_by_a_date_that_moves_is_the_same_list_whatever_happens_while_it_is_read(
    server: ServerProcess,
) -> None:
    client = server.client("secretsmanager")
    own = [f"stable/{number}" for number in range(6)]
    for name in own:
        client.create_secret(Name=name, SecretString="x")
    question: dict[str, Any] = {"Filters": filters(("name", "stable/")), "SortBy": "last-changed-date"}
    first = client.list_secrets(**question, MaxResults=2)

    client.put_secret_value(SecretId=own[0], SecretString="y")
    client.update_secret(SecretId=own[3], Description="changed")
    client.tag_resource(SecretId=own[4], Tags=[{"Key": "k", "Value": "v"}])
    client.create_secret(Name="stable/new", SecretString="x")
    client.delete_secret(SecretId=own[2])
    second = client.list_secrets(**question, MaxResults=2, NextToken=first["NextToken"])
    client.put_secret_value(SecretId=own[3], SecretString="y")
    rest = client.list_secrets(**question, NextToken=second["NextToken"])

    entries = first["SecretList"] + second["SecretList"] + rest["SecretList"]
    assert [entry["Name"] for entry in entries][:5] == [own[0], own[1], own[3], own[4], own[5]]
    dates = [entry["LastChangedDate"] for entry in entries]
    assert dates == sorted(dates)
    assert names(client, **question) == [own[1], own[5], own[0], own[4], "stable/new", own[3]]


def test_what_is_scheduled_for_deletion_is_listed_with_its_date_if_asked_for(server: ServerProcess) -> None:
    client = server.client("secretsmanager")
    client.create_secret(Name="planned", SecretString="x")
    client.delete_secret(SecretId="planned")

    assert names(client, Filters=filters(("name", "planned"))) == []
    (entry,) = client.list_secrets(Filters=filters(("name", "planned")), IncludePlannedDeletion=True)["SecretList"]
    assert {"DeletedDate", "SecretVersionsToStages"} <= set(entry)


def test_listing_needs_permission_on_everything(server: ServerProcess) -> None:
    iam = server.client("iam")
    clients = {}
    for user, resource in (("all", "*"), ("some", "arn:aws:secretsmanager:*:*:secret:prod/*")):
        iam.create_user(UserName=user)
        statement = {"Effect": "Allow", "Action": "secretsmanager:ListSecrets", "Resource": resource}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=document)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        clients[user] = server.client("secretsmanager", Credentials(key["AccessKeyId"], key["SecretAccessKey"]))

    assert set(names(clients["all"])) >= set(NAMES)
    told = refusal(clients["some"].list_secrets)
    assert told.code == "AccessDeniedException"
    # Field reports: no resource is named.
    assert told.message.endswith(
        "is not authorized to perform: secretsmanager:ListSecrets because no identity-based policy allows the"
        " secretsmanager:ListSecrets action"
    )
