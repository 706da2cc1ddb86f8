"""Calls every operation that the server offers and this boto3 knows. Run by any Python that has a boto3, old or new.

Arguments: the endpoint, a rotation function's ARN, the operations that the server offers. Prints what it has called.
"""

import itertools
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore import xform_name

ENDPOINT_URL, FUNCTION_ARN, *OFFERED = sys.argv[1:]
BINARY = bytes(range(256))
ELSEWHERE = "eu-west-3"
# These need another account to be called with.
BETWEEN_ACCOUNTS = {"AssociateCrossAccountReplica", "DisassociateCrossAccountReplica"}

# Releases before 1.28 do not read the endpoint from the environment or a profile.
client: Any = boto3.client("secretsmanager", endpoint_url=ENDPOINT_URL)
names = (f"boto3/{boto3.__version__}/{number}" for number in itertools.count())


def create(**request: Any) -> Any:
    request = request or {"SecretString": "s"}
    return client.create_secret(Name=next(names), **request)


def is_recent(moment: datetime) -> bool:
    return moment.tzinfo is not None and abs(datetime.now(UTC) - moment) < timedelta(minutes=1)


def without_metadata(response: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in response.items() if name != "ResponseMetadata"}


def policy(arn: str, principal: str | None = None) -> str:
    """A policy that lets the secret's own account, or somebody else, read it."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": principal or f"arn:aws:iam::{arn.split(':')[4]}:root"},
        "Action": "secretsmanager:GetSecretValue",
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class Calls:
    """One function for each operation, with its name; each makes the secrets that it needs."""

    def create_secret(self) -> None:
        made = create(SecretString="s", Description="ours", Tags=[{"Key": "a", "Value": "b"}])
        assert set(without_metadata(made)) == {"ARN", "Name", "VersionId"}
        assert set(without_metadata(create(Description="empty"))) == {"ARN", "Name"}

    def get_secret_value(self) -> None:
        text, binary = create(SecretString="pässwörd\0\u2028🔑"), create(SecretBinary=BINARY)
        read = without_metadata(client.get_secret_value(SecretId=text["Name"]))
        assert is_recent(read.pop("CreatedDate"))
        assert read == {
            **without_metadata(text), "SecretString": "pässwörd\0\u2028🔑", "VersionStages": ["AWSCURRENT"]
        }  # fmt: skip
        read = client.get_secret_value(SecretId=binary["ARN"])
        assert read["SecretBinary"] == BINARY
        assert "SecretString" not in read

    def batch_get_secret_value(self) -> None:
        text, binary = create(), create(SecretBinary=BINARY)
        found = client.batch_get_secret_value(SecretIdList=[text["Name"], binary["ARN"], "no/such"])
        values = {value["ARN"]: value for value in found["SecretValues"]}
        assert values[text["ARN"]]["SecretString"] == "s"
        assert values[binary["ARN"]]["SecretBinary"] == BINARY
        assert [(error["SecretId"], error["ErrorCode"]) for error in found["Errors"]] == [
            ("no/such", "ResourceNotFoundException")
        ]

    def put_secret_value(self) -> None:
        made = create()
        put = client.put_secret_value(SecretId=made["ARN"], SecretBinary=BINARY, VersionStages=["AWSPENDING", "mine"])
        assert sorted(put["VersionStages"]) == ["AWSPENDING", "mine"]
        read = client.get_secret_value(SecretId=made["ARN"], VersionId=put["VersionId"], VersionStage="mine")
        assert read["SecretBinary"] == BINARY

    def update_secret(self) -> None:
        made = create()
        assert "VersionId" not in client.update_secret(SecretId=made["ARN"], Description="new")
        assert client.update_secret(SecretId=made["ARN"], SecretString="t")["VersionId"] != made["VersionId"]

    def update_secret_version_stage(self) -> None:
        made = create()
        pending = client.put_secret_value(SecretId=made["ARN"], SecretString="t", VersionStages=["AWSPENDING"])
        client.update_secret_version_stage(
            SecretId=made["ARN"],
            VersionStage="AWSCURRENT",
            MoveToVersionId=pending["VersionId"],
            RemoveFromVersionId=made["VersionId"],
        )
        assert client.describe_secret(SecretId=made["ARN"])["VersionIdsToStages"] == {
            made["VersionId"]: ["AWSPREVIOUS"],
            pending["VersionId"]: ["AWSCURRENT", "AWSPENDING"],
        }

    def describe_secret(self) -> None:
        made = create()
        client.get_secret_value(SecretId=made["Name"])
        described = client.describe_secret(SecretId=made["Name"])
        assert is_recent(described["CreatedDate"])
        assert is_recent(described["LastChangedDate"])
        accessed = described["LastAccessedDate"].astimezone(UTC)
        assert (accessed.hour, accessed.minute, accessed.second) == (0, 0, 0)
        assert described["VersionIdsToStages"] == {made["VersionId"]: ["AWSCURRENT"]}

    def list_secret_version_ids(self) -> None:
        made = create()
        put = client.put_secret_value(SecretId=made["ARN"], SecretString="t")
        first = client.list_secret_version_ids(SecretId=made["ARN"], MaxResults=1)
        second = client.list_secret_version_ids(SecretId=made["ARN"], MaxResults=1, NextToken=first["NextToken"])
        assert "NextToken" not in second
        listed = {version["VersionId"] for page in (first, second) for version in page["Versions"]}
        assert listed == {made["VersionId"], put["VersionId"]}

    def list_secrets(self) -> None:
        made = {create()["Name"] for _ in range(3)}
        pages = client.get_paginator("list_secrets").paginate(
            Filters=[{"Key": "name", "Values": sorted(made)}], PaginationConfig={"PageSize": 2}
        )
        assert made <= {secret["Name"] for page in pages for secret in page["SecretList"]}

    def tag_resource(self) -> None:
        made = create()
        client.tag_resource(SecretId=made["ARN"], Tags=[{"Key": "a", "Value": ""}])
        assert client.describe_secret(SecretId=made["ARN"])["Tags"] == [{"Key": "a", "Value": ""}]

    def untag_resource(self) -> None:
        made = create(Tags=[{"Key": "a", "Value": "b"}])
        client.untag_resource(SecretId=made["ARN"], TagKeys=["a"])
        assert client.describe_secret(SecretId=made["ARN"])["Tags"] == []

    def delete_secret(self) -> None:
        made = create()
        deleted = client.delete_secret(SecretId=made["ARN"], RecoveryWindowInDays=7)
        assert is_recent(deleted["DeletionDate"] - timedelta(days=7))
        client.delete_secret(SecretId=made["ARN"], ForceDeleteWithoutRecovery=True)

    def restore_secret(self) -> None:
        made = create()
        client.delete_secret(SecretId=made["ARN"])
        assert client.restore_secret(SecretId=made["ARN"])["ARN"] == made["ARN"]

    def get_random_password(self) -> None:
        password = client.get_random_password(PasswordLength=64, ExcludePunctuation=True)["RandomPassword"]
        assert len(password) == 64
        assert password.isalnum()

    def rotate_secret(self) -> None:
        made = create()
        rules = {"AutomaticallyAfterDays": 30}
        rotated = client.rotate_secret(SecretId=made["ARN"], RotationLambdaARN=FUNCTION_ARN, RotationRules=rules)
        described = client.describe_secret(SecretId=made["ARN"])
        assert described["RotationEnabled"] is True
        assert described["RotationRules"] == rules
        assert rotated["VersionId"] in described["VersionIdsToStages"]

    def cancel_rotate_secret(self) -> None:
        made = create()
        client.rotate_secret(SecretId=made["ARN"], RotationLambdaARN=FUNCTION_ARN)
        client.cancel_rotate_secret(SecretId=made["ARN"])
        assert client.describe_secret(SecretId=made["ARN"])["RotationEnabled"] is False

    def put_resource_policy(self) -> None:
        made = create()
        put = client.put_resource_policy(
            SecretId=made["Name"], ResourcePolicy=policy(made["ARN"]), BlockPublicPolicy=True
        )
        assert (put["ARN"], put["Name"]) == (made["ARN"], made["Name"])

    def get_resource_policy(self) -> None:
        made = create()
        assert "ResourcePolicy" not in client.get_resource_policy(SecretId=made["ARN"])
        client.put_resource_policy(SecretId=made["ARN"], ResourcePolicy=policy(made["ARN"]))
        read = client.get_resource_policy(SecretId=made["ARN"])["ResourcePolicy"]
        assert json.loads(read) == json.loads(policy(made["ARN"]))

    def delete_resource_policy(self) -> None:
        made = create()
        client.put_resource_policy(SecretId=made["ARN"], ResourcePolicy=policy(made["ARN"]))
        client.delete_resource_policy(SecretId=made["ARN"])
        assert "ResourcePolicy" not in client.get_resource_policy(SecretId=made["ARN"])

    def list_resource_policies(self) -> None:
        made = create()
        paginator = client.get_paginator("list_resource_policies")
        assert [page["ResourcePolicies"] for page in paginator.paginate(SecretId=made["ARN"])] == [[]]
        client.put_resource_policy(SecretId=made["ARN"], ResourcePolicy=policy(made["ARN"]))
        (page,) = paginator.paginate(SecretId=made["ARN"])
        assert len(page["ResourcePolicies"]) == 1

    def validate_resource_policy(self) -> None:
        made = create()
        good = client.validate_resource_policy(SecretId=made["ARN"], ResourcePolicy=policy(made["ARN"]))
        assert good["PolicyValidationPassed"] is True
        broad = client.validate_resource_policy(ResourcePolicy=policy(made["ARN"], "*"))
        assert broad["PolicyValidationPassed"] is False
        assert all(error["CheckName"] and error["ErrorMessage"] for error in broad["ValidationErrors"])

    def replicate_secret_to_regions(self) -> None:
        made = create()
        replicated = client.replicate_secret_to_regions(SecretId=made["ARN"], AddReplicaRegions=[{"Region": ELSEWHERE}])
        assert [status["Region"] for status in replicated["ReplicationStatus"]] == [ELSEWHERE]

    def remove_regions_from_replication(self) -> None:
        made = create(SecretString="s", AddReplicaRegions=[{"Region": ELSEWHERE}])
        removed = client.remove_regions_from_replication(SecretId=made["ARN"], RemoveReplicaRegions=[ELSEWHERE])
        assert removed["ReplicationStatus"] == []

    def stop_replication_to_replica(self) -> None:
        made = create(SecretString="s", AddReplicaRegions=[{"Region": ELSEWHERE}])
        there: Any = boto3.client("secretsmanager", endpoint_url=ENDPOINT_URL, region_name=ELSEWHERE)
        stopped = there.stop_replication_to_replica(SecretId=made["Name"])
        assert stopped["ARN"] == made["ARN"].replace(client.meta.region_name, ELSEWHERE)


if __name__ == "__main__":
    known = set(client.meta.service_model.operation_names)
    called = sorted(set(OFFERED) & known - BETWEEN_ACCOUNTS)
    calls = Calls()
    for operation in called:
        getattr(calls, xform_name(operation))()
    print(*called)
