"""Secrets scheduled for deletion, restored, and ended at once, through boto3."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .conftest import ServerProcess
from .refusals import Refusal, refusal

MARKED = Refusal(
    "InvalidRequestException",
    "You can't perform this operation on the secret because it was marked for deletion.",
    400,
)
MISSING = Refusal("ResourceNotFoundException", "Secrets Manager can't find the specified secret.", 400)


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Any:
    return server.client("secretsmanager")


@pytest.fixture
def name(client: Any) -> str:
    name = f"mortal/{uuid.uuid4().hex}"
    client.create_secret(Name=name, SecretString="value", Tags=[{"Key": "a", "Value": "b"}])
    return name


@pytest.mark.parametrize(("request_", "days"), [({}, 30), ({"RecoveryWindowInDays": 7}, 7)])
def test_a_secret_is_scheduled_for_deletion(client: Any, name: str, request_: dict[str, int], days: int) -> None:
    arn = client.describe_secret(SecretId=name)["ARN"]

    answer = client.delete_secret(SecretId=name, **request_)

    assert (answer["ARN"], answer["Name"]) == (arn, name)
    assert abs(answer["DeletionDate"] - datetime.now(UTC) - timedelta(days=days)) < timedelta(minutes=1)
    described = client.describe_secret(SecretId=name)
    assert abs(described["DeletedDate"] - datetime.now(UTC)) < timedelta(minutes=1)
    assert list(described["VersionIdsToStages"].values()) == [["AWSCURRENT"]]


def test_a_marked_secret_refuses_everything_but_what_saves_or_ends_it(client: Any, name: str) -> None:
    version_id = client.get_secret_value(SecretId=name)["VersionId"]
    client.delete_secret(SecretId=name)

    calls = [
        (client.get_secret_value, {}),
        (client.get_secret_value, {"VersionId": version_id}),
        (client.put_secret_value, {"SecretString": "new"}),
        (client.update_secret, {"SecretString": "new"}),
        (client.update_secret, {"Description": "new"}),
        (client.update_secret_version_stage, {"VersionStage": "MINE", "MoveToVersionId": version_id}),
        (client.tag_resource, {"Tags": [{"Key": "c", "Value": "d"}]}),
        (client.untag_resource, {"TagKeys": ["a"]}),
        (client.cancel_rotate_secret, {}),
        (client.delete_secret, {}),
    ]
    for call, request in calls:
        assert refusal(call, SecretId=name, **request) == MARKED, call
    assert refusal(client.create_secret, Name=name, SecretString="new") == Refusal(
        "InvalidRequestException",
        "You can't create this secret because a secret with this name is already scheduled for deletion.",
        400,
    )

    client.restore_secret(SecretId=name)
    described = client.describe_secret(SecretId=name)
    assert "DeletedDate" not in described
    assert described["Tags"] == [{"Key": "a", "Value": "b"}]
    assert described["VersionIdsToStages"] == {version_id: ["AWSCURRENT"]}
    assert client.get_secret_value(SecretId=name)["SecretString"] == "value"


def test_a_living_secret_may_be_restored(client: Any, name: str) -> None:
    arn = client.describe_secret(SecretId=name)["ARN"]

    answer = client.restore_secret(SecretId=name)

    assert (answer["ARN"], answer["Name"]) == (arn, name)


def test_a_secret_ended_by_force_is_gone_and_its_name_is_free(client: Any, name: str) -> None:
    old = client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)

    assert abs(old["DeletionDate"] - datetime.now(UTC)) < timedelta(minutes=1)
    assert refusal(client.describe_secret, SecretId=name) == MISSING
    assert refusal(client.restore_secret, SecretId=name) == MISSING
    new = client.create_secret(Name=name, SecretString="other")
    # A new suffix: a policy that names the old ARN does not reach the new secret.
    assert new["ARN"] != old["ARN"]
    assert refusal(client.get_secret_value, SecretId=old["ARN"]) == MISSING
    assert client.get_secret_value(SecretId=name)["SecretString"] == "other"


def test_a_marked_secret_can_be_ended_by_force(client: Any, name: str) -> None:
    client.delete_secret(SecretId=name)

    client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)

    assert refusal(client.describe_secret, SecretId=name) == MISSING


def test_ending_by_force_what_does_not_exist_succeeds(client: Any) -> None:
    answer = client.delete_secret(SecretId="no/such", ForceDeleteWithoutRecovery=True)

    assert answer["Name"] == "no/such"
    assert answer["ARN"].rpartition("-")[0].endswith(":secret:no/such")
    assert refusal(client.delete_secret, SecretId="no/such") == MISSING


@pytest.mark.parametrize("days", [6, 31, 0, -1])
def test_windows_that_cannot_be(client: Any, name: str, days: int) -> None:
    assert refusal(client.delete_secret, SecretId=name, RecoveryWindowInDays=days) == Refusal(
        "InvalidParameterException",
        "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
        400,
    )
    assert "DeletedDate" not in client.describe_secret(SecretId=name)


def test_a_window_and_force_exclude_each_other(client: Any, name: str) -> None:
    refused = refusal(client.delete_secret, SecretId=name, RecoveryWindowInDays=7, ForceDeleteWithoutRecovery=True)

    assert refused == Refusal(
        "InvalidParameterException",
        "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
        400,
    )
    assert client.get_secret_value(SecretId=name)["SecretString"] == "value"


def test_a_marked_secret_is_listed_only_to_those_who_ask(client: Any, name: str) -> None:
    client.delete_secret(SecretId=name)
    by_name = [{"Key": "name", "Values": [name]}]

    assert client.list_secrets(Filters=by_name)["SecretList"] == []
    (listed,) = client.list_secrets(Filters=by_name, IncludePlannedDeletion=True)["SecretList"]
    assert listed["Name"] == name
    assert listed["DeletedDate"]


def test_the_mark_survives_a_restart(own_server: ServerProcess) -> None:
    own_server.start()
    client = own_server.client("secretsmanager")
    client.create_secret(Name="a", SecretString="value")
    client.delete_secret(SecretId="a")

    own_server.kill()
    own_server.start()

    client = own_server.client("secretsmanager")
    assert refusal(client.get_secret_value, SecretId="a") == MARKED
    client.restore_secret(SecretId="a")
    assert client.get_secret_value(SecretId="a")["SecretString"] == "value"


def test_deletions_are_recorded_with_their_window(server: ServerProcess, client: Any, name: str) -> None:
    answer = client.delete_secret(SecretId=name, RecoveryWindowInDays=9)

    found = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": answer["ARN"]}]
    )["Events"]
    record = json.loads(next(event for event in found if event["EventName"] == "DeleteSecret")["CloudTrailEvent"])
    assert record["requestParameters"] == {"secretId": name, "recoveryWindowInDays": 9}
    assert record["responseElements"]["name"] == name
    assert record["readOnly"] is False
