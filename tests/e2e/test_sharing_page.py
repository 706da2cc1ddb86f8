"""docs/sharing.md is run from top to bottom as it stands, in one shell, and prints what it says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest

from .conftest import DEADLINE_SECONDS, Credentials, ServerProcess
from .pages import ADDRESS, after_init, examples
from .refusals import refusal

PAGE = Path(__file__).parents[2] / "docs" / "sharing.md"
NAME = "shared/api-token"


@pytest.fixture(scope="module")
def printed(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the page's commands print, one after the other."""
    commands = "\n".join(example.code for example in examples(PAGE.read_text()) if example.language == "sh")
    file = tmp_path_factory.mktemp("page") / "commands.sh"
    file.write_text(commands.replace(ADDRESS, server.endpoint_url))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", str(file)],
        env=after_init(server),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_SECONDS * 4,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def payments(server: ServerProcess, printed: str) -> Credentials:
    """The key in the profile that the page writes."""
    parser = RawConfigParser()
    parser.read(server.home / ".aws" / "credentials")
    return Credentials(parser["payments"]["aws_access_key_id"], parser["payments"]["aws_secret_access_key"])


@pytest.fixture(scope="module")
def arn(server: ServerProcess, printed: str) -> str:
    made: str = server.client("secretsmanager").describe_secret(SecretId=NAME)["ARN"]
    return made


@pytest.fixture(scope="module")
def clerk(server: ServerProcess, payments: Credentials) -> Callable[[], Any]:
    """Clients of the user that the page makes."""
    made = server.client("iam", payments).create_access_key(UserName="clerk")["AccessKey"]
    signer = Credentials(made["AccessKeyId"], made["SecretAccessKey"])
    return lambda: server.client("secretsmanager", signer)


def test_every_command_works_in_turn_and_prints_what_is_shown(printed: str) -> None:
    shown = [example.code for example in examples(PAGE.read_text()) if example.language == "text"]

    assert len(shown) == 4
    rest = printed
    for text in shown:
        assert text in rest, printed
        rest = rest.partition(text)[2]
    assert "Refused, as it should be." in printed.splitlines()


def test_there_is_nothing_on_the_page_that_is_not_run() -> None:
    assert {example.language for example in examples(PAGE.read_text())} == {"sh", "text"}


def test_the_user_of_the_page_reads_and_does_nothing_else(arn: str, clerk: Callable[[], Any]) -> None:
    assert clerk().get_secret_value(SecretId=arn)["SecretString"] == "between us, everywhere"
    assert refusal(clerk().describe_secret, SecretId=arn).code == "AccessDeniedException"


def test_each_refusal_of_the_table_is_told_for_its_reason(
    server: ServerProcess, payments: Credentials, arn: str, clerk: Callable[[], Any]
) -> None:
    text = PAGE.read_text()
    theirs, iam = server.client("secretsmanager", payments), server.client("iam", payments)

    def told(call: Any, /, **arguments: Any) -> None:
        message = refusal(call, **arguments).message
        assert f"`{message}`" in text or f"`… {message[message.index('because') :]}`" in text, message

    told(theirs.get_secret_value, SecretId=NAME)
    policy = iam.get_user_policy(UserName="clerk", PolicyName="read-shared-token")["PolicyDocument"]
    of_the_secret = {**policy, "Statement": policy["Statement"][:1]}
    iam.delete_user_policy(UserName="clerk", PolicyName="read-shared-token")
    told(clerk().get_secret_value, SecretId=arn)
    iam.put_user_policy(UserName="clerk", PolicyName="read-shared-token", PolicyDocument=json.dumps(of_the_secret))
    told(clerk().get_secret_value, SecretId=arn)
    server.client("secretsmanager").delete_resource_policy(SecretId=arn)
    told(theirs.get_secret_value, SecretId=arn)
