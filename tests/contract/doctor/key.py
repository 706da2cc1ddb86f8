"""The secret's encryption key."""

from __future__ import annotations

import json
from typing import Any

from .world import ACCOUNT, World, ago, policy


def _refused(world: World) -> None:
    world.refused_key()
    world.fail()


def _metadata(world: World) -> dict[str, Any]:
    world.with_key()
    reply: Any = world.replies["kms:DescribeKey"]
    metadata: dict[str, Any] = reply["KeyMetadata"]
    return metadata


def kms_role_denied(world: World) -> None:
    world.with_key()
    del world.role_policies["key"]
    _refused(world)


def kms_key_policy_denies(world: World) -> None:
    world.with_key()
    admin = {"AWS": f"arn:aws:iam::{ACCOUNT}:role/admin"}
    document = policy({"Effect": "Allow", "Principal": admin, "Action": "kms:*", "Resource": "*"})
    world.replies["kms:GetKeyPolicy"] = {"Policy": json.dumps(document)}
    _refused(world)


def kms_key_disabled(world: World) -> None:
    _metadata(world)["KeyState"] = "Disabled"
    world.fail()


def kms_key_pending_deletion(world: World) -> None:
    _metadata(world).update(KeyState="PendingDeletion", DeletionDate=ago(days=-7))
    world.fail()


def kms_key_asymmetric(world: World) -> None:
    _metadata(world).update(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    world.fail()
