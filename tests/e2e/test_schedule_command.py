"""``keyturn schedule`` beside a running server: what is planned, why then, and in which forms."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from icalendar import Calendar

from keyturn.testing.functions import zip_package

from .conftest import Credentials, ServerProcess, run_keyturn, wait_until

# Some hours from now, whenever the tests run, so that nothing rotates meanwhile.
_HOUR = (datetime.now(UTC) + timedelta(hours=8)).hour
HOUR = _HOUR if _HOUR <= 20 else 5
RULES = {
    "prod/orders": {"AutomaticallyAfterDays": 30},
    "prod/billing": {"ScheduleExpression": f"cron(0 {HOUR} * * ? *)", "Duration": "3h"},
    "dev/x": {"ScheduleExpression": "rate(12 hours)"},
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with three secrets that rotate by three kinds of rules."""
    process = ServerProcess(tmp_path_factory.mktemp("keyturn"))
    process.start()
    lambda_, secrets = process.client("lambda"), process.client("secretsmanager")
    role = process.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    function = lambda_.create_function(
        FunctionName="rotate",
        Runtime=f"python{sys.version_info.major}.{sys.version_info.minor}",
        Role=role,
        Handler="f.handler",
        Code={"ZipFile": zip_package({"f.py": "def handler(event, context): pass\n"})},
    )["FunctionArn"]
    lambda_.add_permission(
        FunctionName="rotate",
        Principal="secretsmanager.amazonaws.com",
        Action="lambda:InvokeFunction",
        StatementId="SecretsManagerAccess",
    )
    for name, rules in RULES.items():
        secrets.create_secret(Name=name, SecretString="the marked value")
        secrets.rotate_secret(SecretId=name, RotationLambdaARN=function, RotationRules=rules, RotateImmediately=False)
    wait_until(lambda: not any(one["running"] for one in planned(process)), "the functions were tried", process)
    yield process
    assert process.stop() == 0, process.log()


def schedule(server: ServerProcess, *arguments: str, status: int = 0, **environ: str) -> str:
    done = run_keyturn("schedule", *arguments, home=server.home, check=False, environ=server.environ() | environ)
    assert done.returncode == status, done.stderr
    assert "the marked value" not in done.stdout + done.stderr
    return done.stdout if status == 0 else done.stderr


def planned(server: ServerProcess, *arguments: str) -> list[dict[str, Any]]:
    document = json.loads(schedule(server, "list", "--output", "json", *arguments))
    assert document["format"] == "keyturn.schedule/1"
    found: list[dict[str, Any]] = document["planned"]
    return found


def test_the_next_rotations_are_listed_earliest_first_inside_their_windows(server: ServerProcess) -> None:
    found = planned(server)
    assert {one["secret"]: one["rotation_rules"] for one in found} == RULES
    moments = [one["next_rotation_at"] for one in found]
    assert moments == sorted(moments)
    for one in found:
        assert one["window_opens_at"] <= one["next_rotation_at"] < one["window_closes_at"]
        assert not one["late"]
        assert one["why"].startswith("It has never rotated.")
    (monthly,) = [one for one in found if one["secret"] == "prod/orders"]
    described = server.client("secretsmanager").describe_secret(SecretId="prod/orders")
    closes_at = datetime.fromisoformat(monthly["window_closes_at"])
    assert described["NextRotationDate"] == closes_at - timedelta(seconds=1)


def test_the_group_alone_lists_in_local_time_beside_utc(server: ServerProcess) -> None:
    lines = schedule(server, TZ="Asia/Kolkata").splitlines()
    assert lines[0].split() == ["Next", "(UTC)", "Local", "In", "State", "Secret", "Window", "Rule"]
    assert len(lines) == 4
    for one, line in zip(planned(server), lines[1:], strict=True):
        at = datetime.fromisoformat(one["next_rotation_at"])
        assert line.startswith(f"{at:%Y-%m-%d %H:%M}  ")
        assert f"{at + timedelta(hours=5, minutes=30):%H:%M}" in line
        assert one["secret"] in line
    assert "Local" not in schedule(server, TZ="UTC").splitlines()[0]


def test_it_is_filtered(server: ServerProcess) -> None:
    assert {one["secret"] for one in planned(server, "--name-prefix", "prod/")} == {"prod/orders", "prod/billing"}
    assert {one["secret"] for one in planned(server, "--within", "2d")} == {"prod/billing", "dev/x"}
    after = (datetime.now(UTC) + timedelta(days=5)).isoformat()
    assert [one["secret"] for one in planned(server, "--from", after)] == ["prod/orders"]
    assert planned(server, "--function", "arn:aws:lambda:us-east-1:000000000000:function:other") == []
    assert planned(server, "--late") == []
    assert "Nothing is late." in schedule(server, "--late")
    assert len(planned(server, "--limit", "1")) == 1
    assert "There are more than these 1" in schedule(server, "--limit", "1")


def test_reasons_are_told(server: ServerProcess) -> None:
    text = " ".join(schedule(server, "list", "--why", "--name-prefix", "prod/billing").split())
    assert f"Of the hours from {HOUR:02}:00 to {HOUR + 3:02}:00 chance drew " in text
    assert "It drew minute " in text


def test_a_calendar_and_histograms_count_the_same(server: ServerProcess) -> None:
    found = planned(server)
    month = found[-1]["next_rotation_at"][:7]
    days = json.loads(schedule(server, "calendar", "--month", month, "--output", "json"))["planned"]
    assert sum(days.values()) == len([one for one in found if one["next_rotation_at"].startswith(month)])
    assert days[found[-1]["next_rotation_at"][:10]] >= 1
    assert "Next rotation" in schedule(server, "calendar", "--month", month)
    for by, slots in (("hour", 24), ("minute", 60)):
        spread = json.loads(schedule(server, "histogram", "--by", by, "--output", "json"))["planned"]
        assert (len(spread), sum(spread)) == (slots, len(found))
    assert "Next rotations of 3 secrets" in schedule(server, "histogram")
    assert "--month soon is no month" in schedule(server, "calendar", "--month", "soon", status=1)


def test_a_feed_has_an_event_for_each_secret(server: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "rotations.ics"
    assert schedule(server, "ics", "--file", str(file)) == ""
    events: list[Any] = Calendar.from_ical(file.read_bytes()).walk("VEVENT")
    found = planned(server)
    assert [str(event["SUMMARY"]) for event in events] == [f"Rotation of {one['secret']}" for one in found]
    for event, one in zip(events, found, strict=True):
        moment = datetime.fromisoformat(one["next_rotation_at"]).replace(microsecond=0)
        assert event["DTSTART"].dt == moment
        assert moment.tzinfo is not None
    assert "BEGIN:VEVENT" in schedule(server, "ics")
    assert "cannot be written" in schedule(server, "ics", "--file", str(tmp_path / "no" / "where"), status=1)


def test_whoever_lacks_the_permission_is_refused(server: ServerProcess) -> None:
    iam = server.client("iam")
    iam.create_user(UserName="reader")
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"}],
    }
    iam.put_user_policy(UserName="reader", PolicyName="p", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    reader = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    said = schedule(
        server,
        status=1,
        AWS_ACCESS_KEY_ID=reader.access_key_id,
        AWS_SECRET_ACCESS_KEY=reader.secret_access_key,
    )
    assert "is not authorized to perform: keyturn:ListPlannedRotations" in said


def test_a_secret_whose_rotation_was_switched_off_is_listed_with_its_state(server: ServerProcess) -> None:
    server.client("secretsmanager").cancel_rotate_secret(SecretId="dev/x")

    found = {one["secret"]: (one["state"], one["next_rotation_at"]) for one in planned(server)}

    assert found["dev/x"] == ("off", None)
    assert {state for name, (state, _) in found.items() if name != "dev/x"} == {"planned"}
    assert [one["secret"] for one in planned(server, "--state", "off", "--state", "parked")] == ["dev/x"]
    (head, line) = schedule(server, "--state", "off", COLUMNS="80").splitlines()
    assert line.split()[:4] == ["–", "off", "dev/x", "rate(12"], head
    assert "There is no such secret." in schedule(server, "--state", "running")


def test_a_preview_needs_no_server(tmp_path: Path) -> None:
    done = run_keyturn("schedule", "preview", "cron(0 16 1,15 * ? *)", "--count", "2", home=tmp_path)
    assert "Every 15.2 days on average; 14 days at least, 17 days at most." in done.stdout
    refused = run_keyturn("schedule", "preview", "cron(30 16 * * ? *)", home=tmp_path, check=False)
    assert refused.returncode == 1
    assert "RotateSecret would refuse this schedule." in refused.stderr
    assert "The minutes of a cron expression must be 0." in refused.stderr
