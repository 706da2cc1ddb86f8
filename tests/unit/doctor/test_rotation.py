"""What is said of a rotation that was switched off, or given up, or only tried."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.contract.doctor.world import CURRENT, NOW, OTHER_SECRET, PENDING, SECRET, World, ago, diagnosed, refusal

from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
from keyturn.doctor.model import Finding, Report, Role, Verdict
from keyturn.doctor.runner import NoSuchSecret, examine


def on_keyturn(world: World) -> Report:
    return examine(collect(Facts(world.ask), SECRET, NOW, world.options), "http://127.0.0.1:8086")


def finding(report: Report, cause_id: str) -> Finding:
    [found] = [each for each in report.findings if each.id == cause_id]
    return found


def operations(found: Finding) -> list[str]:
    return [change.operation for change in found.remedy.changes]


# Switched off.


def switched_off_after(step: str) -> World:
    world = World()
    world.fail(step)
    world.run(f"[ERROR] ValueError: {step}: no\nTraceback (most recent call last):")
    world.secret["RotationEnabled"] = False
    return world


def test_a_password_that_the_database_may_have_is_not_thrown_away_to_turn_rotation_on() -> None:
    for step in ("setSecret", "testSecret", "finishSecret"):
        found = finding(on_keyturn(switched_off_after(step)), "rotation-cancelled")

        assert operations(found) == []
        assert "the database may have that password" in found.remedy.text
        assert found.remedy.by_hand[0] == "keyturn rotation resolve svc/orders/db"
        assert not any("update-secret-version-stage" in command for command in found.remedy.by_hand)


def test_it_is_not_thrown_away_either_where_it_cannot_be_told_whether_set_secret_ran() -> None:
    world = switched_off_after("createSecret")
    world.deny("logs:FilterLogEvents")
    assert operations(finding(diagnosed(world), "rotation-cancelled")) == []

    world = World()
    world.secret["VersionIdsToStages"][PENDING] = ["AWSPENDING"]
    world.secret["RotationEnabled"] = False
    assert operations(finding(diagnosed(world), "rotation-cancelled")) == []


def test_elsewhere_than_on_keyturn_no_command_of_it_is_printed() -> None:
    found = finding(diagnosed(switched_off_after("setSecret")), "rotation-cancelled")

    assert [command.partition(" ")[0] for command in found.remedy.by_hand] == ["aws"]


def test_a_label_that_was_left_by_the_first_step_is_taken_off_to_turn_rotation_on() -> None:
    found = finding(on_keyturn(switched_off_after("createSecret")), "rotation-cancelled")

    assert operations(found) == ["UpdateSecretVersionStage", "RotateSecret"]


def test_a_label_on_a_version_without_a_value_is_taken_off_to_turn_rotation_on() -> None:
    world = switched_off_after("setSecret")
    world.replies["secretsmanager:ListSecretVersionIds"] = {"Versions": []}

    assert operations(finding(on_keyturn(world), "rotation-cancelled")) == ["UpdateSecretVersionStage", "RotateSecret"]


# Only tried.

NOT_IN = f"testSecret: Unable to log into database with pending secret of secret ARN {SECRET}"


def after_a_test() -> World:
    world = World()
    world.event("TestRotationStarted", at=ago(hours=1, seconds=4))
    world.event("TestRotationFailed", at=ago(hours=1))
    world.run(f"[ERROR] ValueError: {NOT_IN}\nTraceback (most recent call last):", secret=None)
    return world


def test_a_test_that_failed_has_set_no_password() -> None:
    report = diagnosed(after_a_test())

    [cause] = report.causes
    assert cause.title == (
        "rotate-orders does not log in with the current value of svc/orders/db (in a test of the function, no rotation)"
    )
    assert cause.step is None
    assert not report.summary.startswith("Rotation fails")
    assert "AWSCURRENT's password" in cause.remedy.text


def test_a_rotation_that_failed_after_a_test_has_set_one() -> None:
    world = after_a_test()
    world.fail("testSecret", at=ago(minutes=30))
    world.run(f"[ERROR] ValueError: {NOT_IN}\nTraceback (most recent call last):", at=ago(minutes=30, seconds=2))

    [cause] = diagnosed(world).causes
    assert cause.title == "the new password of svc/orders/db was set and does not log in"
    assert cause.step == "testSecret"


def test_the_test_of_another_secret_on_a_shared_function_is_not_this_ones() -> None:
    world = World()
    world.event("TestRotationFailed", secret=OTHER_SECRET)
    world.run(f"[ERROR] ValueError: {NOT_IN.replace(SECRET, '?')}\nTraceback (most recent call last):", secret=None)

    assert diagnosed(world).causes == ()


# Given up.

MARIA = "arn:aws:iam::123456789012:user/maria"


def given_up() -> World:
    world = World()
    world.event("RotationStarted", at=ago(hours=3))
    world.event("PutSecretValue", at=ago(hours=2, seconds=5), by=MARIA, parameters={})
    world.event("RotationAbandoned", at=ago(hours=2))
    return world


def test_that_a_rotation_was_abandoned_is_the_cause_where_nothing_else_is() -> None:
    assert [cause.id for cause in diagnosed(given_up()).causes] == ["rotation-abandoned"]


def test_what_is_the_matter_is_named_before_a_rotation_that_was_abandoned() -> None:
    world = given_up()
    world.with_value()
    world.configuration["Handler"] = "postgresql_single_user.lambda_handler"
    world.value = "hunter2"

    report = diagnosed(world)
    assert [cause.id for cause in report.causes] == ["secret-not-json"]
    assert finding(report, "rotation-abandoned").role is Role.CONSEQUENCE


def test_a_value_stored_to_mend_what_failed_is_not_the_cause() -> None:
    world = given_up()
    world.event("RotationFailed", at=ago(hours=2, minutes=30), errorMessage="during createSecret step")
    said = "[ERROR] KeyError: 'host key is missing from secret JSON'\nTraceback (most recent call last):"
    world.run(said, at=ago(hours=2, minutes=30, seconds=2))
    world.secret["LastChangedDate"] = ago(hours=2, seconds=5)
    world.replies["secretsmanager:ListSecretVersionIds"] = {
        "Versions": [{"VersionId": CURRENT, "CreatedDate": ago(hours=2, seconds=5)}]
    }

    report = diagnosed(world)
    assert report.causes == ()
    assert report.summary.startswith("What failed has been changed since")


# Stored by hand.


def updated(*, with_value: bool) -> World:
    world = World()
    world.event("UpdateSecret", at=ago(days=3), by=MARIA, parameters={"kmsKeyId": "alias/other"})
    versions = [{"VersionId": CURRENT, "CreatedDate": ago(days=3) if with_value else ago(days=12)}]
    world.replies["secretsmanager:ListSecretVersionIds"] = {"Versions": versions}
    return world


def test_an_update_of_the_key_only_has_stored_no_value() -> None:
    shifted = "schedule-shifted-by-manual-update"

    assert shifted not in {each.id for each in diagnosed(updated(with_value=False)).findings}
    assert "user/maria has stored a value by hand" in finding(diagnosed(updated(with_value=True)), shifted).title


# Where not everything can be asked.


def test_without_the_trail_it_is_healthy_only_if_it_has_rotated_as_it_is() -> None:
    world = World()
    world.replies["cloudtrail:LookupEvents"] = refusal("LookupEvents", "NotImplementedException", "no", 501)
    assert diagnosed(world).verdict is Verdict.HEALTHY
    world.configuration["LastModified"] = f"{ago(hours=2):%Y-%m-%dT%H:%M:%S.000+0000}"

    report = diagnosed(world)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.summary.endswith("the secret has not been rotated since it was changed.")


def test_a_secret_changed_since_its_rotation_is_not_called_healthy_either() -> None:
    world = World()
    world.replies["cloudtrail:LookupEvents"] = refusal("LookupEvents", "NotImplementedException", "no", 501)
    world.secret["LastChangedDate"] = ago(hours=2)

    assert diagnosed(world).verdict is Verdict.INCONCLUSIVE


def test_of_an_arn_of_another_region_the_region_is_named() -> None:
    world = World()
    arn = SECRET.replace("eu-west-1", "us-east-1")

    with pytest.raises(NoSuchSecret) as caught:
        examine(collect(Facts(world.ask), arn, NOW, world.options))
    assert caught.value.hints == ("This ARN is of the region us-east-1: --region us-east-1 looks there.",)


# The permission to invoke.


def test_the_permission_of_another_secret_is_left_alone() -> None:
    world = World()
    assert world.function_policy is not None
    [statement] = world.function_policy["Statement"]
    statement["Condition"] = {"ArnLike": {"AWS:SourceArn": OTHER_SECRET}}

    found = finding(diagnosed(world), "invoke-permission-condition")
    assert operations(found) == ["AddPermission"]


# When it is due.


@pytest.mark.parametrize(
    ("rules", "following", "said"),
    [
        (
            {"AutomaticallyAfterDays": 30},
            datetime(2026, 12, 15, 23, 59, 59, tzinfo=UTC),
            "opens at 2026-12-15 00:00 UTC and closes at 2026-12-16 00:00 UTC: it opens in 17 days",
        ),
        (
            {"AutomaticallyAfterDays": 1, "ScheduleExpression": "rate(4 hours)"},
            datetime(2026, 11, 27, 15, 59, 59, tzinfo=UTC),
            "opens at 2026-11-27 15:00 UTC and closes at 2026-11-27 16:00 UTC: it opens in 3 hours",
        ),
        (
            {"ScheduleExpression": "cron(0 16 1,15 * ? *)", "Duration": "3h"},
            datetime(2026, 12, 1, 18, 59, 59, tzinfo=UTC),
            "opens at 2026-12-01 16:00 UTC and closes at 2026-12-01 19:00 UTC: it opens in 4 days",
        ),
        (
            {"ScheduleExpression": "rate(1 day)", "Duration": "4h"},
            datetime(2026, 11, 27, 13, 59, 59, tzinfo=UTC),
            "opens at 2026-11-27 10:00 UTC and closes at 2026-11-27 14:00 UTC: it is open",
        ),
        ({"ScheduleExpression": "cron(bad)"}, datetime(2026, 12, 1, 18, 0, tzinfo=UTC), "due by 2026-12-01 18:00 UTC"),
    ],
)
def test_the_window_is_told_in_the_words_of_every_other_place(
    rules: dict[str, object], following: datetime, said: str
) -> None:
    world = World()
    world.secret |= {"RotationRules": rules, "NextRotationDate": following}

    assert said in finding(diagnosed(world), "schedule-not-due").title
