"""The guide's chapter "I get access denied when trying to configure rotation for my secret", by the AWS CLI."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from keyturn.testing.functions import zip_package
from keyturn.testing.postgresql import PostgresqlServer

from .conftest import ServerProcess, wait_until
from .guide import Guide
from .test_main_job import RUNTIME, STEPS, TRUST, Job

REFUSED = (
    "An error occurred (AccessDeniedException) when calling the RotateSecret operation: Secrets Manager cannot invoke"
    " the specified Lambda function. Ensure that the function policy grants access to the principal"
    " secretsmanager.amazonaws.com."
)
FAILING = "def lambda_handler(event, context):\n    raise ValueError('not today')\n"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


@pytest.fixture(scope="module")
def guide(server: ServerProcess) -> Guide:
    return Guide.on(server)


@pytest.fixture(scope="module")
def role(server: ServerProcess) -> str:
    made = server.client("iam").create_role(RoleName="failing", AssumeRolePolicyDocument=json.dumps(TRUST))
    arn: str = made["Role"]["Arn"]
    return arn


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return "".join(character for character in request.node.name if character.isalnum())[-60:]


@pytest.fixture
def function(server: ServerProcess, role: str, name: str) -> str:
    """A function that fails whenever it is invoked, and that nobody may invoke yet."""
    made = server.client("lambda").create_function(
        FunctionName=name,
        Runtime=RUNTIME,
        Role=role,
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": zip_package({"lambda_function.py": FAILING})},
    )
    arn: str = made["FunctionArn"]
    return arn


@pytest.fixture
def secret(server: ServerProcess, name: str) -> str:
    arn: str = server.client("secretsmanager").create_secret(Name=name, SecretString="s")["ARN"]
    return arn


def everything_known(guide: Guide, server: ServerProcess, secret: str) -> dict[str, Any]:
    with closing(sqlite3.connect(f"file:{server.data_dir / 'keyturn.db'}?mode=ro", uri=True)) as database:
        rotations = database.execute("select count(*) from rotations").fetchone()
    return {
        "described": guide("secretsmanager", "describe-secret", "--secret-id", secret),
        "versions": guide("secretsmanager", "list-secret-version-ids", "--secret-id", secret, "--include-deprecated"),
        "rotations": rotations,
    }


def test_the_guides_command_lets_a_rotation_begin_that_was_refused_and_left_no_trace(
    server: ServerProcess, postgresql: PostgresqlServer, guide: Guide
) -> None:
    job = Job(server, postgresql, "guided", may_be_invoked=False)
    before = everything_known(guide, server, "guided")
    assert guide.rotation_refused("guided", job.function) == REFUSED
    assert everything_known(guide, server, "guided") == before
    assert "RotationEnabled" not in before["described"]
    [event] = guide.trail("RotateSecret", job.secret["ARN"])
    assert (event["errorCode"], event["errorMessage"]) == ("AccessDenied", REFUSED.partition("operation: ")[2])

    added = guide.add_permission(job.function)
    assert added.returncode == 0, added.stderr
    assert json.loads(json.loads(added.stdout)["Statement"]) == {
        "Sid": "SecretsManagerAccess",
        "Effect": "Allow",
        "Principal": {"Service": "secretsmanager.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": job.function,
    }
    version_id = guide.rotate("guided", job.function)["VersionId"]
    wait_until(lambda: job.is_current(version_id), "the rotation", server)
    assert job.accepts(job.password())
    assert not job.accepts(job.first_password)


def test_a_function_that_does_not_exist_is_refused_in_the_same_words(
    server: ServerProcess, guide: Guide, secret: str
) -> None:
    nobody = f"arn:aws:lambda:{server.region}:{server.account_id}:function:nobody"
    assert guide.rotation_refused(secret, nobody) == REFUSED


# What stands for the secret, its account and its region in the table below.
@pytest.mark.parametrize(
    ("conditions", "works"),
    [
        ({"--source-account": "{account}"}, True),
        ({"--source-account": "111111111111"}, False),
        ({"--source-arn": "{secret}"}, True),
        ({"--source-arn": "arn:aws:secretsmanager:{region}:{account}:secret:other-AbCdEf"}, False),
        ({"--source-arn": "arn:aws:secretsmanager:{region}:{account}:secret:{name}-??????"}, True),
        ({"--source-arn": "arn:aws:secretsmanager:{region}:{account}:secret:*"}, True),
        ({"--source-arn": "arn:aws:secretsmanager:{region}:111111111111:secret:*"}, False),
        ({"--source-arn": "arn:aws:secretsmanager:eu-west-3:{account}:secret:*"}, False),
        ({"--source-arn": "{function}"}, False),
        ({"--source-account": "{account}", "--source-arn": "{secret}"}, True),
        ({"--source-account": "111111111111", "--source-arn": "{secret}"}, False),
        ({"--principal-org-id": "o-a1b2c3d4e5"}, False),
    ],
)
def test_conditions_are_asked_about_the_secret(
    server: ServerProcess, guide: Guide, secret: str, function: str, name: str, conditions: dict[str, str], works: bool
) -> None:
    known = {
        "account": server.account_id, "region": server.region, "secret": secret, "function": function, "name": name
    }  # fmt: skip
    options = [part for option, value in conditions.items() for part in (option, value.format(**known))]
    added = guide.add_permission(function, *options)
    assert added.returncode == 0, added.stderr
    assert "Condition" in json.loads(json.loads(added.stdout)["Statement"])
    if works:
        assert guide.rotate(secret, function)["ARN"] == secret
    else:
        assert guide.rotation_refused(secret, function) == REFUSED


@pytest.mark.parametrize(
    "statement",
    [
        ("--principal", "lambda.amazonaws.com", "--action", "lambda:InvokeFunction"),
        ("--principal", "secretsmanager.amazonaws.com", "--action", "lambda:GetFunction"),
        ("--principal", "{account}", "--action", "lambda:InvokeFunction"),
    ],
)
def test_another_statement_does_not_help(
    server: ServerProcess, guide: Guide, secret: str, function: str, statement: tuple[str, ...]
) -> None:
    filled = [part.format(account=server.account_id) for part in statement]
    guide("lambda", "add-permission", "--function-name", function, "--statement-id", "s", *filled)
    assert guide.rotation_refused(secret, function) == REFUSED


def test_the_same_command_twice_is_a_conflict_and_another_id_none(guide: Guide, function: str) -> None:
    assert guide.add_permission(function).returncode == 0
    assert guide.add_permission(function).stderr.strip() == (
        "An error occurred (ResourceConflictException) when calling the AddPermission operation: The statement id"
        " (SecretsManagerAccess) provided already exists. Please provide a new statement id, or remove the existing"
        " statement."
    )
    guide(
        "lambda", "add-permission", "--function-name", function, "--principal", "secretsmanager.amazonaws.com",
        "--action", "lambda:InvokeFunction", "--statement-id", "Again",
    )  # fmt: skip
    policy = json.loads(guide("lambda", "get-policy", "--function-name", function)["Policy"])
    assert [statement["Sid"] for statement in policy["Statement"]] == ["SecretsManagerAccess", "Again"]


def test_a_rotation_under_way_ends_when_the_permission_is_taken_away(
    server: ServerProcess, guide: Guide, secret: str, function: str
) -> None:
    guide.add_permission(function)
    guide.rotate(secret, function)
    guide.wait_for("RotationFailed", secret, server)
    guide("lambda", "remove-permission", "--function-name", function, "--statement-id", "SecretsManagerAccess")

    def refused() -> list[str]:
        told = [event.get("errorMessage", "") for event in guide.trail("Invoke", secret)]
        return [message for message in told if "does not let secretsmanager.amazonaws.com invoke it" in message]

    wait_until(refused, "an attempt that could not invoke the function", server)
    failed = guide.trail("RotationFailed", secret)[-1]
    assert failed["errorMessage"] == f"Error when executing lambda {function} during createSecret step"
    assert guide.rotation_refused(secret, function) == REFUSED


def test_a_qualifier_has_a_policy_of_its_own_and_leads_to_its_version(
    server: ServerProcess, postgresql: PostgresqlServer, guide: Guide
) -> None:
    job = Job(server, postgresql, "qualified")
    on_function = ("--function-name", job.function)
    assert guide("lambda", "publish-version", *on_function)["Version"] == "1"
    alias = guide("lambda", "create-alias", *on_function, "--name", "live", "--function-version", "1")["AliasArn"]
    assert alias == f"{job.function}:live"

    # What the function as a whole allows does not count for its other names.
    assert guide.rotation_refused("qualified", alias) == REFUSED
    assert guide.rotation_refused("qualified", f"{job.function}:1") == REFUSED
    assert guide.rotation_refused("qualified", f"{job.function}:$LATEST") == REFUSED
    assert guide.add_permission(job.function, "--qualifier", "$LATEST").stderr.strip() == (
        "An error occurred (InvalidParameterValueException) when calling the AddPermission operation: We currently do"
        " not support adding policies for $LATEST."
    )
    assert guide.add_permission(job.function, "--qualifier", "test").stderr.strip() == (
        "An error occurred (ResourceNotFoundException) when calling the AddPermission operation: Cannot find alias arn:"
        f" {job.function}:test"
    )
    added = guide.add_permission(job.function, "--qualifier", "live")
    assert json.loads(json.loads(added.stdout)["Statement"])["Resource"] == alias

    first = guide.rotate("qualified", alias)["VersionId"]
    wait_until(lambda: job.is_current(first), "the first rotation", server)
    assert guide("secretsmanager", "describe-secret", "--secret-id", "qualified")["RotationLambdaARN"] == alias

    guide("lambda", "update-function-configuration", *on_function, "--description", "second")
    assert guide("lambda", "publish-version", *on_function)["Version"] == "2"
    guide("lambda", "update-alias", *on_function, "--name", "live", "--function-version", "2")
    second = guide("secretsmanager", "rotate-secret", "--secret-id", "qualified")["VersionId"]
    wait_until(lambda: job.is_current(second), "the second rotation", server)
    assert job.accepts(job.password())

    streams = guide("logs", "describe-log-streams", "--log-group-name", "/aws/lambda/qualified")["logStreams"]
    assert sorted(stream["logStreamName"].partition("[")[2].partition("]")[0] for stream in streams) == ["1", "2"]
    starts = [line for line in guide.log("qualified") if line.startswith("START RequestId")]
    assert [line.rpartition("Version: ")[2].strip() for line in starts] == ["1"] * 4 + ["2"] * 4
    invoked = guide.trail("Invoke", job.secret["ARN"])
    assert [event["additionalEventData"]["Step"] for event in invoked] == STEPS * 2
    assert {event["requestParameters"]["functionName"] for event in invoked} == {alias}

    guide("lambda", "delete-alias", *on_function, "--name", "live")
    refused = guide.refused("secretsmanager", "rotate-secret", "--secret-id", "qualified")
    assert refused == REFUSED
