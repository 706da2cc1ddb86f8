"""Is there a rotation at all?"""

from __future__ import annotations

from .world import FUNCTION, PENDING, World, ago


def rotation_not_configured(world: World) -> None:
    for member in ("RotationLambdaARN", "RotationRules", "NextRotationDate", "LastRotatedDate"):
        del world.secret[member]
    world.secret["RotationEnabled"] = False


def rotation_cancelled(world: World) -> None:
    world.secret["RotationEnabled"] = False
    world.event("CancelRotateSecret", by="arn:aws:iam::123456789012:user/maria", parameters={})


def secret_marked_for_deletion(world: World) -> None:
    world.secret["DeletedDate"] = ago(days=1)


def secret_managed_by_service(world: World) -> None:
    world.secret["OwningService"] = "rds"
    del world.secret["RotationLambdaARN"]


def external_rotation_role_denied(world: World) -> None:
    world.secret["ExternalSecretRotationRoleArn"] = "arn:aws:iam::123456789012:role/partner"
    del world.secret["RotationLambdaARN"]
    world.event("RotationFailed")


def secret_is_replica(world: World) -> None:
    world.secret["PrimaryRegion"] = "us-east-1"


def schedule_expression_invalid(world: World) -> None:
    world.event(
        "RotateSecret",
        by="arn:aws:iam::123456789012:user/maria",
        parameters={"rotationLambdaARN": FUNCTION},
        errorCode="InvalidParameterException",
        errorMessage="You cannot specify both rotation frequency and schedule expression together.",
    )


def schedule_not_due(world: World) -> None:
    world.secret["NextRotationDate"] = ago(hours=-5)


def schedule_shifted_by_manual_update(world: World) -> None:
    world.event("PutSecretValue", at=ago(days=3), by="arn:aws:iam::123456789012:user/maria", parameters={})


def schedule_overdue(world: World) -> None:
    world.secret["NextRotationDate"] = ago(days=2)


def pending_stuck(world: World) -> None:
    world.secret["VersionIdsToStages"][PENDING] = ["AWSPENDING"]


def pending_empty(world: World) -> None:
    world.secret["VersionIdsToStages"][PENDING] = ["AWSPENDING"]
    world.replies["secretsmanager:ListSecretVersionIds"] = {"Versions": []}


def no_current_version(world: World) -> None:
    world.secret["VersionIdsToStages"] = {PENDING: ["AWSPENDING"]}
