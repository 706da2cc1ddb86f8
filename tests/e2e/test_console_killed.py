"""The server is killed while a form is acted on: what is there then is told, and made whole by sending it again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3

from .conftest import ServerProcess, wait_until
from .console_session import ConsoleSession

_NAME = "SecretsManager-db"
_PARTS = ("role", "policy", "function", "permission")


def _is_there(part: str, iam: Any, functions: Any) -> bool:
    look: dict[str, Callable[[], Any]] = {
        "role": lambda: iam.get_role(RoleName=_NAME),
        "policy": lambda: iam.get_role_policy(RoleName=_NAME, PolicyName="SecretsManagerRotation"),
        "function": lambda: functions.get_function_configuration(FunctionName=_NAME),
        "permission": lambda: functions.get_policy(FunctionName=_NAME),
    }
    try:
        look[part]()
    except (iam.exceptions.NoSuchEntityException, functions.exceptions.ResourceNotFoundException):
        return False
    return True


@pytest.mark.parametrize("part", _PARTS)
def test_what_a_rotation_needs_is_made_whole_after_the_server_was_killed(own_server: ServerProcess, part: str) -> None:
    own_server.start()
    value = {"engine": "postgres", "host": "127.0.0.1", "port": 1, "username": "u", "password": "p", "dbname": "d"}
    secrets = own_server.client("secretsmanager")
    arn = secrets.create_secret(Name="db", SecretString=json.dumps(value))["ARN"]
    chosen = urlencode({"id": arn, "how": "new", "schedule": "30", "when": "window"})
    iam, functions, session = own_server.client("iam"), own_server.client("lambda"), ConsoleSession(own_server)
    session.post(f"secret/rotation/plan?{chosen}")

    def create() -> None:
        try:
            session.post(f"secret/rotation/setup/create?{chosen}")
        except urllib3.exceptions.HTTPError:
            return

    creating = threading.Thread(target=create)
    creating.start()
    wait_until(lambda: _is_there(part, iam, functions), f"the {part} is made", own_server)
    own_server.kill()
    creating.join()
    own_server.start()

    # Loading the address again leads to where it is gone on with, with what was chosen.
    answered = session.ask("GET", f"secret/rotation/setup/create?{chosen}")
    assert answered.headers["location"] == f"/console/secret/rotation/setup?{chosen}"
    told = session.post(f"secret/rotation/plan?{chosen}").data.decode()
    there = sum(_is_there(each, iam, functions) for each in _PARTS)
    assert there >= 1 + _PARTS.index(part)
    assert told.count("is there</span>") == there
    assert session.post(f"secret/rotation/setup/create?{chosen}").status == 303
    assert all(_is_there(each, iam, functions) for each in _PARTS)
    assert secrets.describe_secret(SecretId=arn)["RotationEnabled"]


def test_a_secret_is_created_whole_or_not_at_all_and_once(own_server: ServerProcess) -> None:
    own_server.start()
    session, secrets = ConsoleSession(own_server), own_server.client("secretsmanager")
    form: dict[str, str | bytes] = {
        "kind": "text",
        "text": "kept",
        "name": "db",
        "token": "1" * 32,
        "tag_key": "k",
        "tag_value": "v",
    }

    def create() -> None:
        try:
            session.post("secrets/new?kind=text", (), **form)
        except urllib3.exceptions.HTTPError:
            return

    creating = threading.Thread(target=create)
    creating.start()
    own_server.kill()
    creating.join()
    own_server.start()
    assert session.ask("GET", "secrets/new?kind=text").status == 200

    # The browser sends the same form again, as often as it is asked to.
    locations = {session.post("secrets/new?kind=text", (), **form).headers["location"] for _ in range(2)}

    assert len(locations) == 1
    described = secrets.describe_secret(SecretId="db")
    assert (described["Tags"], len(described["VersionIdsToStages"])) == ([{"Key": "k", "Value": "v"}], 1)
