"""docs/access-denied.md is run from top to bottom as it stands, in one shell, and prints what it says."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyturn.rotators import package
from keyturn.testing.postgresql import PostgresqlServer

from .conftest import DEADLINE_SECONDS, ServerProcess
from .pages import after_init, examples
from .test_guide_denied_actions import FAILS_IN, policy
from .test_main_job import FIVE_ACTIONS, RUNTIME, TRUST

PAGE = Path(__file__).parents[2] / "docs" / "access-denied.md"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


@pytest.fixture(scope="module")
def made(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    """What the page says that there is before it begins, and before its last chapter."""

    def secret(name: str, value: dict[str, object], **more: object) -> str:
        text = json.dumps({**value, "ssl": False, **more})
        arn: str = server.client("secretsmanager").create_secret(Name=name, SecretString=text)["ARN"]
        return arn

    def function(name: str, role: str, strategy: str) -> str:
        made = server.client("iam").create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST))
        arn: str = server.client("lambda").create_function(
            FunctionName=name,
            Runtime=RUNTIME,
            Role=made["Role"]["Arn"],
            Handler=package.handler_name("postgresql", strategy),
            Code={"ZipFile": package.build("postgresql", strategy)},
            Timeout=30,
        )["FunctionArn"]
        return arn

    for user in ("app", "team"):
        postgresql.create_user(user, "first password")
    secret("demo", postgresql.secret_value("app", "first password"))
    function("rotate-postgresql", "rotation", "single_user")
    superuser = secret("superuser", postgresql.superuser_value())
    team = secret("team", postgresql.secret_value("team", "first password"), masterarn=superuser)
    rotate_team = function("rotate-team", "team-rotation", "alternating_users")
    server.client("iam").put_role_policy(
        RoleName="team-rotation", PolicyName="rotate", PolicyDocument=policy(FIVE_ACTIONS, team)
    )
    server.client("lambda").add_permission(
        FunctionName=rotate_team,
        Principal="secretsmanager.amazonaws.com",
        Action="lambda:InvokeFunction",
        StatementId="SecretsManagerAccess",
    )
    server.client("secretsmanager").rotate_secret(SecretId="team", RotationLambdaARN=rotate_team)


@pytest.fixture(scope="module")
def printed(server: ServerProcess, made: None, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each of the page's commands prints; they run in one shell."""
    commands = [example.code for example in examples(PAGE.read_text()) if example.language == "sh"]
    folder = tmp_path_factory.mktemp("page")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "printf '\\f\\n'\n".join(commands)],
        env=after_init(server),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_SECONDS * 6,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.split("\f\n")


def test_every_command_prints_what_is_shown_below_it(printed: list[str]) -> None:
    outputs = iter(printed)
    output, shown = "", 0
    for example in examples(PAGE.read_text()):
        if example.language == "sh":
            output = next(outputs)
            continue
        pattern = re.escape(example.code).replace("…", ".*")
        assert re.search(pattern, output, re.DOTALL), f"{example.code}\n--- is not in ---\n{output}"
        shown += 1
    assert shown == 11


def test_there_is_nothing_on_the_page_that_is_not_run() -> None:
    assert {example.language for example in examples(PAGE.read_text())} == {"sh", "text"}


def test_afterwards_the_secrets_log_in(server: ServerProcess, postgresql: PostgresqlServer, printed: list[str]) -> None:
    def value(name: str, stage: str = "AWSCURRENT") -> Any:
        found = server.client("secretsmanager").get_secret_value(SecretId=name, VersionStage=stage)
        return json.loads(found["SecretString"])

    for secret, stage in (("demo", "AWSCURRENT"), ("team", "AWSCURRENT"), ("team", "AWSPREVIOUS")):
        assert postgresql.accepts(value(secret, stage)["username"], value(secret, stage)["password"])
    assert value("demo")["username"] == "app"
    # Once its role may, a rotation goes on by itself; where that is done before the page's command, there is another.
    found = server.client("keyturn").list_rotations(SecretId="team")["Rotations"]
    rotated = [rotation for rotation in found if rotation["Status"] == "succeeded"]
    assert value("team")["username"] == {1: "team_clone", 2: "team"}[len(rotated)]


def test_the_table_says_where_each_action_is_missed() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    told = {action: step for actions, step in rows for action in re.findall(r"\w+", actions)}
    assert told == FAILS_IN
