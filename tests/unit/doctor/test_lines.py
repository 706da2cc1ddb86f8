"""Which line decides: the newest failure, of this secret, that nothing has gone past since."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from tests.contract.doctor.world import FUNCTION, NOW, OTHER_SECRET, PENDING, SECRET, World, ago, diagnosed

from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
from keyturn.doctor.lines import line_saying
from keyturn.doctor.model import Confidence, Finding, Report, Role, Verdict
from keyturn.doctor.runner import examine

NO_HOST = "[ERROR] KeyError: 'host key is missing from secret JSON'\nTraceback (most recent call last):"
OTHER_ENGINE = (
    "[ERROR] KeyError: \"Database engine must be set to 'postgres' in order to use this rotation lambda\"\n"
    "Traceback (most recent call last):"
)


def found(world: World, cause_id: str) -> Finding:
    [finding] = [finding for finding in diagnosed(world).findings if finding.id == cause_id]
    return finding


def ids(world: World) -> list[str]:
    return [finding.id for finding in diagnosed(world).causes]


def test_of_two_errors_the_newest_is_the_cause_and_the_older_a_note() -> None:
    world = World()
    world.fail(at=ago(hours=3))
    world.run(OTHER_ENGINE, at=ago(hours=3) + timedelta(seconds=8))
    world.fail(at=ago(hours=1))
    world.run(NO_HOST, at=ago(hours=1))

    assert ids(world) == ["secret-key-missing"]
    older = found(world, "secret-engine-mismatch")
    assert (older.role, older.is_history) == (Role.NOTE, True)
    assert older.title.endswith("at 2026-11-27 09:00:08 UTC; the newest attempt fails otherwise")


def test_what_was_said_before_the_last_good_rotation_is_over() -> None:
    world = World()
    world.run(NO_HOST, at=ago(days=13))

    report = diagnosed(world)
    assert report.verdict is Verdict.HEALTHY
    assert "secret-key-missing" not in {finding.id for finding in report.findings}


def test_a_function_changed_after_the_line_has_to_be_tried_first() -> None:
    world = World()
    world.fail()
    world.run(NO_HOST)
    world.configuration["LastModified"] = f"{ago(minutes=30):%Y-%m-%dT%H:%M:%S.000+0000}"

    finding = found(world, "secret-key-missing")
    assert (finding.role, finding.is_history) == (Role.NOTE, True)
    assert finding.title.endswith("; the function has been changed since")
    report = diagnosed(world)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.summary.startswith("What failed has been changed since")


def test_so_has_another_value_stored_after_it() -> None:
    world = World()
    world.fail()
    world.run(NO_HOST)
    world.secret["LastChangedDate"] = ago(minutes=30)
    versions = [{"VersionId": "00000000-0000-0000-0000-000000000001", "CreatedDate": ago(minutes=30)}]
    world.replies["secretsmanager:ListSecretVersionIds"] = {"Versions": versions}

    assert found(world, "secret-key-missing").title.endswith("; another value has been stored since")


def test_an_endpoint_that_says_of_every_version_that_it_is_new_is_not_believed() -> None:
    world = World()
    world.fail()
    world.run(NO_HOST)
    versions = [{"VersionId": "00000000-0000-0000-0000-000000000001", "CreatedDate": NOW}]
    world.replies["secretsmanager:ListSecretVersionIds"] = {"Versions": versions}

    assert ids(world) == ["secret-key-missing"]


def test_a_step_that_went_well_later_is_not_what_stops_the_rotation() -> None:
    world = World()
    world.fail("setSecret", at=ago(hours=3))
    world.run("[ERROR] UserMissing: setSecret: no such user", at=ago(hours=3))
    world.run(f"[INFO]\tsetSecret: Successfully set password for secret {SECRET}", at=ago(hours=2))

    finding = found(world, "db-user-missing")
    assert (finding.role, finding.is_history) == (Role.NOTE, True)


def test_the_same_error_of_another_secret_on_a_shared_function_is_not_this_ones() -> None:
    world = World()
    world.fail(secret=OTHER_SECRET)
    world.run(NO_HOST, secret=OTHER_SECRET)

    report = diagnosed(world)
    assert report.verdict is Verdict.HEALTHY


def test_two_causes_of_which_one_is_seen_in_state_are_both_told() -> None:
    world = World()
    world.fail()
    world.run(NO_HOST)
    world.replies["lambda:GetFunctionConcurrency"] = {"ReservedConcurrentExecutions": 0}

    assert set(ids(world)) == {"secret-key-missing", "lambda-concurrency-zero"}


def test_an_attempt_that_left_no_line_makes_an_older_line_a_guess() -> None:
    world = World()
    world.fail(at=ago(hours=3))
    world.run(NO_HOST, at=ago(hours=3))
    world.fail(at=ago(hours=1))

    assert found(world, "secret-key-missing").confidence is Confidence.POSSIBLE
    assert ids(world) == ["secret-key-missing"]


def test_what_keyturn_asks_a_function_after_a_failure_is_no_attempt() -> None:
    world = World()
    world.fail("setSecret")
    world.run("[ERROR] DatabaseMissing: setSecret: no such database")
    at = ago(minutes=59)
    world.run(
        f"[ERROR]\t{at:%Y-%m-%dT%H:%M:%SZ}\tid\tprobeSecret: Unable to ask about version 1: NotReady: later", at=at
    )

    assert ids(world) == ["db-database-missing"]


def test_an_invocation_by_hand_does_not_hide_what_fails() -> None:
    world = World()
    world.fail()
    world.run(NO_HOST)
    world.run("[ERROR] KeyError: 'Step'\nTraceback (most recent call last):", at=ago(minutes=30), secret=None)

    assert ids(world) == ["secret-key-missing"]
    assert found(world, "function-step-unknown").role is Role.NOTE


def test_what_a_line_says_is_quoted_without_level_advice_and_full_stop() -> None:
    world = World()
    world.fail("setSecret")
    world.run("[ERROR] ConnectionLost: host db.example, port 1: it was closed. Hint: Check host. And port.")

    title = found(world, "db-connection-lost").title
    assert title.endswith(": ConnectionLost: host db.example, port 1: it was closed")


def test_where_nothing_listens_is_said_whatever_else_the_line_says() -> None:
    world = World()
    world.fail("setSecret")
    world.run("[ERROR] setSecret: Unable to log into database: host 10.0.4.7, port 5433: Connection refused")

    title = found(world, "db-connection-refused").title
    assert title == "nothing listens at 10.0.4.7:5433, where the value has the database"


def test_logs_in_json_are_read_as_well() -> None:
    world = World()
    world.fail()
    error = {
        "timestamp": "2026-11-27T11:00:00Z",
        "log_level": "ERROR",
        "errorMessage": "Unable to import module 'lambda_function': No module named 'pymysql'",
        "errorType": "Runtime.ImportModuleError",
        "requestId": "",
        "stackTrace": [],
    }
    world.run(json.dumps(error), secret=None)

    assert ids(world) == ["lambda-import-error"]


def test_the_end_of_a_process_is_read_from_json_too() -> None:
    world = World()
    world.fail()
    request_id = "00000000-0000-0000-0000-00000000abcd"
    metrics = {"durationMs": 812.5, "memorySizeMB": 128, "maxMemoryUsedMB": 128}
    record = {"requestId": request_id, "metrics": metrics, "status": "error", "errorType": "Runtime.OutOfMemory"}
    at_ms = int(ago(hours=1).timestamp() * 1000)
    for position, line in enumerate(
        (
            {"type": "platform.start", "record": {"requestId": request_id, "version": "$LATEST"}},
            {"level": "INFO", "message": f"secret {SECRET}", "requestId": request_id},
            {"type": "platform.report", "record": record},
        )
    ):
        world.log.append({"logStreamName": "one", "timestamp": at_ms + position, "message": json.dumps(line)})

    assert ids(world) == ["lambda-out-of-memory"]


def test_functions_for_node_are_read() -> None:
    world = World()
    world.fail()
    said = {"errorType": "Error", "errorMessage": f"Secret version {PENDING} has no stage for rotation of secret"}
    world.run(
        f"2026-11-27T11:00:00.000Z\t00000000-0000-0000-0000-0000000003e8\tERROR\tInvoke Error \t{json.dumps(said)}"
    )

    assert ids(world) == ["function-token-mishandled"]


def test_without_a_log_no_line_is_said_to_be_absent() -> None:
    world = World()
    world.fail()
    world.lose("logs:FilterLogEvents")

    report = diagnosed(world)
    reasons = {outcome.cause.id: outcome.reason for outcome in report.outcomes}
    assert reasons["db-login-failed"] == "there is no log to read"
    assert FUNCTION.rpartition(":")[2] in found(world, "logs-group-missing").title


def test_a_login_that_went_on_without_tls_and_got_in_did_not_fail_for_tls() -> None:
    tried = "[ERROR]\tt\tid\tUnable to establish SSL/TLS handshake, SSL/TLS is not enabled on the host: db.example"
    entered = "[INFO]\tt\tid\tSuccessfully established non SSL/TLS connection as user 'orders' with host: 'db.example'"
    missing = "[ERROR]\tt\tid\tsetSecret: User orders does not exist in database"
    world = World()
    world.fail("setSecret")
    world.run(tried, entered, missing)
    shut = World()
    shut.fail("setSecret")
    shut.run(tried)

    assert ids(world) == ["db-user-missing"]
    assert ids(shut) == ["db-tls-handshake"]


def test_a_name_that_the_function_cannot_resolve_is_told_without_the_value() -> None:
    world = World()
    world.fail("setSecret")
    world.run(
        '[ERROR] OperationalError: could not translate host name "db.example" to address: Name or service not known'
    )
    endpoint = World()
    endpoint.fail()
    endpoint.run(
        "[ERROR] EndpointConnectionError: https://secretsmanager.eu-west-1.amazonaws.com: Name or service not known"
    )

    assert ids(world) == ["db-host-gone"]
    assert "db-host-gone" not in ids(endpoint)


@pytest.mark.parametrize(
    ("detail", "cause"),
    [
        ("", "db-user-cannot-set-password"),
        ("\nDETAIL:  Only roles with the CREATEROLE attribute and the ADMIN option may.", "db-grant-missing"),
    ],
)
def test_a_right_over_another_user_is_told_from_one_over_oneself(detail: str, cause: str) -> None:
    world = World()
    world.fail("setSecret")
    world.run(f"[ERROR] InsufficientPrivilege: permission denied to alter role{detail}")

    assert ids(world) == [cause]


def test_a_line_ends_where_awslambdaric_ends_it() -> None:
    match = line_saying("no such words", r"nor \S+ these").search("first\rsecond nor are these, at all\nthird")

    assert match is not None
    assert match["why"] == "second nor are these, at all"


def timed_out(world: World, *, hours: float) -> None:
    world.configuration["Timeout"] = 3
    world.with_value()
    world.in_vpc()
    world.fail("setSecret", at=ago(hours=hours))
    world.run("[INFO]\tsetSecret: on it", at=ago(hours=hours), timed_out=3.0, duration_ms=3000)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("Unable to import module 'rotat': No module named 'rotat'", "lambda-handler-missing"),
        ("Unable to import module 'source.rotate': No module named 'source'", "lambda-handler-missing"),
        ("Unable to import module 'source.rotate': No module named 'source.rotate'", "lambda-handler-missing"),
        ("Unable to import module 'rotate': No module named 'rotate_more'", "lambda-import-error"),
        ("Unable to import module 'source.rotate': No module named 'source.more'", "lambda-import-error"),
    ],
)
def test_the_handlers_own_module_is_told_from_one_that_it_imports(said: str, cause: str) -> None:
    world = World()
    world.fail()
    world.run(f"[ERROR] Runtime.ImportModuleError: {said}")

    assert ids(world) == [cause]
    finding = found(world, cause)
    assert said in finding.title
    is_handler = cause == "lambda-handler-missing"
    assert [("--handler MODULE.NAME" in line) for line in finding.remedy.by_hand] == [is_handler]


def test_of_a_long_line_the_address_is_left_whole() -> None:
    world = World()
    world.fail("setSecret")
    host = "db.a-long-name-that-is-nowhere.invalid"
    world.run(
        f"[ERROR] HostNotFound: setSecret of {SECRET} at the host {host}, port 5432: Name or service not known, of"
        " the resolver that this function asks where it is now"
    )

    [title] = [each.title for each in diagnosed(world).causes]
    assert host in title
    assert "svc/orders/db-AbCdEf" in title


def test_a_timeout_is_no_cause_where_the_newest_attempt_fails_otherwise() -> None:
    world = World()
    timed_out(world, hours=3)
    assert ids(world) == ["function-timeout-too-short"]
    world.fail(at=ago(hours=1))
    world.run(NO_HOST, at=ago(hours=1))
    world.value = {"engine": "postgres", "username": "orders", "password": "hunter2"}

    finding = found(world, "function-timeout-too-short")
    assert (finding.role, finding.is_history) == (Role.NOTE, True)
    assert ids(world) == ["secret-key-missing"]


def test_a_timeout_of_code_that_is_no_longer_there_is_history() -> None:
    world = World()
    timed_out(world, hours=3)
    world.configuration["LastModified"] = f"{ago(hours=1):%Y-%m-%dT%H:%M:%S.000+0000}"

    finding = found(world, "function-timeout-too-short")
    assert finding.is_history
    assert finding.title.endswith("; the function has been changed since")


def finished_without_moving(world: World) -> None:
    world.fail("finishSecret", at=ago(hours=3))
    world.run(f"[INFO]\tfinishSecret: done with {SECRET}", at=ago(hours=3))


def test_a_last_step_that_did_nothing_is_no_cause_where_the_newest_attempt_did_not_come_so_far() -> None:
    world = World()
    finished_without_moving(world)
    assert ids(world) == ["function-leaves-pending"]
    world.fail("createSecret", at=ago(hours=1))

    assert "function-leaves-pending" not in ids(world)


def test_a_last_step_of_code_that_is_no_longer_there_is_history() -> None:
    world = World()
    finished_without_moving(world)
    world.configuration["LastModified"] = f"{ago(hours=1):%Y-%m-%dT%H:%M:%S.000+0000}"

    assert found(world, "function-leaves-pending").is_history
    assert ids(world) == []


TRACE = '\nTraceback (most recent call last):\n  File "/var/task/keyturn_rotators/engines/network.py", line 29, in open'


@pytest.mark.parametrize("reads_value", [False, True])
def test_a_host_that_keyturns_function_does_not_find_is_the_databases(reads_value: bool) -> None:
    world = World()
    if reads_value:
        world.with_value()
        world.value = {"engine": "postgres", "host": "db.example", "port": 5432, "username": "u", "password": "x"}
    world.fail("setSecret")
    hint = "Check host in the secret, and that the function's network can resolve it (DNS)."
    world.run(f"[ERROR] HostNotFound: db.example port 5432: Name does not resolve. Hint: {hint}{TRACE}")

    assert ids(world) == ["db-host-gone"]
    assert "network.py" not in found(world, "db-host-gone").remedy.text


def test_what_keyturns_function_says_is_to_be_done_is_said() -> None:
    world = World()
    world.fail("setSecret")
    world.run(f"[ERROR] SomethingNew: it is so. Hint: Do this and that.{TRACE}")

    finding = found(world, "function-unhandled-error")
    assert finding.remedy.text == "Do this and that."
    assert "network.py" not in finding.title


NOT_CONNECTED = '[ERROR] EndpointConnectionError: Could not connect to the endpoint URL: "http://10.0.0.9:8086/"'


def on_keyturn(world: World) -> Report:
    return examine(collect(Facts(world.ask), SECRET, NOW, world.options), "http://10.0.0.9:8086")


def test_an_endpoint_that_was_not_reached_is_history_when_the_function_was_changed_since() -> None:
    world = World()
    world.fail()
    world.run(NOT_CONNECTED + TRACE)
    world.configuration["Environment"] = {"Variables": {}}
    [standing] = on_keyturn(world).causes
    world.configuration["LastModified"] = f"{ago(minutes=30):%Y-%m-%dT%H:%M:%S.000+0000}"
    report = on_keyturn(world)

    assert (standing.id, standing.title) == ("function-endpoint-wrong", "rotate-orders cannot connect to 10.0.0.9")
    assert report.causes == ()
    assert report.summary.startswith("What failed has been changed since")
    assert "function-unhandled-error" not in {finding.id for finding in report.findings}


def test_a_key_that_was_enabled_after_the_failure_is_history() -> None:
    world = World()
    world.with_key()
    world.fail()
    said = "An error occurred (DecryptionFailure) when calling the GetSecretValue operation: Secrets Manager can't"
    world.run(f"[ERROR] DecryptionFailure: {said} decrypt the protected secret text using the provided KMS key.{TRACE}")

    report = diagnosed(world)
    assert found(world, "kms-key-disabled").is_history
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.summary.startswith("What failed has been changed since")


def elsewhere() -> World:
    world = World()
    address = "https://secretsmanager.us-east-1.amazonaws.com"
    world.configuration["Environment"] = {"Variables": {"SECRETS_MANAGER_ENDPOINT": address, "API_TOKEN": "hunter2"}}
    return world


def test_on_keyturn_a_function_is_not_sent_to_aws() -> None:
    [cause] = on_keyturn(elsewhere()).causes

    assert cause.id == "function-endpoint-wrong"
    assert "amazonaws.com" not in str(cause.remedy)
    assert cause.remedy.text.startswith("Take SECRETS_MANAGER_ENDPOINT away")
    assert cause.remedy.changes == ()
    assert cause.remedy.by_hand[0].endswith("--environment 'Variables={API_TOKEN=ITS_VALUE}'")
    assert "API_TOKEN" in cause.remedy.text


def test_on_keyturn_a_function_that_asks_for_the_variable_is_given_this_servers_address() -> None:
    world = World()
    world.configuration["Environment"] = {"Variables": {"EXCLUDE_CHARACTERS": "/@"}}
    world.fail()
    world.run("[ERROR] KeyError: 'SECRETS_MANAGER_ENDPOINT'\nTraceback (most recent call last):")
    [cause] = on_keyturn(world).causes

    assert "SECRETS_MANAGER_ENDPOINT=http://10.0.0.9:8086,EXCLUDE_CHARACTERS=ITS_VALUE" in cause.remedy.by_hand[0]


def test_on_aws_it_is_the_address_of_the_secrets_region() -> None:
    [cause] = diagnosed(elsewhere()).causes

    assert "SECRETS_MANAGER_ENDPOINT=https://secretsmanager.eu-west-1.amazonaws.com" in cause.remedy.by_hand[0]


def test_of_a_long_error_the_end_is_told() -> None:
    world = World()
    world.fail()
    world.run(f"[ERROR] Strange: {'x' * 400} of the secret named last{TRACE}")

    assert "of the secret named last" in found(world, "function-unhandled-error").title
