"""The doctor on a running Keyturn: is there a rotation, when, and may Secrets Manager invoke the function?

What is asked of the command is asked of a process (``doctor``), what is asked of the diagnosis in this one (``here``).
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import Credentials, ServerProcess, wait_until
from .doctor import Doctor, DoctorHere, causes_of, rotate_well, wait_for_failure
from .test_main_job import FIVE_ACTIONS, Job


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


@pytest.fixture(scope="module")
def doctor(server: ServerProcess) -> Doctor:
    return Doctor(server)


@pytest.fixture(scope="module")
def here(server: ServerProcess) -> DoctorHere:
    return DoctorHere(server)


@pytest.fixture
def job(server: ServerProcess, postgresql: PostgresqlServer, request: pytest.FixtureRequest) -> Job:
    """A rotation that has gone well once."""
    letters = "".join(each if each.isalnum() else "_" for each in request.node.name.removeprefix("test_"))
    name = f"{letters[:30]}_{letters[-15:]}".strip("_")
    healthy = Job(server, postgresql, name)
    rotate_well(healthy)
    return healthy


def assert_healthy(here: DoctorHere, name: str) -> None:
    diagnosis = here.diagnose(name)
    wrong = [check for check in diagnosis["checks"] if check["status"] not in ("pass", "skipped")]
    assert diagnosis["verdict"] == "healthy", (diagnosis["summary"], wrong)


def rotate_again(job: Job) -> str:
    version_id: str = job.secrets.rotate_secret(SecretId=job.name)["VersionId"]
    return version_id


def test_a_healthy_rotation_is_called_healthy_in_one_line_first(doctor: Doctor, job: Job) -> None:
    done = doctor.run(job.name)

    assert done.returncode == 0, done.stdout
    first, *rest = done.stdout.splitlines()
    assert first.startswith("healthy: Nothing is wrong: every 30 days, last ")
    assert not [line for line in rest if "✗" in line or "!" in line]
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_secret_without_rotation(here: DoctorHere, server: ServerProcess) -> None:
    server.client("secretsmanager").create_secret(Name="doctor/never", SecretString="{}")

    assert here.causes("doctor/never") == ["rotation-not-configured"]


def test_rotation_switched_off_is_switched_on_by_the_printed_commands(
    doctor: Doctor, here: DoctorHere, job: Job
) -> None:
    job.secrets.cancel_rotate_secret(SecretId=job.name)

    diagnosis = doctor.diagnose(job.name)
    assert causes_of(diagnosis) == ["rotation-cancelled"]
    assert "user/administrator" in diagnosis["summary"]
    doctor.follow(job.name, "rotation-cancelled")
    wait_until(lambda: here.diagnose(job.name)["verdict"] == "healthy", "it rotates", job.server)


def test_a_secret_marked_for_deletion_is_restored(doctor: Doctor, here: DoctorHere, job: Job) -> None:
    job.secrets.delete_secret(SecretId=job.name, RecoveryWindowInDays=7)

    assert here.causes(job.name) == ["secret-marked-for-deletion"]
    doctor.fix(job.name, "secret-marked-for-deletion")
    version_id = rotate_again(job)
    wait_until(lambda: job.is_current(version_id), "it rotates", job.server)
    assert_healthy(here, job.name)


def test_a_schedule_that_was_refused_is_told(here: DoctorHere, job: Job) -> None:
    with pytest.raises(job.secrets.exceptions.InvalidParameterException):
        job.secrets.rotate_secret(SecretId=job.name, RotationRules={"ScheduleExpression": "rate(1 hours)"})

    assert here.causes(job.name) == ["schedule-expression-invalid"]
    rotate_again(job)
    wait_until(lambda: here.diagnose(job.name)["verdict"] == "healthy", "it rotates", job.server)


@pytest.mark.parametrize("way", ["fix", "command"])
def test_a_function_that_may_not_be_invoked(doctor: Doctor, here: DoctorHere, job: Job, way: str) -> None:
    job.server.client("lambda").remove_permission(FunctionName=job.name, StatementId="SecretsManagerAccess")
    # RotateSecret would be refused: it is the schedule's next rotation that fails.
    with pytest.raises(job.secrets.exceptions.ClientError, match="cannot invoke the specified Lambda function"):
        rotate_again(job)

    assert here.causes(job.name) == ["invoke-permission-missing"]
    if way == "fix":
        doctor.fix(job.name, "invoke-permission-missing")
    else:
        doctor.follow(job.name, "invoke-permission-missing")
    version_id = rotate_again(job)
    wait_until(lambda: job.is_current(version_id), "it rotates", job.server)
    assert_healthy(here, job.name)


def test_a_permission_for_another_account(doctor: Doctor, here: DoctorHere, job: Job) -> None:
    lambda_ = job.server.client("lambda")
    lambda_.remove_permission(FunctionName=job.name, StatementId="SecretsManagerAccess")
    lambda_.add_permission(
        FunctionName=job.name,
        StatementId="SecretsManagerAccess",
        Action="lambda:InvokeFunction",
        Principal="secretsmanager.amazonaws.com",
        SourceAccount="999988887777",
    )

    assert here.causes(job.name) == ["invoke-permission-condition"]
    doctor.follow(job.name, "invoke-permission-condition")
    version_id = rotate_again(job)
    wait_until(lambda: job.is_current(version_id), "it rotates", job.server)
    assert_healthy(here, job.name)


def test_a_permission_for_an_alias_that_the_secret_does_not_use(doctor: Doctor, here: DoctorHere, job: Job) -> None:
    lambda_ = job.server.client("lambda")
    lambda_.remove_permission(FunctionName=job.name, StatementId="SecretsManagerAccess")
    lambda_.create_alias(FunctionName=job.name, Name="live", FunctionVersion="$LATEST")
    lambda_.add_permission(
        FunctionName=job.name,
        Qualifier="live",
        StatementId="SecretsManagerAccess",
        Action="lambda:InvokeFunction",
        Principal="secretsmanager.amazonaws.com",
    )

    assert here.causes(job.name) == ["invoke-permission-qualifier"]
    doctor.fix(job.name, "invoke-permission-qualifier")
    version_id = rotate_again(job)
    wait_until(lambda: job.is_current(version_id), "it rotates", job.server)
    assert_healthy(here, job.name)


def test_a_function_that_is_gone(doctor: Doctor, job: Job) -> None:
    lambda_ = job.server.client("lambda")
    lambda_.delete_function(FunctionName=job.name)

    diagnosis = doctor.diagnose(job.name)
    assert causes_of(diagnosis) == ["function-missing"]
    sources = [evidence["source"] for evidence in diagnosis["findings"][0]["evidence"]]
    assert sources == ["lambda:GetFunctionConfiguration", "cloudtrail:LookupEvents"]


def test_two_independent_causes_are_both_told(here: DoctorHere, job: Job) -> None:
    job.server.client("lambda").remove_permission(FunctionName=job.name, StatementId="SecretsManagerAccess")
    job.allow([action for action in FIVE_ACTIONS if action != "PutSecretValue"])

    assert set(here.causes(job.name)) == {"invoke-permission-missing", "role-missing-secret-actions"}


def test_all_secrets_the_worst_first(doctor: Doctor, job: Job) -> None:
    job.server.client("lambda").remove_permission(FunctionName=job.name, StatementId="SecretsManagerAccess")

    done = doctor.run("--all")
    assert done.returncode == 1
    verdicts = [
        line.split()[0] for line in done.stdout.splitlines() if line.startswith(("broken", "healthy", "at-risk"))
    ]
    assert "broken" in verdicts
    assert verdicts == sorted(verdicts, key=["broken", "inconclusive", "at-risk", "healthy"].index)
    told = json.loads(doctor.run("--all", "--output", "json").stdout)
    assert job.name in [each["secret"]["name"] for each in told["secrets"] if each["verdict"] == "broken"]


def test_the_formats_for_programs_say_the_same(doctor: Doctor, job: Job) -> None:
    job.server.client("lambda").remove_permission(FunctionName=job.name, StatementId="SecretsManagerAccess")

    suites = ET.fromstring(doctor.run(job.name, "--output", "junit").stdout)
    failed = [case.get("name") for case in suites.iter("testcase") if case.find("failure") is not None]
    assert failed == ["invoke-permission-missing"]
    sarif = json.loads(doctor.run(job.name, "--output", "sarif").stdout)
    [run] = sarif["runs"]
    errors = [result["ruleId"] for result in run["results"] if result["level"] == "error"]
    assert errors == ["invoke-permission-missing"]
    assert set(errors) <= {rule["id"] for rule in run["tool"]["driver"]["rules"]}


def test_facts_are_collected_here_and_diagnosed_there(doctor: Doctor, job: Job, tmp_path: Path) -> None:
    job.server.client("lambda").remove_permission(FunctionName=job.name, StatementId="SecretsManagerAccess")
    file = tmp_path / "facts.json"

    here = doctor.diagnose(job.name, "--read-value", "--save", str(file))
    done = doctor.run("--from", str(file), "--output", "json")

    assert json.loads(done.stdout) == here
    assert done.returncode == 1
    assert file.stat().st_mode & 0o077 == 0
    saved = file.read_text()
    assert job.first_password not in saved
    assert job.password() not in saved
    assert "already" not in done.stderr
    again = doctor.run(job.name, "--save", str(file))
    assert (again.returncode, "cannot be written" in again.stderr) == (3, True)


def test_who_may_do_nothing_is_told_what_to_ask_for(doctor: Doctor, job: Job, server: ServerProcess) -> None:
    iam = server.client("iam")
    iam.create_user(UserName="blind")
    key = iam.create_access_key(UserName="blind")["AccessKey"]
    blind = Doctor(server, Credentials(key["AccessKeyId"], key["SecretAccessKey"]))

    diagnosis = blind.diagnose(job.name)
    assert diagnosis["verdict"] == "inconclusive"
    assert {check["status"] for check in diagnosis["checks"]} == {"blind"}
    assert [spot["action"] for spot in diagnosis["blind"]] == ["secretsmanager:DescribeSecret"]


@pytest.mark.parametrize("cut", ["to the secret", "for all"])
def test_the_printed_policy_is_enough_to_see_everything_and_to_change_nothing(
    doctor: Doctor, job: Job, server: ServerProcess, cut: str
) -> None:
    policy = doctor.run("policy", *([job.name] if cut == "to the secret" else []), check=True).stdout
    iam, user = server.client("iam"), f"reader-{cut.replace(' ', '-')}"
    iam.create_user(UserName=user)
    iam.put_user_policy(UserName=user, PolicyName="doctor", PolicyDocument=policy)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    reader = Doctor(server, Credentials(key["AccessKeyId"], key["SecretAccessKey"]))

    diagnosis = reader.diagnose(job.name)
    assert (diagnosis["verdict"], diagnosis["blind"]) == ("healthy", [])
    server.client("lambda").remove_permission(FunctionName=job.name, StatementId="SecretsManagerAccess")
    refused = reader.run(job.name, "--fix", "invoke-permission-missing", "--yes")
    assert refused.returncode == 1
    assert "lambda:AddPermission" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing/there"], "There is no secret nothing/there here."),
        ([], ""),
        (["--all", "--fix", "pending-empty"], "--fix mends one secret at a time"),
        (["a", "--all"], "Name one secret"),
        (["a", "--bogus"], "No such option"),
        (["a", "--from", "b"], "--from stands alone"),
        (["explain", "no-such-thing"], "There is no cause no-such-thing"),
    ],
)
def test_wrong_usage_and_secrets_that_are_not_there_have_the_status_4(
    doctor: Doctor, arguments: list[str], told: str
) -> None:
    done = doctor.run(*arguments)

    assert done.returncode == (4 if arguments else 2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_not_found_is_not_fixed(doctor: Doctor, job: Job) -> None:
    done = doctor.run(job.name, "--fix", "invoke-permission-missing", "--yes")

    assert done.returncode == 4
    assert "is not found here, so that there is nothing to fix" in done.stderr


def test_a_failure_is_told_within_the_step(doctor: Doctor, job: Job) -> None:
    job.allow([action for action in FIVE_ACTIONS if action != "GetRandomPassword"])
    rotate_again(job)
    wait_for_failure(job)

    assert doctor.run(job.name).stdout.startswith("broken: Rotation fails in createSecret: ")
