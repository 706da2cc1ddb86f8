"""Who has changed what a cause is about, and when: the trail is asked once the cause is known."""

from __future__ import annotations

from datetime import datetime

from tests.contract.doctor.key import kms_key_disabled
from tests.contract.doctor.world import ACCOUNT, FUNCTION, KEY, World, ago, diagnosed

from keyturn.doctor.model import Finding

ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"


def change(world: World, name: str, at: datetime, by: str = ALICE, **parameters: str) -> None:
    world.event(name, at=at, secret=None, by=by, parameters=parameters)


def first(world: World) -> Finding:
    return diagnosed(world).findings[0]


def test_who_has_taken_the_permission_away_is_told_with_the_remedy() -> None:
    world = World()
    world.function_policy = None
    change(world, "RemovePermission20150331v2", ago(hours=2), functionName="rotate-orders")
    cause = first(world)

    assert cause.id == "invoke-permission-missing"
    assert cause.remedy.text.endswith(
        "The function's policy was last changed by user/alice (RemovePermission) at 2026-11-27 10:00:00 UTC."
    )
    assert (cause.evidence[-1].source, cause.evidence[-1].at) == ("cloudtrail:LookupEvents", ago(hours=2))


def test_what_was_changed_of_something_else_or_in_vain_or_before_the_last_good_rotation_is_not_told() -> None:
    world = World()
    world.function_policy = None
    name = "RemovePermission20150331v2"
    change(world, name, ago(hours=2), functionName=f"{FUNCTION}-other")
    change(world, name, ago(days=20), functionName="rotate-orders")
    world.event(
        name, at=ago(hours=1), secret=None, by=ALICE, parameters={"functionName": FUNCTION}, errorCode="AccessDenied"
    )

    assert "last changed" not in first(world).remedy.text


def test_the_change_before_the_failure_is_told_and_not_what_was_tried_since() -> None:
    world = World()
    kms_key_disabled(world)
    world.fail(at=ago(hours=2))
    world.run("[ERROR] DecryptionFailure: no\nTraceback (most recent call last):", at=ago(hours=2))
    change(world, "DisableKey", ago(hours=3), keyId=KEY)
    change(world, "PutKeyPolicy", ago(hours=1), by=f"arn:aws:iam::{ACCOUNT}:user/bob", keyId=KEY.rpartition("/")[2])

    assert "by user/alice (DisableKey) at 2026-11-27 09:00:00 UTC" in first(world).remedy.text


def test_nothing_is_asked_where_there_is_no_cause() -> None:
    world = World()
    asked: list[str] = []
    reply = world.replies.get("cloudtrail:LookupEvents")
    assert reply is None

    def answer(parameters: object) -> dict[str, list[object]]:
        asked.append(str(parameters))
        return {"Events": []}

    world.replies["cloudtrail:LookupEvents"] = answer
    diagnosed(world)
    assert not [each for each in asked if "DisableKey" in each or "PutRolePolicy" in each]

    world.role_policies.clear()
    diagnosed(world)
    assert [each for each in asked if "PutRolePolicy" in each]
    assert not [each for each in asked if "DisableKey" in each]
