"""The guide's chapter "CloudTrail shows access-denied errors during rotation", by the AWS CLI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import ServerProcess, wait_until
from .guide import FIVE_ACTIONS, MASTER_SECRET, SINGLE_SECRET, UNFINISHED, Guide, corrected
from .test_main_job import Job

# Every step calls DescribeSecret. That UpdateSecretVersionStage is denied in setSecret already is only logged.
FAILS_IN = {
    "DescribeSecret": "createSecret",
    "GetRandomPassword": "createSecret",
    "GetSecretValue": "createSecret",
    "PutSecretValue": "createSecret",
    "UpdateSecretVersionStage": "finishSecret",
}


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


@pytest.fixture(scope="module")
def guide(server: ServerProcess) -> Guide:
    return Guide.on(server)


def policy(actions: list[str], secret_arn: str | None = None) -> str:
    """The guide's policy with some of its actions; narrowed to the secret where the action knows secrets."""
    of_secret = [action for action in actions if secret_arn is None or action != "GetRandomPassword"]
    rest = [action for action in actions if action not in of_secret]
    statements = [
        {"Effect": "Allow", "Action": [f"secretsmanager:{action}" for action in some], "Resource": resource}
        for some, resource in ((of_secret, secret_arn or "*"), (rest, "*"))
        if some
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def denial(server: ServerProcess, name: str, action: str, resource: str | None) -> str:
    """AWS's text for a call of the function's session."""
    on_resource = f" on resource: {resource}" if resource else ""
    return (
        f"User: arn:aws:sts::{server.account_id}:assumed-role/{name}/{name} is not authorized to perform:"
        f" secretsmanager:{action}{on_resource} because no identity-based policy allows the secretsmanager:{action}"
        " action"
    )


@pytest.mark.parametrize("resource", [pytest.param("everything", marks=pytest.mark.long), "the secret"])
@pytest.mark.parametrize("action", FIVE_ACTIONS)
def test_without_one_of_the_five_actions_a_step_fails_is_told_everywhere_and_succeeds_when_it_is_allowed(
    server: ServerProcess, postgresql: PostgresqlServer, guide: Guide, tmp_path: Path, action: str, resource: str
) -> None:
    job = Job(server, postgresql, f"no_{action.lower()}_{resource.replace(' ', '_')}")
    secret_arn = job.secret["ARN"]
    narrowed = secret_arn if resource == "the secret" else None
    rest = [each for each in FIVE_ACTIONS if each != action]
    assert guide.put_policy(job.name, policy(rest, narrowed), tmp_path) == ""

    version_id = guide.rotate(job.name, job.function)["VersionId"]
    [failed, *_] = guide.wait_for("RotationFailed", secret_arn, server)

    # Which step, as Secrets Manager says it.
    step = FAILS_IN[action]
    assert failed["errorMessage"] == f"Error when executing lambda {job.function} during {step} step"
    # What the function has logged.
    text = denial(server, job.name, action, None if action == "GetRandomPassword" else secret_arn)
    said = f"An error occurred (AccessDeniedException) when calling the {action} operation: {text}"
    [logged, *_] = [
        line for line in guide.log(job.name) if line.startswith("[ERROR]") and "AccessDeniedException" in line
    ]
    assert logged.startswith(f"[ERROR] ClientError: {said}\n")
    # What CloudTrail shows.
    [denied, *_] = guide.denials(action, f"assumed-role/{job.name}/")
    assert denied["errorMessage"] == text
    assert denied["userIdentity"]["arn"] == f"arn:aws:sts::{server.account_id}:assumed-role/{job.name}/{job.name}"
    assert denied["userIdentity"]["type"] == "AssumedRole"
    assert denied["responseElements"] is None
    # What the secret and the database are left with: whoever reads the secret gets in.
    if step == "createSecret":
        assert job.password() == job.first_password
        assert job.stages() == {job.secret["VersionId"]: ["AWSCURRENT"], version_id: ["AWSPENDING"]}
        assert job.accepts(job.first_password)
        pending = ("--secret-id", job.name, "--version-stage", "AWSPENDING")
        assert "ResourceNotFoundException" in guide.refused("secretsmanager", "get-secret-value", *pending)
        assert guide.refused("secretsmanager", "rotate-secret", "--secret-id", job.name) == UNFINISHED
    else:
        # The database had the new password already: Secrets Manager has moved the label that the function could not.
        wait_until(lambda: job.is_current(version_id), "the repair", server)
        [resolved] = guide.wait_for("RotationResolved", secret_arn, server)
        assert resolved["additionalEventData"]["Repair"] == "forward"
    assert guide.put_policy(job.name, policy(FIVE_ACTIONS, narrowed), tmp_path) == ""
    if step != "createSecret":
        version_id = guide.rotate(job.name, job.function)["VersionId"]
    wait_until(lambda: job.is_current(version_id), "the version finished", server)
    assert job.accepts(job.password())
    assert not job.accepts(job.first_password)


def test_a_random_password_is_no_resource_so_that_naming_the_secret_does_not_allow_it(
    server: ServerProcess, postgresql: PostgresqlServer, guide: Guide, tmp_path: Path
) -> None:
    job = Job(server, postgresql, "all_of_the_secret")
    document = json.loads(policy(FIVE_ACTIONS))
    document["Statement"][0]["Resource"] = job.secret["ARN"]
    assert guide.put_policy(job.name, json.dumps(document), tmp_path) == ""
    guide.rotate(job.name, job.function)
    guide.wait_for("RotationFailed", job.secret["ARN"], server)
    assert any(denial(server, job.name, "GetRandomPassword", None) in line for line in guide.log(job.name))


@pytest.mark.parametrize("printed", [SINGLE_SECRET, MASTER_SECRET], ids=["single secret", "master secret"])
def test_the_guides_policies_are_refused_as_printed_and_work_corrected(
    server: ServerProcess, postgresql: PostgresqlServer, guide: Guide, tmp_path: Path, printed: str
) -> None:
    job = Job(server, postgresql, "printed_master" if printed == MASTER_SECRET else "printed_single")
    before = guide("iam", "get-role-policy", "--role-name", job.name, "--policy-name", "rotate")
    assert guide.put_policy(job.name, printed, tmp_path) == (
        "An error occurred (MalformedPolicyDocument) when calling the PutRolePolicy operation: Syntax errors in policy."
    )
    assert guide("iam", "get-role-policy", "--role-name", job.name, "--policy-name", "rotate") == before

    assert json.loads(corrected(printed))
    document = corrected(printed).replace("<arn_of_master_secret>", job.secret["ARN"])
    assert guide.put_policy(job.name, document, tmp_path) == ""
    version_id = guide.rotate(job.name, job.function)["VersionId"]
    wait_until(lambda: job.is_current(version_id), "the rotation", server)
    assert job.accepts(job.password())
