"""The superuser secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .world import ACCOUNT, CURRENT, OTHER_KEY, REGION, SUPERUSER, World, refusal

_READ = "secretsmanager:GetSecretValue"


def _says(world: World, line: str, duration_ms: float = 310) -> None:
    world.with_superuser()
    world.run(f"[ERROR]\t2026-11-27T11:00:00.000Z\t{line}", duration_ms=duration_ms, secret=None)
    world.fail("setSecret")


def master_secret_read_denied(world: World) -> None:
    world.with_superuser()
    world.with_value()
    del world.role_policies["superuser"]
    world.denied(_READ, SUPERUSER, f"because no identity-based policy allows the {_READ} action")
    world.fail("setSecret")


def master_secret_arn_missing(world: World) -> None:
    world.run("[ERROR] KeyError: 'masterarn'\nTraceback (most recent call last):")
    world.fail("setSecret")


def master_secret_not_found(world: World) -> None:
    world.with_superuser()
    gone = refusal("DescribeSecret", "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
    world.superuser = gone
    world.run(
        "[ERROR] ResourceNotFoundException: An error occurred (ResourceNotFoundException) when calling the"
        " GetSecretValue operation: Secrets Manager can't find the specified secret."
    )
    world.fail("setSecret")


def master_secret_kms_denied(world: World) -> None:
    world.with_superuser()
    world.superuser = {
        "ARN": SUPERUSER,
        "Name": "svc/superuser",
        "KmsKeyId": OTHER_KEY,
        "VersionIdsToStages": {CURRENT: ["AWSCURRENT"]},
    }
    world.with_key()
    world.secret.pop("KmsKeyId")
    described: Any = world.replies["kms:DescribeKey"]

    def describe(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"KeyMetadata": {**described["KeyMetadata"], "Arn": parameters["KeyId"]}}

    world.replies["kms:DescribeKey"] = describe
    world.run(
        "[ERROR] ClientError: An error occurred (AccessDeniedException) when calling the GetSecretValue operation:"
        " Access to KMS is not allowed\nTraceback (most recent call last):\n"
        '  File "superuser.py", line 44, in read_superuser'
    )
    world.fail("setSecret")


def master_login_failed(world: World) -> None:
    _says(world, f"setSecret: Unable to log into database using credentials in master secret {SUPERUSER}")


def master_host_mismatch(world: World) -> None:
    _says(world, "setSecret: Current database host a.example is not the same host as/rds replica of master b.example")


def master_rds_api_denied(world: World) -> None:
    _says(
        world,
        "setSecret: Encountered API error while fetching connection parameters from DescribeDBInstances RDS API: no",
    )


def master_tag_stale(world: World) -> None:
    arn = f"arn:aws:rds:{REGION}:{ACCOUNT}:db:gone"
    _says(
        world,
        f"setSecret: {arn} is not a valid DB Instance ARN. No Instances found when using DescribeDBInstances RDS API to"
        " get connection params.",
    )


def clone_username_too_long(world: World) -> None:
    _says(world, "Unable to clone user, username length with _clone appended would exceed 63 characters")
