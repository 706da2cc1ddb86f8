"""The near misses of the value's, the versions', the log's and the code's checks."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import pytest
from tests.contract.doctor.world import (
    CURRENT,
    FUNCTION,
    NOW,
    PENDING,
    PREVIOUS,
    SECRET,
    SUPERUSER,
    World,
    ago,
    diagnosed,
)

from keyturn.doctor.case import Case
from keyturn.doctor.facts import Facts
from keyturn.doctor.model import Confidence, Finding, Role, Status, Verdict
from keyturn.doctor.own_functions import ENGINE_NAMES, own_function
from keyturn.rotators import catalogue
from keyturn.rotators.package import handler_name


def failing(said: str, step: str = "createSecret") -> World:
    world = World()
    world.fail(step)
    world.run(f"[ERROR] {said}\nTraceback (most recent call last):")
    return world


def ids(world: World) -> list[str]:
    return [finding.id for finding in diagnosed(world).causes]


def findings(world: World, cause_id: str) -> list[Finding]:
    return [finding for finding in diagnosed(world).findings if finding.id == cause_id]


# The value.


def test_a_key_that_is_there_is_not_missing() -> None:
    world = failing("KeyError: 'host'")
    assert ids(world) == ["secret-key-missing"]
    world.with_value()
    assert ids(world) == ["function-unhandled-error"]


def test_a_key_of_a_functions_own_dictionary_is_not_the_values() -> None:
    assert ids(failing("KeyError: 'colour'")) == ["function-unhandled-error"]


def test_a_key_that_the_superuser_secret_lacks_is_told_of_that() -> None:
    world = failing(f"KeyError: 'host key is missing from secret JSON of master secret {SUPERUSER}'", "setSecret")

    [finding] = findings(world, "secret-key-missing")
    assert finding.title == f"the value of the superuser secret {SUPERUSER} has no key host"


def test_json_that_cannot_be_parsed_may_be_another_answers() -> None:
    world = failing("JSONDecodeError: Expecting value: line 1 column 1 (char 0)")
    assert ids(world) == ["secret-not-json"]
    world.with_value()
    assert ids(world) == ["function-unhandled-error"]


def test_nothing_of_the_value_is_told_without_being_asked_for() -> None:
    world = World()
    world.value = "hunter2"

    report = diagnosed(world)
    assert report.verdict is Verdict.HEALTHY
    assert "secretsmanager:GetSecretValue" not in world.asked


def test_a_database_value_without_a_password_is_a_risk_before_it_fails() -> None:
    world = World()
    world.with_value()
    world.value = {"engine": "postgres", "host": "orders.example", "username": "orders"}

    [finding] = findings(world, "secret-key-missing")
    assert (finding.role, finding.title) == (Role.RISK, "the value of svc/orders/db has no key password")


def test_a_value_that_is_no_databases_needs_no_host() -> None:
    world = World()
    world.with_value()
    world.value = {"api_key": "hunter2"}

    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_the_engine_that_the_value_names_is_told_only_if_it_was_read() -> None:
    world = failing("KeyError: \"Database engine must be set to 'postgres' in order to use this rotation lambda\"")
    [unread] = findings(world, "secret-engine-mismatch")
    world.with_value()
    assert isinstance(world.value, dict)
    del world.value["engine"]
    [read] = findings(world, "secret-engine-mismatch")

    assert unread.title.endswith("says another engine, or none")
    assert read.title.endswith("says engine missing")


# The value, before anything has failed.


def of_keyturn(**changes: object) -> World:
    world = World()
    world.with_value()
    world.configuration["Handler"] = "postgresql_single_user.lambda_handler"
    assert isinstance(world.value, dict)
    world.value = {name: value for name, value in {**world.value, **changes}.items() if value is not None}
    return world


def test_keyturns_own_functions_are_known_with_what_they_take() -> None:
    assert {name: engine.engine_names for name, engine in catalogue.engines().items()} == dict(ENGINE_NAMES)
    for engine in catalogue.engines():
        for strategy in catalogue.strategies():
            if catalogue.go_together(engine, strategy):
                [own] = [
                    own_function(Case(Facts(world.ask), SECRET, NOW))
                    for world in [of_keyturn()]
                    if world.configuration.update(Handler=handler_name(engine, strategy)) is None
                ]
                assert own is not None
                assert own.engine_names == catalogue.engines()[engine].engine_names


def test_what_one_of_keyturns_functions_takes_is_healthy() -> None:
    assert diagnosed(of_keyturn()).verdict is Verdict.HEALTHY
    assert diagnosed(of_keyturn(port=None)).verdict is Verdict.HEALTHY
    assert diagnosed(of_keyturn(port="5432, 5433", host="a.example,b.example")).verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("changes", "cause_id", "words"),
    [
        ({"port": "x5432"}, "secret-value-unusable", "port is x5432"),
        ({"port": 70000}, "secret-value-unusable", "port is 70000"),
        ({"host": ""}, "secret-value-unusable", "host"),
        ({"username": 12}, "secret-value-unusable", "username"),
        ({"engine": "mysql"}, "secret-engine-mismatch", "is for engine postgres"),
        ({"username": None}, "secret-key-missing", "no key username"),
        ({"host": None}, "secret-key-missing", "no key host"),
        ({"engine": None}, "secret-key-missing", "no key engine"),
    ],
)
def test_what_one_of_keyturns_functions_will_refuse_is_the_cause_before_it_fails(
    changes: dict[str, object], cause_id: str, words: str
) -> None:
    report = diagnosed(of_keyturn(**changes))

    assert [finding.id for finding in report.causes] == [cause_id]
    assert words in report.causes[0].title


@pytest.mark.parametrize(("value", "cause_id"), [("hunter2", "secret-not-json"), (b"hunter2", "secret-is-binary")])
def test_a_value_that_cannot_be_read_is_the_cause_as_surely_as_the_function_is_known(
    value: str | bytes, cause_id: str
) -> None:
    world = of_keyturn()
    world.value = value
    [certain] = findings(world, cause_id)
    world.configuration["Handler"] = "lambda_function.lambda_handler"
    world.secret["LastRotatedDate"] = None
    [another] = findings(world, cause_id)
    world.secret["LastRotatedDate"] = ago(days=12)

    assert (certain.role, certain.confidence) == (Role.CAUSE, Confidence.CERTAIN)
    assert another.role is Role.RISK
    # It is the function that has stored it.
    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_a_value_that_was_stored_after_a_failure_is_looked_at_anew() -> None:
    world = of_keyturn()
    world.fail("createSecret", at=ago(hours=30))
    world.run("[ERROR] ValueError: Invalid secret value JSON for secret.\nTraceback:", at=ago(hours=30))
    world.configuration["LastModified"] = f"{ago(hours=2):%Y-%m-%dT%H:%M:%S.000+0000}"
    world.value = "hunter2"

    assert ids(world) == ["secret-not-json"]


def test_a_port_that_is_no_number_is_a_risk_whatever_the_function() -> None:
    world = of_keyturn(port="x5432")
    world.configuration["Handler"] = "lambda_function.lambda_handler"

    assert [finding.role for finding in findings(world, "secret-value-unusable")] == [Role.RISK]


def test_where_neither_the_value_nor_a_line_was_looked_at_nothing_is_passed() -> None:
    about_value = {"secret-not-json", "secret-is-binary", "secret-key-missing", "secret-engine-mismatch"}
    unread = {each.cause.id: each for each in diagnosed(World()).outcomes}
    read = {each.cause.id: each.status for each in diagnosed(of_keyturn()).outcomes}

    for cause_id in (*about_value, "secret-value-unusable"):
        assert unread[cause_id].status is Status.SKIPPED
        assert "--read-value" in unread[cause_id].reason
        assert read[cause_id] is Status.PASS


# Versions and attempts.


def test_an_abandoned_rotation_that_was_begun_again_is_over() -> None:
    world = World()
    world.event("RotationAbandoned", at=ago(hours=2))
    world.event("RotationStarted", at=ago(hours=1))

    assert findings(world, "rotation-abandoned") == []


def test_the_writer_who_had_a_rotation_abandoned_is_named() -> None:
    world = World()
    world.event("PutSecretValue", at=ago(hours=3), by="arn:aws:iam::123456789012:user/maria", parameters={})
    caller = f"arn:aws:sts::123456789012:assumed-role/rotator/{FUNCTION.rpartition(':')[2]}"
    world.event("PutSecretValue", at=ago(hours=2, seconds=1), by=caller, parameters={})
    world.event("RotationAbandoned", at=ago(hours=2))

    [finding] = findings(world, "rotation-abandoned")
    assert "user/maria had stored a version" in finding.title


def test_a_pending_version_from_elsewhere_that_was_taken_away_is_over() -> None:
    world = World()
    world.fail("setSecret")
    world.trail[-1]["errorMessage"] = (
        f"Pending secret version {CURRENT} for Secret {SECRET} was not created by Lambda {FUNCTION}."
    )

    assert findings(world, "pending-not-from-function") == []


def test_a_hundred_versions_of_a_year_are_no_crowd() -> None:
    world = World()
    versions = [{"VersionId": str(number), "CreatedDate": ago(days=number)} for number in range(120)]
    world.replies["secretsmanager:ListSecretVersionIds"] = {"Versions": versions}

    assert findings(world, "version-quota-exceeded") == []


def test_a_version_that_was_not_found_and_never_appeared_is_an_error() -> None:
    world = failing(
        "ResourceNotFoundException: An error occurred (ResourceNotFoundException) when calling the GetSecretValue"
        " operation: Secrets Manager can't find the specified secret value for VersionId: 3",
        "setSecret",
    )

    assert findings(world, "eventual-consistency") == []
    assert ids(world) == ["function-unhandled-error"]


@pytest.mark.parametrize(
    ("rotated_hours_ago", "read_hours_ago", "is_told"), [(13, 12, True), (13, 14, False), (40, 1, False)]
)
def test_who_read_the_former_value_after_a_rotation_of_today_is_told_of(
    rotated_hours_ago: int, read_hours_ago: int, is_told: bool
) -> None:
    world = World()
    world.secret["LastRotatedDate"] = ago(hours=rotated_hours_ago)
    world.event("RotationSucceeded", at=ago(hours=rotated_hours_ago))
    versions = [{"VersionId": PREVIOUS, "LastAccessedDate": ago(hours=read_hours_ago)}]
    world.replies["secretsmanager:ListSecretVersionIds"] = {"Versions": versions}

    assert bool(findings(world, "app-holds-old-credential")) is is_told
    assert diagnosed(world).verdict is Verdict.HEALTHY


# The function's code.


def test_an_error_that_nothing_names_is_quoted_with_the_last_frame_of_the_functions_own(tmp_path: Path) -> None:
    path = tmp_path / "lambda_function.py"
    path.write_text("import json\n\ndef set_secret():\n    return json.loads('{')['password']\n\nset_secret()\n")
    try:
        exec(compile(path.read_text(), str(path), "exec"), {"__name__": "lambda_function"})
    except ValueError:
        kind, _, _ = sys.exc_info()
        frames = traceback.format_exc()
    assert kind is not None
    world = World()
    world.fail("setSecret")
    world.run(f"[ERROR] CustomError: what I did not foresee\n{frames}".replace("JSONDecodeError", "CustomError"))

    [finding] = diagnosed(world).causes
    assert finding.id == "function-unhandled-error"
    assert finding.step == "setSecret"
    assert finding.title.startswith("the function rotate-orders fails with CustomError: what I did not foresee (")


def test_a_frame_of_a_library_is_not_where_to_look() -> None:
    world = World()
    world.fail("setSecret")
    world.run(
        "[ERROR] ProfileNotFound: The config profile (x) could not be found\rTraceback (most recent call last):\r"
        '\u00a0\u00a0File "/var/task/lambda_function.py", line 7, in set_secret\r\u00a0\u00a0\u00a0\u00a0client()\r'
        '\u00a0\u00a0File "/var/lang/lib/python3.12/site-packages/botocore/session.py", line 9, in get\r'
    )

    [finding] = diagnosed(world).causes
    assert finding.title.endswith("(lambda_function.py, line 7, in set_secret)")
    assert "\r" not in finding.title


def test_a_last_step_that_failed_has_not_left_the_label() -> None:
    world = failing("ZeroDivisionError: division by zero", "finishSecret")

    assert findings(world, "function-leaves-pending") == []


def test_a_last_step_of_a_function_that_writes_nothing_is_known_by_the_trail() -> None:
    world = World()
    world.fail("finishSecret")
    world.run()

    assert ids(world) == ["function-leaves-pending"]
    assert PENDING in str(findings(world, "function-leaves-pending")[0].evidence[0].excerpt)


def test_a_test_event_of_the_console_is_told_as_what_it_is() -> None:
    world = World()
    world.run("[ERROR] KeyError: 'Step'\nTraceback (most recent call last):", secret=None)

    [finding] = findings(world, "function-step-unknown")
    assert (
        finding.title == "the function rotate-orders was invoked with an event that is no rotation's: KeyError: 'Step'"
    )


# The log itself.


def test_a_missing_log_of_a_function_that_has_never_failed_is_nothing_to_tell() -> None:
    world = World()
    world.lose("logs:FilterLogEvents")

    assert diagnosed(world).verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("points", "words"),
    [([], "it was not invoked at all"), ([{"Sum": 4.0}, {"Sum": 1.0}], "it was invoked 5 times and wrote nothing")],
)
def test_how_often_it_was_invoked_tells_why_the_log_is_missing(points: list[dict[str, float]], words: str) -> None:
    world = World()
    world.fail()
    world.lose("logs:FilterLogEvents")
    world.replies["cloudwatch:GetMetricStatistics"] = lambda asked: {
        "Datapoints": points if asked["MetricName"] == "Invocations" else []
    }

    [finding] = findings(world, "logs-group-missing")
    assert finding.title.endswith(f": {words}")


def test_a_log_elsewhere_is_told_only_where_rotation_fails() -> None:
    world = World()
    world.configuration["LoggingConfig"] = {"LogFormat": "Text", "LogGroup": "/orders/rotation"}
    assert findings(world, "logs-redirected") == []
    world.fail()

    [finding] = findings(world, "logs-redirected")
    assert finding.role is Role.NOTE


def test_a_log_that_is_kept_long_enough_has_not_expired() -> None:
    world = World()
    world.fail(at=ago(days=3))
    group = {"logGroupName": "/aws/lambda/rotate-orders", "retentionInDays": 7}
    world.replies["logs:DescribeLogGroups"] = {"logGroups": [group]}

    assert findings(world, "logs-expired") == []


@pytest.mark.parametrize(("value", "cause"), [("hunter2", "secret-not-json"), (b"\x00", "secret-is-binary")])
def test_where_no_line_tells_why_the_value_that_was_read_does(value: str | bytes, cause: str) -> None:
    world = World(value=value)
    world.with_value()
    world.fail()

    assert ids(world) == [cause]


@pytest.mark.parametrize("value", ["hunter2", b"\x00"])
def test_a_value_of_another_form_harms_no_rotation_that_goes_well_or_fails_otherwise(value: str | bytes) -> None:
    well, otherwise = World(value=value), World(value=value)
    for world in (well, otherwise):
        world.with_value()
    otherwise.fail()
    otherwise.run("[ERROR] Runtime.ImportModuleError: Unable to import module 'lambda_function': No module named 'pg'")

    assert ids(well) == []
    assert ids(otherwise) == ["lambda-import-error"]


def test_a_test_in_the_console_is_no_cause_beside_one() -> None:
    world = World(function_policy=None)
    world.fail()
    world.run("[ERROR] KeyError: 'SecretId'", secret=None)

    assert ids(world) == ["invoke-permission-missing"]


def test_the_steps_of_keyturns_own_template_are_named_as_they_are_there() -> None:
    world = failing("NotImplementedError: set_value() in target.py: log in with what is known, and set what is pending")

    [finding] = findings(world, "function-not-implemented")
    assert "set_value and accepts in target.py" in finding.remedy.text
