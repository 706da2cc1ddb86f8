"""One rotation as a story: what a person reads of it, on a real PostgreSQL, whatever became of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from keyturn.testing.functions import zip_package
from keyturn.testing.postgresql import PostgresqlServer

from .callers import Caller, allow
from .conftest import DEADLINE_SECONDS, Credentials, ServerProcess, wait_until
from .rotation_function import create_rotation_function
from .test_main_job import FIVE_ACTIONS, Job

ACTIONS = [f"secretsmanager:{action}" for action in FIVE_ACTIONS]
MASKED = "***"
# Prints what it rotates, as no function should.
TALKATIVE = """
import logging
import boto3

def lambda_handler(event, context):
    client, secret, token = boto3.client("secretsmanager"), event["SecretId"], event["ClientRequestToken"]
    logging.getLogger().warning("it was %s", client.get_secret_value(SecretId=secret)["SecretString"])
    if event["Step"] == "createSecret":
        client.put_secret_value(
            SecretId=secret, ClientRequestToken=token, SecretString="canary-of-tomorrow", VersionStages=["AWSPENDING"]
        )
        print("it will be canary-of-tomorrow, says ASIAABCDEFGHIJKLMNOP")
    else:
        raise ValueError("canary-of-tomorrow is no good")
"""


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


def keyturn(
    server: ServerProcess, *arguments: str, width: int = 80, who: Credentials | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command on a screen of some width."""
    return subprocess.run(
        [sys.executable, "-m", "keyturn.cli.main", "rotation", *arguments],
        env={**server.environ(who), "COLUMNS": str(width)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS * 2,
    )


def shown(server: ServerProcess, *arguments: str, width: int = 80) -> str:
    done = keyturn(server, "show", *arguments, width=width)
    assert done.returncode == 0, done.stderr
    return done.stdout


def story(text: str) -> list[str]:
    """What the timeline of a printed rotation says, without the times; further lines belong to the one before."""
    told: list[str] = []
    for line in text.partition("Timeline\n")[2].partition("\n\nW")[0].splitlines()[1:]:
        if re.match(r"\d\d:\d\d:\d\d\.\d{3}  ", line):
            told.append(line[14:].strip())
        else:
            told[-1] += f" {line.strip()}"
    return [re.sub(r"\((?:[\d.]+ (?:ms|s))\)", "(…)", line) for line in told]


def timeline(server: ServerProcess, secret: str, who: Credentials | None = None) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = server.client("keyturn", who).get_rotation(SecretId=secret)["Timeline"]
    return entries


def has_succeeded(server: ServerProcess, secret: str, version_id: str) -> bool:
    found = server.client("keyturn").get_rotation(SecretId=secret, VersionId=version_id)
    return bool(found["Rotation"]["Status"] == "succeeded")


def stuck(server: ServerProcess, postgresql: PostgresqlServer, name: str) -> Job:
    """A secret whose password somebody has changed in the database: its rotations fail in setSecret."""
    job = Job(server, postgresql, name)
    postgresql.run(f"ALTER ROLE {name} PASSWORD 'changed-behind-our-back'")
    return job


def wait_for_pause(job: Job, server: ServerProcess) -> None:
    """Wait until an attempt has failed, and the next one has not begun."""
    wait_for_failure(job, server)
    client = server.client("keyturn")
    wait_until(lambda: client.get_rotation(SecretId=job.name)["Rotation"]["Status"] == "pending", "a pause", server)


def wait_for_failure(job: Job, server: ServerProcess) -> None:
    wait_until(lambda: job.events("RotationFailed"), "the failure", server)


@pytest.fixture(scope="module")
def fine(server: ServerProcess, postgresql: PostgresqlServer) -> Job:
    """A secret that was rotated once; those who use it only look."""
    job = Job(server, postgresql, "fine")
    version_id = job.rotate()
    wait_until(partial(has_succeeded, server, "fine", version_id), "the rotation", server)
    return job


def test_a_rotation_that_succeeds_reads_like_a_story(server: ServerProcess, fine: Job) -> None:
    before = fine.secret["VersionId"]
    [after] = fine.stages().keys() - {before}

    text = shown(server, "fine")

    refused = 'host 127.0.0.1: password authentication failed for user "fine"'
    old, new, arn = f"{before[:8]}…", f"{after[:8]}…", fine.secret["ARN"]
    stored = f"a value was stored in {new} (AWSPENDING), by the function"
    put = f"INFO createSecret: Successfully put secret for ARN {arn} and version {after}."
    moved = f"AWSCURRENT moved from {old} to {new}, by the function"
    promoted = f"INFO setSecret: Successfully set AWSCURRENT stage to version {after} for secret {arn}."
    told = [
        f"user/administrator asked for the rotation to version {new}",
        "▸ createSecret began",
        "INFO Found credentials in environment variables.",
        put,
        "✓ createSecret succeeded (…)",
        "▸ setSecret began",
        f"INFO setSecret: AWSPENDING (version {after}) does not log in yet: {refused}",
        f"INFO setSecret: Successfully set password for user fine in PostgreSQL DB for secret arn {arn}.",
        f"INFO setSecret: Successfully signed into PostgreSQL DB with AWSPENDING secret in {arn}.",
        promoted,
        "✓ setSecret succeeded (…)",
        "▸ testSecret began",
        f"INFO Secret version {after} already set as AWSCURRENT for secret {arn}.",
        "✓ testSecret succeeded (…)",
        "▸ finishSecret began",
        f"INFO Secret version {after} already set as AWSCURRENT for secret {arn}.",
        "✓ finishSecret succeeded (…)",
        "The rotation has succeeded",
    ]
    lines = [line.replace(" ", "") for line in story(text)]
    stored, put, moved, promoted, *told = (line.replace(" ", "") for line in (stored, put, moved, promoted, *told))
    assert [line for line in lines if line not in (stored, moved)] == told
    # A line has the time at which its server read it: a call may overtake the line before it, never the line after it.
    assert lines.index("▸createSecretbegan") < lines.index(stored) < lines.index(put)
    assert lines.index("▸setSecretbegan") < lines.index(moved) < lines.index(promoted)
    assert text.startswith(f"fine: rotation to version {after}\n\n  status    succeeded\n")
    assert re.search(r"\n1 of 5 +\d\d:\d\d:\d\d +✓ [\d.]+ m?s +✓ [\d.]+ m?s +✓ [\d.]+ m?s +✓ [\d.]+ m?s *\n", text)
    assert f"\n  version   {before}  AWSPREVIOUS\n" in text
    assert "What next" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert [entry["At"] for entry in timeline(server, "fine")] == sorted(e["At"] for e in timeline(server, "fine"))


def test_who_wants_every_detail_gets_calls_and_the_lines_of_the_runtime(server: ServerProcess, fine: Job) -> None:
    brief, text = shown(server, "fine", width=120), shown(server, "fine", "-v", width=120)

    assert max(map(len, text.splitlines())) <= 120
    for detail in ("GetSecretValue (AWSCURRENT) by the function", "START RequestId: ", "GetRandomPassword"):
        assert detail in text
        assert detail not in brief


def test_a_wrong_password_is_told_where_it_was_noticed(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    job = stuck(server, postgresql, "wrong")
    version_id = job.rotate()
    wait_for_failure(job, server)

    text = shown(server, "wrong")
    lines = story(text)

    failed = next(line for line in lines if line.startswith("✗ setSecret"))
    assert failed == "✗ setSecret failed (…)"
    why = lines[lines.index(failed) - 1].replace(" ", "")
    assert why.startswith("[ERROR]AuthenticationFailed:Thedatabaserefusesallstoredpasswordsofuserwrong.")
    assert "Traceback" not in text
    assert "Traceback" in shown(server, "wrong", "--verbose")
    # The next attempt begins after some seconds.
    assert re.search(r"\n  status    (pending: attempt [2-5] of 5 begins at|running: attempt [2-5] of 5, )", text)
    assert "\n  cause     AuthenticationFailed\n  error     setSecret step: AuthenticationFailed: " in text
    assert re.search(r"\n  keyturn rotation (retry wrong --wait|show wrong)\n", text)
    assert re.search(r"\n {18}\(-v shows the traceback, \d+ lines\)\n", text)
    head, line, _, why, *_ = keyturn(server, "list", "wrong").stdout.splitlines()
    assert head.split() == ["began", "(UTC)", "version", "rotation", "took"]
    assert re.match(rf"[\d:\- ]+  {version_id}  (?:pending|running)$", line)
    assert why.startswith("  setSecret step: AuthenticationFailed: ")
    # What the database said, and that asking again is of no use.
    wait_for_pause(job, server)
    text = shown(server, "wrong", "--version-id", version_id[:8])
    assert re.search(r"\n  password  every version was refused at [\d: -]+ UTC\n", text)
    assert "\n  database  AWSPENDING refused, AWSCURRENT refused (of labels as they were at" in text
    assert "✗ probeSecret was answered: pending refused, current refused (…)" in story(text)
    assert re.search(r"\n  aws secretsmanager put-secret-value --secret-id wrong ", text)
    assert "keyturn rotation resolve" not in text


def test_a_refusal_by_another_secret_comes_with_the_command_that_explains_it(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    value = json.dumps({**postgresql.superuser_value(), "ssl": False})
    superuser = server.client("secretsmanager").create_secret(Name="superuser", SecretString=value)["ARN"]
    job = Job(server, postgresql, "refused", strategy="alternating_users", more={"masterarn": superuser})
    statement = {"Effect": "Allow", "Action": ACTIONS, "Resource": job.secret["ARN"]}
    random = {"Effect": "Allow", "Action": "secretsmanager:GetRandomPassword", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement, random]})
    server.client("iam").put_role_policy(RoleName="refused", PolicyName="rotate", PolicyDocument=document)
    job.rotate()
    wait_for_failure(job, server)

    text = shown(server, "refused")

    (command, *_) = re.findall(r"^ {2}(keyturn audit explain [0-9a-f-]{36})$", text, re.MULTILINE)
    told = next(line for line in story(text) if line.startswith("✗ GetSecretValue")).replace(" ", "")
    who = f"User:arn:aws:sts::{server.account_id}:assumed-role/refused/refused"
    assert told.startswith(f"✗GetSecretValue(AWSCURRENT)bythefunctionon{superuser}wasdenied:{who}isnotauthorized")
    assert re.search(r"keyturnauditexplain[0-9a-f-]{36}$", told)
    # What the refusal says, the log need not say again.
    assert not [line for line in story(text) if line.startswith("[ERROR]")]
    explained = subprocess.run(
        [sys.executable, "-m", "keyturn.cli.main", *command.split()[1:]],
        env=server.environ(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    assert "GetSecretValue was refused at" in explained.stdout, explained.stderr


def test_a_rotation_ended_by_hand_says_by_whom(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    job = stuck(server, postgresql, "byhand")
    version_id = job.rotate()
    wait_for_pause(job, server)
    job.secrets.update_secret_version_stage(
        SecretId="byhand", VersionStage="AWSPENDING", RemoveFromVersionId=version_id
    )
    wait_until(lambda: job.events("RotationAbandoned"), "the end", server)

    text = shown(server, "byhand", "--version-id", version_id, "--kind", "rotation")

    assert "\n  status    abandoned\n" in text
    moved, ended = story(text)[-2:]
    assert moved == f"AWSPENDING was taken off {version_id[:8]}…, by user/administrator"
    assert ended.startswith("The rotation was abandoned: ")
    assert "  keyturn rotate byhand\n" in text
    assert "keyturn rotation retry" not in text


def test_one_that_was_cancelled_says_by_whom_and_beside_it_what_had_failed(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    job = stuck(server, postgresql, "ended")
    version_id = job.rotate()
    wait_for_pause(job, server)
    job.secrets.cancel_rotate_secret(SecretId="ended")

    text = shown(server, "ended", "--version-id", version_id, "--kind", "rotation")

    assert re.search(r"\n  status    cancelled by user/administrator at [\d: -]+ UTC\n  reason    Rotation was", text)
    assert "\n  last try  AuthenticationFailed: " in text
    assert "\n  cause " not in text
    assert story(text)[-1] == "The rotation was cancelled by user/administrator"


def test_a_ticket_has_all_of_it_and_no_secret(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    job = stuck(server, postgresql, "ticket")
    job.rotate()
    wait_for_failure(job, server)

    text = shown(server, "ticket", "--output", "markdown")

    assert text.startswith("## `ticket: rotation to version ")
    for part in ("| status | `", "### Attempts", "### Timeline", "```text\n", "### What next", "✗ setSecret"):
        assert part in text
    assert not re.search(r"\bA[KS]IA[A-Z0-9]{16}\b", text)
    assert "\x1b" not in text


def test_programs_get_the_same(server: ServerProcess, fine: Job) -> None:
    document = json.loads(shown(server, "fine", "--output", "json"))

    assert document["format"] == "keyturn.rotation/1"
    assert document["rotation"]["status"] == "succeeded"
    assert [step["outcome"] for step in document["steps"]] == ["succeeded"] * 4
    assert document["timeline"][0]["kind"] == "event"


def test_retrying_follows_the_same_rotation_to_its_end(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    job = Job(server, postgresql, "again")
    changed = job.secrets.put_secret_value(
        SecretId="again", SecretString=job.secrets.get_secret_value(SecretId="again")["SecretString"]
    )
    postgresql.run("ALTER ROLE again PASSWORD 'changed-behind-our-back'")
    version_id = job.rotate()
    wait_for_pause(job, server)
    postgresql.run(f"ALTER ROLE again PASSWORD '{job.first_password}'")

    done = keyturn(server, "retry", "again", "--wait")

    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.startswith(f"Retrying the rotation of again to {version_id}\n")
    assert done.stdout.endswith("Rotated.\n")
    assert job.is_current(version_id)
    lines = story(shown(server, "again"))
    by = "Before this rotation the value was changed by hand, by user/administrator: version"
    assert lines[0] == f"{by} {changed['VersionId'][:8]}…"
    assert "user/administrator retried the rotation: it is due at once, with a fresh set of attempts" in lines
    assert re.search(r"\nretried +\d\d:\d\d:\d\d", shown(server, "again"))
    refused = keyturn(server, "retry", "again")
    assert refused.returncode == 1
    assert "There is no unfinished rotation of this secret." in refused.stderr


def test_a_password_set_back_in_the_database_is_found_and_the_label_goes_back(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    job = Job(server, postgresql, "restored")
    before, after = job.secret["VersionId"], job.rotate()
    wait_until(lambda: job.is_current(after), "the rotation", server)
    postgresql.run(f"ALTER ROLE restored PASSWORD '{job.first_password}'")

    done = keyturn(server, "resolve", "restored", "--yes")

    assert done.returncode == 0, done.stderr + done.stdout
    found, _, changed = done.stdout.partition("The rotation function is to log in")
    assert [line.split() for line in found.splitlines()[1:4]] == [
        ["AWSPENDING", after], ["AWSCURRENT", after], ["AWSPREVIOUS", before]
    ]  # fmt: skip
    assert "\nThe database accepts the previous version only: AWSCURRENT was moved back to it\n" in changed
    assert "The labels are in line with the database." in changed
    assert [line.split() for line in changed.splitlines()[-3:]] == [
        ["AWSPENDING", "–", "moved"], ["AWSCURRENT", before, "moved"], ["AWSPREVIOUS", after, "moved"]
    ]  # fmt: skip
    assert job.accepts(job.password())
    text = shown(server, "restored")
    assert text.startswith(f"restored: resolution of version {after}\n\n  status    resolved\n")
    assert "▸ probeSecret began" in text
    assert story(shown(server, "restored", "--version-id", after, "--kind", "rotation"))[-1] == (
        "The rotation has succeeded"
    )


def test_who_does_not_want_to_resolve_changes_nothing(server: ServerProcess, fine: Job) -> None:
    client = server.client("keyturn")
    before = client.list_rotations(SecretId="fine")["Rotations"]

    done = subprocess.run(
        [sys.executable, "-m", "keyturn.cli.main", "rotation", "resolve", "fine"],
        env=server.environ(),
        input="n\n",
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )

    assert done.returncode == 1
    assert "Ask the database now? [y/N]" in done.stdout
    assert client.list_rotations(SecretId="fine")["Rotations"] == before


def test_a_database_that_refuses_everything_is_told(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    job = stuck(server, postgresql, "locked")
    job.rotate()
    wait_for_pause(job, server)

    done = keyturn(server, "resolve", "locked", "--yes")

    assert done.returncode == 1, done.stdout
    assert "The database refuses every version that is stored: no label would help" in done.stdout
    assert "Not resolved: The database refuses every version that is stored." in done.stdout
    # The rotation that waited has lost nothing.
    assert re.search(r"\nThe rotation that waited goes on: (pending|running): attempt \d of 5", done.stdout)
    assert "aws secretsmanager put-secret-value --secret-id locked " in done.stdout
    listed = server.client("keyturn").list_rotations(SecretId="locked")["Rotations"]
    assert (listed[0]["Kind"], listed[0]["Status"]) == ("resolution", "failed")
    assert listed[1]["Status"] in ("pending", "running")


def test_rotations_are_listed_newest_first_page_by_page(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    client = server.client("keyturn")
    job = Job(server, postgresql, "often")
    for _ in range(3):
        version_id = job.rotate()
        wait_until(partial(has_succeeded, server, "often", version_id), "another rotation", server)

    first = client.list_rotations(SecretId="often", MaxResults=2)
    rest = client.list_rotations(SecretId="often", MaxResults=2, NextToken=first["NextToken"])

    assert first["Rotations"][0]["VersionId"] == version_id
    assert "NextToken" not in rest
    began = [rotation["RequestedAt"] for rotation in [*first["Rotations"], *rest["Rotations"]]]
    assert len(began) == 3
    assert began == sorted(began, reverse=True)
    listed = keyturn(server, "list", "often", "--limit", "2").stdout
    assert [line.split()[3] for line in listed.splitlines()[1:]] == ["succeeded"] * 2


def test_nobody_sees_more_in_a_timeline_than_where_it_is_kept(server: ServerProcess, fine: Job) -> None:
    caller = Caller(server, "user", "curious")
    rotation = allow("keyturn:GetRotation")
    log = f"arn:aws:logs:{server.region}:{server.account_id}:log-group:/aws/lambda/fine:*"
    told = {"step-started", "step-ended", "event"}

    for statements, kinds, notes in (
        ([], told, ["cloudtrail:LookupEvents", "logs:GetLogEvents"]),
        ([allow("logs:GetLogEvents", log)], {*told, "log"}, ["cloudtrail:LookupEvents"]),
        ([allow("cloudtrail:LookupEvents")], {*told, "call", "label"}, ["logs:GetLogEvents"]),
        ([allow(["cloudtrail:LookupEvents", "logs:GetLogEvents"])], {*told, "call", "label", "log"}, []),
    ):
        caller.may(rotation, *statements)
        entries = timeline(server, "fine", caller.credentials)
        noted = [entry["Message"] for entry in entries if entry["Kind"] == "note"]
        assert {entry["Kind"] for entry in entries} - {"note"} == kinds
        assert len(noted) == len(notes)
        assert all(permission in note for permission, note in zip(notes, noted, strict=True))
        if "call" not in kinds:
            assert not [entry for entry in entries if "EventId" in entry]


def test_another_account_that_may_ask_sees_steps_and_nothing_of_log_and_trail(server: ServerProcess, fine: Job) -> None:
    other = server.create_account("onlooker")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": other.account_id},
        "Action": "keyturn:GetRotation",
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    server.client("secretsmanager").put_resource_policy(SecretId="fine", ResourcePolicy=policy)
    arn = server.client("secretsmanager").describe_secret(SecretId="fine")["ARN"]

    entries = timeline(server, arn, other.admin)

    assert {entry["Kind"] for entry in entries} == {"note", "event", "step-started", "step-ended"}
    assert "administrator" not in json.dumps(entries, default=str)


def test_what_a_function_logs_of_secret_values_is_masked(server: ServerProcess) -> None:
    iam, functions, secrets = (server.client(name) for name in ("iam", "lambda", "secretsmanager"))
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName="talkative",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ACTIONS, "Resource": "*"}]}
    iam.put_role_policy(RoleName="talkative", PolicyName="rotate", PolicyDocument=json.dumps(policy))
    function = functions.create_function(
        FunctionName="talkative",
        Runtime=f"python3.{sys.version_info.minor}",
        Role=role,
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": zip_package({"lambda_function.py": TALKATIVE})},
        Timeout=30,
    )["FunctionArn"]
    functions.add_permission(
        FunctionName="talkative",
        Principal="secretsmanager.amazonaws.com",
        Action="lambda:InvokeFunction",
        StatementId="SecretsManagerAccess",
    )
    secrets.create_secret(Name="talkative", SecretString=json.dumps({"password": "canary-of-today"}))
    secrets.rotate_secret(SecretId="talkative", RotationLambdaARN=function)
    wait_until(
        lambda: [
            e for e in timeline(server, "talkative") if e.get("Step") == "setSecret" and e["Kind"] == "step-ended"
        ],
        "a failure in setSecret",
        server,
    )

    printed = [shown(server, "talkative", "-v", "--output", output) for output in ("text", "json", "markdown")]
    log = server.client("logs").filter_log_events(logGroupName="/aws/lambda/talkative")["events"]

    assert "canary-of-today" in json.dumps(log)
    assert "canary-of-tomorrow" in json.dumps(log)
    for text in printed:
        assert "canary" not in text
        assert "ASIAABCDEFGHIJKLMNOP" not in text
        assert f"it will be {MASKED}, says {MASKED}" in text
        assert f"{MASKED} is no good" in text


def rotating(server: ServerProcess) -> subprocess.Popen[str]:
    """Begin to rotate a secret, and watch."""
    command = [sys.executable, "-m", "keyturn.cli.main", "rotate", "watched"]
    return subprocess.Popen(command, env=server.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_whoever_watches_is_told_when_the_next_attempt_begins_and_what_becomes_of_it_without_a_server(
    own_server: ServerProcess,
) -> None:
    own_server.start()
    arn, secrets, keyturn = (
        create_rotation_function(own_server), own_server.client("secretsmanager"), own_server.client("keyturn")
    )  # fmt: skip
    broken = zip_package({"lambda_function.py": "def lambda_handler(event, context): raise LookupError(event['Step'])"})
    slow = zip_package({"lambda_function.py": "import time\ndef lambda_handler(event, context): time.sleep(25)"})
    secrets.create_secret(Name="watched", SecretString="value")
    own_server.client("lambda").update_function_code(FunctionName=arn, ZipFile=broken)
    secrets.rotate_secret(SecretId="watched", RotationLambdaARN=arn)
    wait_until(
        lambda: keyturn.get_rotation(SecretId="watched")["Rotation"]["Status"] == "pending", "a failure", own_server
    )

    with rotating(own_server) as watching:
        said, _ = watching.communicate(timeout=DEADLINE_SECONDS)

    assert watching.returncode == 1, said
    assert re.search(
        r"\nNow pending: attempt [2-5] of 5 begins at [\d: -]+ UTC\n  keyturn rotation show watched\n", said
    )

    own_server.client("lambda").update_function_code(FunctionName=arn, ZipFile=slow)
    with rotating(own_server) as watching:
        wait_until(
            lambda: keyturn.get_rotation(SecretId="watched")["Rotation"]["Status"] == "running", "a step", own_server
        )
        # It has begun to watch.
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("Rotating watched to version ")
        own_server.kill()
        _, told = watching.communicate(timeout=DEADLINE_SECONDS)

    assert watching.returncode == 3, told
    assert "error: The server does not answer any more: " in told
    assert "hint: The rotation goes on by itself, from the step it was in, when the server is back.\n" in told
    assert "hint: keyturn rotation show watched shows how far it is.\n" in told
