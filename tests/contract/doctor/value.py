"""The secret's value and versions: can the function use them?"""

from __future__ import annotations

from .world import CURRENT, FUNCTION, PENDING, PREVIOUS, SECRET, World, ago


def _says(world: World, *lines: str, step: str = "createSecret") -> None:
    world.fail(step)
    world.run(*lines)


def secret_not_json(world: World) -> None:
    world.with_value()
    world.value = "hunter2"
    _says(
        world, f"[ERROR] ValueError: Invalid secret value JSON for secret {SECRET}.\nTraceback (most recent call last):"
    )


def secret_is_binary(world: World) -> None:
    world.with_value()
    world.value = b"hunter2"
    _says(world, "[ERROR] KeyError: 'SecretString'\nTraceback (most recent call last):")


def secret_key_missing(world: World) -> None:
    world.with_value()
    world.value = {"engine": "postgres", "username": "orders", "password": "hunter2"}
    _says(world, "[ERROR] KeyError: 'host key is missing from secret JSON'\nTraceback (most recent call last):")


def secret_value_unusable(world: World) -> None:
    said = "port in the secret JSON must be a number from 1 to 65535."
    _says(world, f"[ERROR] ValueError: {said}\nTraceback (most recent call last):")


def secret_engine_mismatch(world: World) -> None:
    world.with_value()
    world.value = {"engine": "mysql", "host": "orders.example", "username": "orders", "password": "hunter2"}
    said = "Database engine must be set to 'postgres' in order to use this rotation lambda"
    _says(world, f'[ERROR] KeyError: "{said}"\nTraceback (most recent call last):')


def secret_name_looks_like_suffix(world: World) -> None:
    world.secret["Name"] = "svc/orders/db-abcdef"
    _says(
        world,
        "[ERROR] ResourceNotFoundException: An error occurred (ResourceNotFoundException) when calling the"
        " DescribeSecret operation: Secrets Manager can't find the specified secret.\n"
        "Traceback (most recent call last):",
    )


def pending_identity_changed(world: World) -> None:
    said = "Attempting to modify user orders2 other than current user orders"
    _says(
        world,
        f"[ERROR]\t2026-11-27T11:00:00.000Z\t00000000-0000-0000-0000-0000000003e8\tsetSecret: {said}",
        f"[ERROR] ValueError: {said}\nTraceback (most recent call last):",
        step="setSecret",
    )


def pending_not_from_function(world: World) -> None:
    world.fail("setSecret")
    world.trail[-1]["errorMessage"] = (
        f"Pending secret version {PENDING} for Secret {SECRET} was not created by Lambda {FUNCTION}. Remove the"
        " AWSPENDING staging label and restart rotation"
    )


def rotation_abandoned(world: World) -> None:
    world.event("RotationStarted", at=ago(hours=1, seconds=5))
    world.event("PutSecretValue", at=ago(hours=1, seconds=2), by="arn:aws:iam::123456789012:user/maria", parameters={})
    world.event("RotationAbandoned", at=ago(hours=1))


def version_quota_exceeded(world: World) -> None:
    world.fail()
    versions = [{"VersionId": f"version-{number}", "CreatedDate": ago(minutes=5 * number)} for number in range(120)]
    labelled = [
        {"VersionId": CURRENT, "CreatedDate": ago(days=12)},
        {"VersionId": PREVIOUS, "CreatedDate": ago(days=42)},
    ]
    pending = [{"VersionId": PENDING, "CreatedDate": ago(hours=1)}]
    world.replies["secretsmanager:ListSecretVersionIds"] = {"Versions": [*versions, *labelled, *pending]}


def secretsmanager_throttled(world: World) -> None:
    _says(
        world,
        "[ERROR] ClientError: An error occurred (ThrottlingException) when calling the DescribeSecret operation"
        " (reached max retries: 4): Rate exceeded\nTraceback (most recent call last):",
    )


def eventual_consistency(world: World) -> None:
    world.run(
        "[ERROR] ResourceNotFoundException: An error occurred (ResourceNotFoundException) when calling the"
        " GetSecretValue operation: Secrets Manager can't find the specified secret value for staging label:"
        " AWSPENDING\nTraceback (most recent call last):",
        at=ago(minutes=10),
    )
    world.run(at=ago(minutes=9))


def app_holds_old_credential(world: World) -> None:
    world.secret["LastRotatedDate"] = ago(hours=13)
    world.event("RotationSucceeded", at=ago(hours=13))
    versions = [{"VersionId": PREVIOUS, "LastAccessedDate": ago(hours=12), "CreatedDate": ago(days=12)}]
    world.replies["secretsmanager:ListSecretVersionIds"] = {"Versions": versions}
