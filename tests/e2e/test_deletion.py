"""Secrets scheduled for deletion, restored, and ended at once, through boto3."""

from __future__ import annotations

import json
import re
import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .conftest import ServerProcess, wait_until
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


def test_ending_by_force_what_does_not_exist_succeeds(client: Any, server: ServerProcess) -> None:
    prefix = f"arn:aws:secretsmanager:{server.region}:{server.account_id}:secret:no/such"

    for secret_id in ("no/such", prefix, f"{prefix}-AbCdEf"):
        answer = client.delete_secret(SecretId=secret_id, ForceDeleteWithoutRecovery=True)

        assert answer["Name"] == "no/such"
        assert re.fullmatch(f"{prefix}-[A-Za-z0-9]{{6}}", answer["ARN"])
        assert abs(answer["DeletionDate"] - datetime.now(UTC)) < timedelta(minutes=1)
        assert refusal(client.delete_secret, SecretId=secret_id) == MISSING
    assert answer["ARN"] == f"{prefix}-AbCdEf"


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


def service_events(server: ServerProcess, arn: str) -> list[tuple[str, str]]:
    """What Secrets Manager did to the versions of a secret by itself, oldest first."""
    found = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": arn}]
    )["Events"]
    events = [json.loads(event["CloudTrailEvent"]) for event in reversed(found)]
    return [
        (event["eventName"], event["additionalEventData"]["SecretVersionId"])
        for event in events
        if event["eventType"] == "AwsServiceEvent"
    ]


def sealed_values(server: ServerProcess, arn: str) -> dict[str, bytes]:
    """Sealed values by version id, as they are in the database."""
    with closing(sqlite3.connect(server.data_dir / "keyturn.db")) as database:
        return dict(
            database.execute(
                "SELECT version_id, sealed FROM secret_versions JOIN secrets USING (secret_id) WHERE arn = ?", (arn,)
            )
        )


def left_in_files(server: ServerProcess, sealed: dict[str, bytes]) -> set[str]:
    """Versions of whose sealed values something is in a file of the data directory."""
    content = b"\n".join(path.read_bytes() for path in server.data_dir.glob("*.db*"))
    # A value begins like others, and a long one is spread over several pages.
    return {
        version_id
        for version_id, value in sealed.items()
        if any(value[start : start + 32] in content for start in range(48, len(value) - 32, 100))
    }


def test_what_was_deleted_by_force_is_soon_in_no_file(server: ServerProcess, client: Any, name: str) -> None:
    client.put_secret_value(SecretId=name, SecretString="a longer value " * 1000)
    arn = client.describe_secret(SecretId=name)["ARN"]
    sealed = sealed_values(server, arn)
    assert left_in_files(server, sealed) == sealed.keys()

    client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert refusal(client.get_secret_value, SecretId=arn) == MISSING

    wait_until(lambda: len(service_events(server, arn)) == 4, "both versions ended", server)
    assert left_in_files(server, sealed) == set()
    assert sealed_values(server, arn) == {}
    told = service_events(server, arn)
    assert {version_id for _, version_id in told} == sealed.keys()
    assert [name for name, _ in told] == ["StartSecretVersionDelete"] * 2 + ["EndSecretVersionDelete"] * 2


def test_each_version_that_is_restored_is_told(server: ServerProcess, client: Any, name: str) -> None:
    client.put_secret_value(SecretId=name, SecretString="second")
    arn = client.describe_secret(SecretId=name)["ARN"]
    versions = client.describe_secret(SecretId=name)["VersionIdsToStages"]

    client.delete_secret(SecretId=name)
    assert service_events(server, arn) == []
    client.restore_secret(SecretId=name)

    told = service_events(server, arn)
    assert {name for name, _ in told} == {"CancelSecretVersionDelete"}
    assert sorted(version_id for _, version_id in told) == sorted(versions)


def test_a_window_that_ended_while_the_server_was_away_ends_when_it_is_back(own_server: ServerProcess) -> None:
    own_server.start()
    client = own_server.client("secretsmanager")
    arn = client.create_secret(Name="a", SecretString="value")["ARN"]
    other = client.create_secret(Name="b", SecretString="other")["ARN"]
    sealed = sealed_values(own_server, arn)
    for secret_id in ("a", "b"):
        client.delete_secret(SecretId=secret_id, RecoveryWindowInDays=7)
    own_server.kill()
    with closing(sqlite3.connect(own_server.data_dir / "keyturn.db")) as database, database:
        # Seven days later.
        week = 7 * 24 * 60 * 60 * 1000
        database.execute(
            "UPDATE secrets SET deleted_at = deleted_at - ?, deletion_at = deletion_at - ? WHERE arn = ?",
            (week, week, arn),
        )

    own_server.start()

    wait_until(lambda: len(service_events(own_server, arn)) == 2, "it ended", own_server)
    assert left_in_files(own_server, sealed) == set()
    client = own_server.client("secretsmanager")
    assert refusal(client.describe_secret, SecretId=arn) == MISSING
    assert client.describe_secret(SecretId=other)["DeletedDate"]
    assert client.create_secret(Name="a", SecretString="new")["ARN"] != arn


def test_a_server_killed_right_after_a_deletion_by_force_has_it_finished_by_the_next(
    own_server: ServerProcess,
) -> None:
    own_server.start()
    client = own_server.client("secretsmanager")
    arns = [client.create_secret(Name=f"n{number}", SecretString="value")["ARN"] for number in range(5)]
    sealed = {version_id: value for arn in arns for version_id, value in sealed_values(own_server, arn).items()}
    for arn in arns:
        client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    own_server.kill()

    own_server.start()

    def ended() -> bool:
        return all("EndSecretVersionDelete" in dict(service_events(own_server, arn)) for arn in arns)

    wait_until(ended, "all ended", own_server)
    assert left_in_files(own_server, sealed) == set()
    assert own_server.client("secretsmanager").list_secrets(IncludePlannedDeletion=True)["SecretList"] == []
