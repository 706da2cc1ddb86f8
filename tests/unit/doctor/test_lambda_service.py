"""The near misses of Lambda's own troubles."""

from __future__ import annotations

from datetime import datetime

import pytest
from tests.contract.doctor.world import KEY, World, ago, diagnosed, refusal

from keyturn.doctor.model import Finding, Role, Status, Verdict
from keyturn.doctor.own_functions import MADE_BY
from keyturn.doctor.runtimes import DEPRECATED_FROM


def findings(world: World, cause_id: str) -> list[Finding]:
    return [finding for finding in diagnosed(world).findings if finding.id == cause_id]


def status(world: World, cause_id: str) -> Status:
    return next(outcome.status for outcome in diagnosed(world).outcomes if outcome.cause.id == cause_id)


def test_a_process_killed_with_memory_to_spare_has_not_run_out_of_it() -> None:
    world = World()
    world.fail()
    world.run(
        "RequestId: 00000000-0000-0000-0000-0000000003e8 Error: Runtime exited with error: signal: killed\n"
        "Runtime.ExitError",
        memory=(512, 80),
    )

    assert [finding.id for finding in diagnosed(world).causes] == ["function-unhandled-error"]


@pytest.mark.parametrize(("ago_seconds", "is_found"), [(10, True), (90, False)])
def test_a_run_that_is_not_reported_yet_has_not_said_everything(ago_seconds: int, is_found: bool) -> None:
    world = World()
    said = "RequestId: 1 Error: Runtime exited with error: signal: killed\nRuntime.ExitError"
    world.fail(at=ago(minutes=5))
    world.run(said, memory=(128, 128), at=ago(minutes=5))
    world.run(said, at=ago(seconds=ago_seconds))
    *world.log, _end, _report = world.log

    causes = [finding.id for finding in diagnosed(world).causes]

    assert causes == (["lambda-out-of-memory"] if is_found else ["function-unhandled-error"])


def test_memory_is_doubled_up_to_what_lambda_gives() -> None:
    world = World()
    world.fail()
    world.run("[ERROR] MemoryError\nTraceback (most recent call last):", memory=(8192, 8192))

    [finding] = findings(world, "lambda-out-of-memory")
    [change] = finding.remedy.changes
    assert change.parameters == {"FunctionName": "rotate-orders", "MemorySize": 10240}


@pytest.mark.parametrize(("reserved", "causes"), [({}, []), ({"ReservedConcurrentExecutions": 5}, [])])
def test_a_reservation_of_something_stops_nobody(reserved: dict[str, int], causes: list[str]) -> None:
    world = World()
    world.replies["lambda:GetFunctionConcurrency"] = reserved

    assert [finding.id for finding in diagnosed(world).causes] == causes


@pytest.mark.parametrize(("state", "minutes", "role"), [("Pending", 2, None), ("Pending", 10, Role.CAUSE)])
def test_a_function_may_be_pending_for_a_while(state: str, minutes: int, role: Role | None) -> None:
    world = World()
    world.configuration.update(State=state, LastModified=f"{ago(minutes=minutes):%Y-%m-%dT%H:%M:%S.000+0000}")

    assert [finding.role for finding in findings(world, "lambda-state-not-active")] == ([role] if role else [])


def test_a_function_that_could_not_be_updated_still_runs() -> None:
    world = World()
    world.configuration.update(LastUpdateStatus="Failed", LastUpdateStatusReason="No such image.")

    report = diagnosed(world)
    assert report.verdict is Verdict.AT_RISK
    assert report.summary == "Nothing is broken, but: the function rotate-orders could not be updated: No such image."


@pytest.mark.parametrize("code", ["EniLimitExceeded", "SubnetOutOfIPAddresses", "InvalidSubnet"])
def test_what_the_network_lacks_is_told_elsewhere(code: str) -> None:
    world = World()
    world.configuration.update(State="Failed", StateReasonCode=code)

    assert findings(world, "lambda-state-not-active") == []


def test_a_function_that_sleeps_is_well() -> None:
    world = World()
    world.configuration.update(State="Inactive", StateReasonCode="Idle")

    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_metrics_are_asked_for_only_where_a_failure_left_no_line() -> None:
    told, silent = World(), World()
    for world in (told, silent):
        world.fail()
    told.run("[ERROR] NotImplementedError\nTraceback (most recent call last):")
    for world in (told, silent):
        diagnosed(world)

    assert "cloudwatch:GetMetricStatistics" not in told.asked
    assert silent.asked.count("cloudwatch:GetMetricStatistics") == 2


@pytest.mark.parametrize("reserved", [None, 3])
def test_a_reservation_that_was_used_up_is_taken_away_by_a_printed_command(reserved: int | None) -> None:
    world = World()
    world.fail()
    world.replies["cloudwatch:GetMetricStatistics"] = {"Datapoints": [{"Sum": 2.0, "Timestamp": ago(hours=1)}]}
    if reserved is not None:
        world.replies["lambda:GetFunctionConcurrency"] = {"ReservedConcurrentExecutions": reserved}

    [finding] = findings(world, "lambda-throttled")
    actions = [change.action for change in finding.remedy.changes]
    if reserved is None:
        assert (finding.title.rpartition(": ")[2], actions) == ("too many functions ran", [])
    else:
        assert finding.title.endswith(": 3 of its invocations ran")
        assert actions == ["lambda:DeleteFunctionConcurrency", "secretsmanager:RotateSecret"]


def test_steps_that_went_well_tell_nothing_of_the_one_that_was_throttled() -> None:
    world = World()
    world.fail()
    world.run("[INFO] createSecret: done")
    world.replies["cloudwatch:GetMetricStatistics"] = {"Datapoints": [{"Sum": 1.0, "Timestamp": ago(hours=1)}]}

    assert [finding.id for finding in findings(world, "lambda-throttled")] == ["lambda-throttled"]


def test_an_endpoint_without_metrics_is_no_fault() -> None:
    world = World()
    world.fail()
    world.replies["cloudwatch:GetMetricStatistics"] = refusal(
        "GetMetricStatistics", "UnknownOperationException", "", 404
    )

    assert status(world, "lambda-throttled") is Status.UNSUPPORTED


def test_a_key_of_the_variables_that_is_enabled_is_well() -> None:
    world = World()
    world.configuration["KMSKeyArn"] = KEY
    world.replies["kms:DescribeKey"] = {"KeyMetadata": {"Arn": KEY, "KeyState": "Enabled"}}

    assert findings(world, "lambda-env-kms-denied") == []


def test_a_disabled_key_of_the_variables_is_found_without_lambdas_words() -> None:
    world = World()
    world.configuration["KMSKeyArn"] = KEY
    world.replies["kms:DescribeKey"] = {"KeyMetadata": {"Arn": KEY, "KeyState": "Disabled"}}

    [finding] = findings(world, "lambda-env-kms-denied")
    assert finding.remedy.changes[0].action == "kms:EnableKey"


def test_a_runtime_is_deprecated_from_its_day_on() -> None:
    world = World()
    world.configuration["Runtime"] = "python3.10"

    [finding] = findings(world, "lambda-runtime-deprecated")
    assert finding.role is Role.RISK
    assert "2026-10-31" in finding.title
    assert DEPRECATED_FROM["python3.12"] > datetime(2026, 11, 27).date()  # noqa: DTZ001 - a day


def test_what_lambda_says_of_its_variables_is_enough_where_the_key_may_not_be_seen() -> None:
    world = World()
    world.configuration["KMSKeyArn"] = KEY
    world.configuration["Environment"] = {"Error": {"ErrorCode": "AccessDeniedException", "Message": "KMS"}}
    world.deny("kms:DescribeKey")

    [finding] = findings(world, "lambda-env-kms-denied")
    assert finding.role is Role.CAUSE


@pytest.mark.parametrize(
    ("handler", "meant"),
    [
        ("postgresql_single_usr.lambda_handler", "postgresql_single_user.lambda_handler"),
        ("mysql_alternating_users.lambda_handlers", "mysql_alternating_users.lambda_handler"),
        ("index.handler", ""),
    ],
)
def test_the_handler_of_a_function_that_keyturn_has_made_is_known(handler: str, meant: str) -> None:
    world = World()
    world.configuration |= {"Handler": handler, "Description": f"Rotates a secret; {MADE_BY}."}
    world.fail()
    world.run(f"[ERROR] Runtime.HandlerNotFound: Handler '{handler}' missing")
    [cause] = diagnosed(world).causes

    assert cause.id == "lambda-handler-missing"
    assert [change.parameters["Handler"] for change in cause.remedy.changes] == ([meant] if meant else [])
    assert any("MODULE.NAME" in line for line in cause.remedy.by_hand) is not bool(meant)

    # Of another function nobody knows it.
    world.configuration["Description"] = "Rotates."
    assert diagnosed(world).causes[0].remedy.changes == ()
