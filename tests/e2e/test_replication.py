"""Secrets in several regions: replicas made, following, refused to change, promoted and removed, through boto3."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from keyturn.testing.postgresql import PostgresqlServer

from .callers import Caller, allow
from .conftest import ServerProcess, wait_until
from .refusals import Refusal, refusal
from .test_main_job import Job

HERE, THERE, ELSEWHERE = "us-east-1", "eu-west-1", "ap-southeast-2"
ON_A_REPLICA = Refusal(
    "InvalidParameterException",
    "Operation not permitted on a replica secret. Call must be made in primary secret's region.",
    400,
)
INVALID_REGION = Refusal("InvalidParameterException", "Invalid replica region.", 400)
MISSING = Refusal("ResourceNotFoundException", "Secrets Manager can't find the specified secret.", 400)
# What AWS was recorded to show of a replica with the default key (cloud-custodian, 2025).
IN_SYNC = {"KmsKeyId": "alias/aws/secretsmanager", "Status": "InSync", "StatusMessage": "Replication succeeded"}
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture(scope="module")
def here(server: ServerProcess) -> Any:
    return server.client("secretsmanager", region=HERE)


@pytest.fixture(scope="module")
def there(server: ServerProcess) -> Any:
    return server.client("secretsmanager", region=THERE)


@pytest.fixture(scope="module")
def elsewhere(server: ServerProcess) -> Any:
    return server.client("secretsmanager", region=ELSEWHERE)


@pytest.fixture
def name() -> str:
    return f"wide/{uuid.uuid4().hex}"


@pytest.fixture
def arn(here: Any, name: str) -> str:
    """A secret with a replica in Ireland."""
    made: str = here.create_secret(
        Name=name, SecretString="first", Description="a", Tags=[{"Key": "k", "Value": "v"}], **to(THERE)
    )["ARN"]
    return made


def to(*regions: str) -> dict[str, Any]:
    return {"AddReplicaRegions": [{"Region": region} for region in regions]}


def in_region(arn: str, region: str) -> str:
    return arn.replace(f":{HERE}:", f":{region}:")


def without_metadata(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def statuses(client: Any, arn: str) -> dict[str, str]:
    described = client.describe_secret(SecretId=arn)
    return {entry["Region"]: entry["Status"] for entry in described.get("ReplicationStatus", ())}


def everything(client: Any, arn: str) -> dict[str, Any]:
    """Versions with labels, moments and values, as far as a replica is to have them as its primary has."""
    listed = client.list_secret_version_ids(SecretId=arn, IncludeDeprecated=True)["Versions"]
    versions = {}
    for version in listed:
        value = client.get_secret_value(SecretId=arn, VersionId=version["VersionId"])
        shown = {key: value.get(key) for key in ("SecretString", "SecretBinary", "VersionStages", "CreatedDate")}
        versions[version["VersionId"]] = shown
    return {"versions": versions, "labels": client.describe_secret(SecretId=arn).get("VersionIdsToStages")}


def test_a_secret_is_replicated_to_other_regions(here: Any, there: Any, elsewhere: Any, name: str) -> None:
    made = here.create_secret(Name=name, SecretString="value", Description="a", Tags=[{"Key": "k", "Value": "v"}])
    arn = made["ARN"]
    assert "PrimaryRegion" not in here.describe_secret(SecretId=name)

    answer = here.replicate_secret_to_regions(SecretId=name, **to(THERE, ELSEWHERE))

    assert without_metadata(answer) == {
        "ARN": arn,
        "ReplicationStatus": [{"Region": THERE, **IN_SYNC}, {"Region": ELSEWHERE, **IN_SYNC}],
    }
    for client, region in ((there, THERE), (elsewhere, ELSEWHERE)):
        read = client.get_secret_value(SecretId=name)
        assert (read["ARN"], read["SecretString"]) == (in_region(arn, region), "value")
        assert (read["VersionId"], read["VersionStages"]) == (made["VersionId"], ["AWSCURRENT"])
        assert client.get_secret_value(SecretId=in_region(arn, region))["SecretString"] == "value"
        assert refusal(client.get_secret_value, SecretId=arn) == MISSING
    described = here.describe_secret(SecretId=name)
    assert described["PrimaryRegion"] == HERE
    assert described["ReplicationStatus"] == [
        {"Region": THERE, **IN_SYNC, "LastAccessedDate": TODAY},
        {"Region": ELSEWHERE, **IN_SYNC, "LastAccessedDate": TODAY},
    ]


def test_a_secret_can_be_created_with_its_replicas(here: Any, there: Any, name: str) -> None:
    made = here.create_secret(Name=name, SecretBinary=b"\0\xff", ForceOverwriteReplicaSecret=False, **to(THERE))

    assert set(made) == {"ARN", "Name", "VersionId", "ReplicationStatus", "ResponseMetadata"}
    assert made["ReplicationStatus"] == [{"Region": THERE, **IN_SYNC}]
    assert there.get_secret_value(SecretId=name)["SecretBinary"] == b"\0\xff"


def test_a_secret_without_a_value_is_replicated_too_and_its_first_value_follows(
    here: Any, there: Any, name: str
) -> None:
    here.create_secret(Name=name, **to(THERE))
    assert "VersionIdsToStages" not in there.describe_secret(SecretId=name)

    here.put_secret_value(SecretId=name, SecretString="late")

    assert there.get_secret_value(SecretId=name)["SecretString"] == "late"


def test_a_replica_shows_what_aws_was_recorded_to_show(here: Any, there: Any, arn: str, name: str) -> None:
    primary, replica = here.describe_secret(SecretId=arn), there.describe_secret(SecretId=name)

    assert set(replica) == {
        *("ARN", "Name", "Description", "KmsKeyId", "LastChangedDate", "CreatedDate", "PrimaryRegion"),
        *("Tags", "VersionIdsToStages", "ResponseMetadata"),
    }
    assert (replica["ARN"], replica["KmsKeyId"]) == (in_region(arn, THERE), "alias/aws/secretsmanager")
    assert replica["PrimaryRegion"] == primary["PrimaryRegion"] == HERE
    for member in ("Description", "Tags", "LastChangedDate", "VersionIdsToStages"):
        assert replica[member] == primary[member]
    assert there.list_secret_version_ids(SecretId=name)["Versions"][0]["KmsKeyIds"] == ["DefaultEncryptionKey"]


def test_the_list_shows_the_primary_region_and_searches_by_it(
    here: Any, there: Any, elsewhere: Any, arn: str, name: str
) -> None:
    elsewhere.create_secret(Name=name, SecretString="unrelated")

    def listed(client: Any, region: str) -> list[tuple[str, str | None]]:
        filters = [{"Key": "name", "Values": [name]}, {"Key": "primary-region", "Values": [region]}]
        found = client.list_secrets(Filters=filters)["SecretList"]
        assert all("ReplicationStatus" not in entry for entry in found)
        return [(entry["ARN"], entry.get("PrimaryRegion")) for entry in found]

    assert listed(here, HERE) == [(arn, HERE)]
    assert listed(there, "us-") == [(in_region(arn, THERE), HERE)]
    assert listed(there, THERE) == []
    assert listed(elsewhere, HERE) == []
    assert listed(elsewhere, "!us-") == [
        (elsewhere.describe_secret(SecretId=name)["ARN"], None),
    ]


def test_whatever_changes_the_primary_is_in_the_replica_when_the_call_is_answered(
    here: Any, there: Any, arn: str, name: str
) -> None:
    first = here.get_secret_value(SecretId=arn)["VersionId"]

    def same() -> None:
        primary, replica = here.describe_secret(SecretId=arn), there.describe_secret(SecretId=name)
        for member in ("Description", "Tags", "VersionIdsToStages", "LastChangedDate"):
            assert replica.get(member) == primary.get(member), member
        assert everything(there, name) == everything(here, arn)

    here.put_secret_value(SecretId=arn, SecretString="second", VersionStages=["AWSCURRENT", "BLUE"])
    same()
    here.update_secret(SecretId=arn, SecretBinary=b"third", Description="b")
    same()
    here.update_secret_version_stage(SecretId=arn, VersionStage="OLD", MoveToVersionId=first)
    same()
    here.update_secret_version_stage(SecretId=arn, VersionStage="OLD", RemoveFromVersionId=first)
    same()
    assert there.get_secret_value(SecretId=name, VersionId=first)["SecretString"] == "first"
    here.tag_resource(SecretId=arn, Tags=[{"Key": "more", "Value": "tags"}])
    same()
    here.update_secret(SecretId=arn, Description="")
    same()
    here.untag_resource(SecretId=arn, TagKeys=["k", "more"])
    assert here.describe_secret(SecretId=arn)["Tags"] == []
    assert "Tags" not in there.describe_secret(SecretId=name)


def test_the_resource_policy_follows_too(here: Any, there: Any, arn: str, name: str) -> None:
    statement = {"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:DeleteSecret", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    here.put_resource_policy(SecretId=arn, ResourcePolicy=policy)

    shown = there.get_resource_policy(SecretId=name)
    assert shown["ARN"] == in_region(arn, THERE)
    assert shown["ResourcePolicy"] == here.get_resource_policy(SecretId=arn)["ResourcePolicy"]
    assert refusal(there.delete_secret, SecretId=name).code == "AccessDeniedException"
    assert refusal(there.put_resource_policy, SecretId=name, ResourcePolicy=policy) == ON_A_REPLICA
    assert refusal(there.delete_resource_policy, SecretId=name) == ON_A_REPLICA
    here.delete_resource_policy(SecretId=arn)
    assert "ResourcePolicy" not in there.get_resource_policy(SecretId=name)


def test_a_replica_is_read_only(here: Any, there: Any, arn: str, name: str) -> None:
    before = everything(there, name), without_metadata(there.describe_secret(SecretId=name))
    version_id = there.get_secret_value(SecretId=name)["VersionId"]

    for call, request in (
        (there.put_secret_value, {"SecretString": "mine"}),
        (there.update_secret, {"SecretString": "mine"}),
        (there.update_secret, {"Description": "mine"}),
        (there.update_secret_version_stage, {"VersionStage": "MINE", "MoveToVersionId": version_id}),
        (there.tag_resource, {"Tags": [{"Key": "mine", "Value": ""}]}),
        (there.untag_resource, {"TagKeys": ["k"]}),
        (there.cancel_rotate_secret, {}),
        (there.delete_secret, {}),
        (there.delete_secret, {"ForceDeleteWithoutRecovery": True}),
        (there.restore_secret, {}),
        (there.replicate_secret_to_regions, to(ELSEWHERE)),
        (there.remove_regions_from_replication, {"RemoveReplicaRegions": [ELSEWHERE]}),
    ):
        assert refusal(call, SecretId=name, **request) == ON_A_REPLICA, call

    after = everything(there, name), without_metadata(there.describe_secret(SecretId=name))
    after[1].pop("LastAccessedDate")
    before[1].pop("LastAccessedDate", None)
    assert after == before
    assert refusal(there.create_secret, Name=name, SecretString="mine") == Refusal(
        "ResourceExistsException", f"The operation failed because the secret {name} already exists.", 400
    )


@pytest.mark.parametrize("regions", [[HERE], ["xx-nowhere-1"], [THERE, HERE], [THERE, "cn-north-1"]], ids=",".join)
def test_regions_that_a_replica_cannot_be_in(here: Any, there: Any, name: str, regions: list[str]) -> None:
    assert refusal(here.create_secret, Name=name, SecretString="a", **to(*regions)) == INVALID_REGION
    assert refusal(here.describe_secret, SecretId=name) == MISSING
    here.create_secret(Name=name, SecretString="a")

    assert refusal(here.replicate_secret_to_regions, SecretId=name, **to(*regions)) == INVALID_REGION

    assert "ReplicationStatus" not in here.describe_secret(SecretId=name)
    assert refusal(there.describe_secret, SecretId=name) == MISSING


def test_a_region_cannot_be_named_twice(here: Any, name: str) -> None:
    assert refusal(here.create_secret, Name=name, **to(THERE, THERE)).code == "InvalidParameterException"


def test_a_name_in_use_fails_the_replica_and_not_the_call(here: Any, there: Any, elsewhere: Any, name: str) -> None:
    occupied = there.create_secret(Name=name, SecretString="mine")["ARN"]

    made = here.create_secret(Name=name, SecretString="theirs", **to(THERE, ELSEWHERE))

    failed = {
        "Region": THERE,
        "KmsKeyId": "alias/aws/secretsmanager",
        "Status": "Failed",
        "StatusMessage": f"Replication failed: Secret name {name} already exists in region {THERE}.",
    }
    assert made["ReplicationStatus"] == [failed, {"Region": ELSEWHERE, **IN_SYNC}]
    assert here.describe_secret(SecretId=name)["ReplicationStatus"] == made["ReplicationStatus"]
    here.put_secret_value(SecretId=name, SecretString="newer")
    assert there.get_secret_value(SecretId=name)["ARN"] == occupied
    assert there.get_secret_value(SecretId=name)["SecretString"] == "mine"
    assert elsewhere.get_secret_value(SecretId=name)["SecretString"] == "newer"

    again = here.replicate_secret_to_regions(SecretId=name, **to(THERE))
    assert again["ReplicationStatus"][0] == failed
    forced = here.replicate_secret_to_regions(SecretId=name, ForceOverwriteReplicaSecret=True, **to(THERE))

    assert [entry["Status"] for entry in forced["ReplicationStatus"]] == ["InSync", "InSync"]
    assert refusal(there.get_secret_value, SecretId=occupied) == MISSING
    assert everything(there, name) == everything(here, name)


def test_what_failed_is_tried_again_once_the_name_is_free(here: Any, there: Any, name: str) -> None:
    there.create_secret(Name=name, SecretString="mine")
    here.create_secret(Name=name, SecretString="theirs", **to(THERE))
    there.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)

    here.replicate_secret_to_regions(SecretId=name, **to(THERE))

    assert statuses(here, name) == {THERE: "InSync"}
    assert there.get_secret_value(SecretId=name)["SecretString"] == "theirs"


def test_force_overwrites_no_replica_of_another_and_no_primary(
    here: Any, there: Any, elsewhere: Any, name: str
) -> None:
    there.create_secret(Name=name, SecretString="mine", **to(ELSEWHERE))

    made = here.create_secret(
        Name=name, SecretString="theirs", ForceOverwriteReplicaSecret=True, **to(THERE, ELSEWHERE)
    )

    assert [entry["StatusMessage"] for entry in made["ReplicationStatus"]] == [
        f"Replication failed: Secret name {name} in region {THERE} still has replica regions.",
        f"Replication failed: Secret name {name} is currently replicated to {ELSEWHERE} with a different arn.",
    ]
    assert elsewhere.get_secret_value(SecretId=name)["SecretString"] == "mine"
    there.put_secret_value(SecretId=name, SecretString="still mine")
    assert elsewhere.get_secret_value(SecretId=name)["SecretString"] == "still mine"


def test_replicating_twice_changes_nothing(here: Any, there: Any, arn: str, name: str) -> None:
    before = [without_metadata(client.describe_secret(SecretId=name)) for client in (here, there)]

    answer = here.replicate_secret_to_regions(SecretId=arn, ForceOverwriteReplicaSecret=True, **to(THERE))

    assert answer["ReplicationStatus"] == [{"Region": THERE, **IN_SYNC}]
    assert [without_metadata(client.describe_secret(SecretId=name)) for client in (here, there)] == before


def test_replicas_that_are_removed_are_gone_at_once(here: Any, there: Any, elsewhere: Any, arn: str, name: str) -> None:
    here.replicate_secret_to_regions(SecretId=arn, **to(ELSEWHERE))

    answer = here.remove_regions_from_replication(SecretId=arn, RemoveReplicaRegions=[THERE, "eu-north-1"])

    assert without_metadata(answer) == {"ARN": arn, "ReplicationStatus": [{"Region": ELSEWHERE, **IN_SYNC}]}
    assert refusal(there.describe_secret, SecretId=name) == MISSING
    assert elsewhere.get_secret_value(SecretId=name)["SecretString"] == "first"

    last = here.remove_regions_from_replication(SecretId=arn, RemoveReplicaRegions=[ELSEWHERE])

    assert last["ReplicationStatus"] == []
    described = here.describe_secret(SecretId=arn)
    assert "ReplicationStatus" not in described
    assert "PrimaryRegion" not in described
    assert here.get_secret_value(SecretId=arn)["SecretString"] == "first"
    there.create_secret(Name=name, SecretString="a name that is free again")


def test_a_primary_cannot_be_deleted_before_its_replicas(here: Any, there: Any, arn: str, name: str) -> None:
    elsewhere_fails = here.replicate_secret_to_regions(SecretId=arn, **to(ELSEWHERE))
    assert elsewhere_fails["ReplicationStatus"][1]["Status"] == "InSync"
    refused = Refusal(
        "InvalidParameterException",
        f"You can't delete secret {arn} that still has replica regions [{THERE}, {ELSEWHERE}].",
        400,
    )

    assert refusal(here.delete_secret, SecretId=name) == refused
    assert refusal(here.delete_secret, SecretId=name, ForceDeleteWithoutRecovery=True) == refused
    here.remove_regions_from_replication(SecretId=arn, RemoveReplicaRegions=[THERE, ELSEWHERE])

    here.delete_secret(SecretId=name)
    assert refusal(here.replicate_secret_to_regions, SecretId=name, **to(THERE)).message == (
        "You can't perform this operation on the secret because it was marked for deletion."
    )


def test_a_promoted_replica_is_a_secret_of_its_own(here: Any, there: Any, arn: str, name: str) -> None:
    promoted = in_region(arn, THERE)

    answer = there.stop_replication_to_replica(SecretId=name)

    assert without_metadata(answer) == {"ARN": promoted}
    for client in (here, there):
        described = client.describe_secret(SecretId=name)
        assert not {"PrimaryRegion", "ReplicationStatus", "KmsKeyId"} & set(described)
    here.put_secret_value(SecretId=arn, SecretString="here")
    assert there.get_secret_value(SecretId=name)["SecretString"] == "first"
    there.put_secret_value(SecretId=name, SecretString="there")
    there.tag_resource(SecretId=name, Tags=[{"Key": "mine", "Value": ""}])
    assert here.get_secret_value(SecretId=arn)["SecretString"] == "here"
    # It has the name, and even the ARN, that another replica would have.
    failed = here.replicate_secret_to_regions(SecretId=arn, **to(THERE))["ReplicationStatus"][0]
    assert failed["StatusMessage"] == f"Replication failed: Secret name {name} already exists in region {THERE}."
    here.remove_regions_from_replication(SecretId=arn, RemoveReplicaRegions=[THERE])
    assert there.get_secret_value(SecretId=promoted)["SecretString"] == "there"
    here.replicate_secret_to_regions(SecretId=arn, ForceOverwriteReplicaSecret=True, **to(THERE))
    assert everything(there, name) == everything(here, arn)


def test_the_arn_of_a_promoted_replica_that_was_deleted_can_be_a_replicas_again(
    here: Any, there: Any, arn: str, name: str
) -> None:
    there.stop_replication_to_replica(SecretId=name)
    there.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)

    here.replicate_secret_to_regions(SecretId=arn, **to(THERE))

    assert there.get_secret_value(SecretId=in_region(arn, THERE))["SecretString"] == "first"
    there.stop_replication_to_replica(SecretId=name)
    there.delete_secret(SecretId=name)
    assert here.replicate_secret_to_regions(SecretId=arn, **to(THERE))["ReplicationStatus"][0]["Status"] == "Failed"
    here.replicate_secret_to_regions(SecretId=arn, ForceOverwriteReplicaSecret=True, **to(THERE))
    assert everything(there, name) == everything(here, arn)


def test_only_a_replica_can_be_promoted(here: Any, arn: str, name: str) -> None:
    assert refusal(here.stop_replication_to_replica, SecretId=arn).code == "InvalidRequestException"
    assert refusal(here.stop_replication_to_replica, SecretId="no/such") == MISSING
    assert statuses(here, name) == {THERE: "InSync"}


@pytest.fixture
def caller(server: ServerProcess) -> Caller:
    return Caller(server, "user")


def client_of(caller: Caller, region: str = HERE) -> Any:
    return caller.server.client("secretsmanager", caller.credentials, region=region)


def denied(call: Any, action: str, **request: Any) -> None:
    refused = refusal(call, **request)
    assert refused.code == "AccessDeniedException"
    assert f"is not authorized to perform: secretsmanager:{action} on resource: " in refused.message


def test_a_replica_needs_leave_to_replicate_also_at_creation(here: Any, caller: Caller, name: str) -> None:
    caller.may(allow("secretsmanager:CreateSecret"))
    client = client_of(caller)
    denied(client.create_secret, "ReplicateSecretToRegions", Name=name, **to(THERE))
    assert refusal(here.describe_secret, SecretId=name) == MISSING
    client.create_secret(Name=name)
    denied(client.replicate_secret_to_regions, "ReplicateSecretToRegions", SecretId=name, **to(THERE))

    both = ["secretsmanager:CreateSecret", "secretsmanager:ReplicateSecretToRegions"]
    caller.may(allow(both, f"arn:aws:secretsmanager:{HERE}:*:secret:wide/*"))

    client.create_secret(Name=f"{name}/2", **to(THERE))
    client.replicate_secret_to_regions(SecretId=name, **to(THERE))
    removed = {"SecretId": name, "RemoveReplicaRegions": [THERE]}
    denied(client.remove_regions_from_replication, "RemoveRegionsFromReplication", **removed)
    denied(client_of(caller, THERE).stop_replication_to_replica, "StopReplicationToReplica", SecretId=name)


def test_policies_can_tell_the_regions_that_are_asked_for(caller: Caller, name: str) -> None:
    client = client_of(caller)

    # The User Guide's two examples of preventing replication.
    caller.may(allow("secretsmanager:*", Condition={"Null": {"secretsmanager:AddReplicaRegions": "true"}}))
    denied(client.create_secret, "CreateSecret", Name=name, **to(THERE))
    client.create_secret(Name=name)
    denied(client.replicate_secret_to_regions, "ReplicateSecretToRegions", SecretId=name, **to(THERE))

    only = {"ForAllValues:StringEquals": {"secretsmanager:AddReplicaRegions": [THERE, "eu-central-1"]}}
    caller.may(allow("secretsmanager:*", Condition=only))
    denied(client.replicate_secret_to_regions, "ReplicateSecretToRegions", SecretId=name, **to(THERE, ELSEWHERE))
    client.replicate_secret_to_regions(SecretId=name, **to(THERE))


def test_policies_can_tell_force_and_the_primary_region(caller: Caller, name: str) -> None:
    client = client_of(caller)
    without_force = {"BoolIfExists": {"secretsmanager:ForceOverwriteReplicaSecret": "false"}}
    caller.may(allow("secretsmanager:*", Condition=without_force))
    denied(client.create_secret, "CreateSecret", Name=name, ForceOverwriteReplicaSecret=True, **to(THERE))
    client.create_secret(Name=name, SecretString="a", ForceOverwriteReplicaSecret=False, **to(THERE))

    caller.may(allow("secretsmanager:*", Condition={"StringEquals": {"secretsmanager:SecretPrimaryRegion": THERE}}))
    denied(client.get_secret_value, "GetSecretValue", SecretId=name)
    denied(client_of(caller, THERE).get_secret_value, "GetSecretValue", SecretId=name)
    caller.may(allow("secretsmanager:*", Condition={"StringEquals": {"secretsmanager:SecretPrimaryRegion": HERE}}))
    assert client.get_secret_value(SecretId=name)["SecretString"] == "a"
    assert client_of(caller, THERE).get_secret_value(SecretId=name)["SecretString"] == "a"


def events(server: ServerProcess, arn: str, name: str, region: str = HERE) -> list[dict[str, Any]]:
    found = server.client("cloudtrail", region=region).lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}], MaxResults=50
    )
    parsed = [json.loads(event["CloudTrailEvent"]) for event in found["Events"]]
    return [event for event in parsed if event.get("additionalEventData", {}).get("SecretId") == arn]


def test_replication_leaves_events(server: ServerProcess, here: Any, there: Any, elsewhere: Any, name: str) -> None:
    there.create_secret(Name=name)
    arn = here.create_secret(Name=name, SecretString="a", **to(THERE, ELSEWHERE))["ARN"]

    assert len(events(server, arn, "ReplicationStarted")) == 2
    (failed,) = events(server, arn, "ReplicationFailed")
    assert failed["errorMessage"] == f"Replication failed: Secret name {name} already exists in region {THERE}."
    assert failed["requestID"] == f"Replication-{in_region(arn, THERE)}"
    assert (failed["eventType"], failed["awsRegion"]) == ("AwsServiceEvent", HERE)
    assert len(events(server, arn, "ReplicationSucceeded")) == 1

    here.put_secret_value(SecretId=arn, SecretString="b")
    here.tag_resource(SecretId=arn, Tags=[{"Key": "k", "Value": ""}])

    succeeded = events(server, arn, "ReplicationSucceeded")
    assert [event["requestID"] for event in succeeded] == [f"Replication-{in_region(arn, ELSEWHERE)}"] * 2
    here.remove_regions_from_replication(SecretId=arn, RemoveReplicaRegions=[THERE, ELSEWHERE])
    for kind in ("StartSecretVersionDelete", "EndSecretVersionDelete"):
        ended = events(server, in_region(arn, ELSEWHERE), kind, ELSEWHERE)
        versions = here.list_secret_version_ids(SecretId=arn)["Versions"]
        told = {event["additionalEventData"]["SecretVersionId"] for event in ended}
        assert told == {version["VersionId"] for version in versions}


def test_a_rotation_of_the_primary_shows_in_its_replicas(server: ServerProcess) -> None:
    with PostgresqlServer.start() as postgresql:
        job = Job(server, postgresql, "replicated")
        there = server.client("secretsmanager", region=THERE)
        job.secrets.replicate_secret_to_regions(SecretId="replicated", **to(THERE))

        version_id = job.rotate()
        wait_until(lambda: job.is_current(version_id), "the rotation", server)

        primary, replica = (client.describe_secret(SecretId="replicated") for client in (job.secrets, there))
        for member in ("RotationEnabled", "RotationLambdaARN", "RotationRules", "LastRotatedDate", "NextRotationDate"):
            assert replica[member] == primary[member], member
        assert everything(there, "replicated") == everything(job.secrets, "replicated")
        current = json.loads(there.get_secret_value(SecretId="replicated")["SecretString"])
        assert job.accepts(current["password"])
        assert refusal(there.rotate_secret, SecretId="replicated") == ON_A_REPLICA
        assert refusal(there.cancel_rotate_secret, SecretId="replicated") == ON_A_REPLICA

        there.stop_replication_to_replica(SecretId="replicated")
        promoted = there.describe_secret(SecretId="replicated")
        assert not {"RotationEnabled", "RotationLambdaARN", "RotationRules", "NextRotationDate"} & set(promoted)
        assert promoted["LastRotatedDate"] == primary["LastRotatedDate"]


def test_a_server_killed_while_it_writes_leaves_nothing_half_replicated(own_server: ServerProcess) -> None:
    own_server.start()
    clients = {region: own_server.client("secretsmanager", region=region) for region in (HERE, THERE, ELSEWHERE)}
    clients[HERE].create_secret(Name="a", SecretString="0", **to(THERE, ELSEWHERE))
    acknowledged = 0
    enough = threading.Event()

    def write() -> None:
        nonlocal acknowledged
        for number in range(1, 100_000):
            try:
                clients[HERE].put_secret_value(SecretId="a", SecretString=str(number))
            except (ClientError, OSError):
                return
            except Exception:  # noqa: BLE001 - botocore has a class for every way in which a connection can end
                return
            acknowledged = number
            if number == 20:
                enough.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert enough.wait(30)
    own_server.kill()
    writer.join(30)
    own_server.start()

    clients = {region: own_server.client("secretsmanager", region=region) for region in clients}
    found = {region: everything(client, "a") for region, client in clients.items()}
    assert found[THERE] == found[ELSEWHERE] == found[HERE]
    assert int(clients[THERE].get_secret_value(SecretId="a")["SecretString"]) >= acknowledged >= 20
    assert statuses(clients[HERE], "a") == {THERE: "InSync", ELSEWHERE: "InSync"}


def test_the_moment_of_replication_is_the_replicas_own(here: Any, there: Any, name: str) -> None:
    here.create_secret(Name=name, SecretString="a")
    here.replicate_secret_to_regions(SecretId=name, **to(THERE))

    primary, replica = here.describe_secret(SecretId=name), there.describe_secret(SecretId=name)

    assert primary["CreatedDate"] < replica["CreatedDate"] < datetime.now(UTC) + timedelta(seconds=1)
    assert "LastAccessedDate" not in replica
