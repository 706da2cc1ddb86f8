"""Clients inside the server: the replies of any client, without a socket, a policy or an event."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from keyturn.doctor.asking import AskByBoto3
from keyturn.ids import new_version_id
from keyturn.operations.inside import InsideClients
from keyturn.testing.handlers import PLACE, HandlerBench, open_bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        for name in ("one", "two", "three"):
            token = new_version_id()
            opened.call("secretsmanager", "CreateSecret", Name=name, SecretString="v", ClientRequestToken=token)
        yield opened


@pytest.fixture
def clients(bench: HandlerBench, monkeypatch: pytest.MonkeyPatch) -> InsideClients:
    def refuse(*_: object) -> None:
        raise AssertionError("a call left the process")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    # Whatever this machine's AWS settings are.
    monkeypatch.setenv("AWS_PROFILE", "no such profile")
    return InsideClients(bench.kit, PLACE)


def test_a_reply_is_what_any_client_gets(bench: HandlerBench, clients: InsideClients) -> None:
    described = clients["secretsmanager"].describe_secret(SecretId="one")
    direct = bench.call("secretsmanager", "DescribeSecret", SecretId="one")

    assert described.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    assert {name: described[name] for name in ("ARN", "Name", "VersionIdsToStages", "CreatedDate")} == {
        name: direct[name] for name in ("ARN", "Name", "VersionIdsToStages", "CreatedDate")
    }


def test_all_three_protocols_and_pages_are_answered(clients: InsideClients) -> None:
    ask = AskByBoto3(clients)

    assert len(ask("secretsmanager", "ListSecrets", {"MaxResults": 1})["SecretList"]) == 3
    assert ask("lambda", "ListFunctions", {})["Functions"] == []
    assert ask("iam", "ListRoles", {})["Roles"] == []
    assert clients["secretsmanager"] is clients["secretsmanager"]


def test_an_error_is_the_services_own(clients: InsideClients) -> None:
    with pytest.raises(ClientError) as missing:
        clients["secretsmanager"].describe_secret(SecretId="none")
    with pytest.raises(ClientError) as unknown:
        clients["iam"].get_role(RoleName="none")
    with pytest.raises(ClientError) as not_offered:
        clients["lambda"].list_code_signing_configs()

    assert missing.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert unknown.value.response["Error"]["Code"] == "NoSuchEntity"
    assert not_offered.value.response["Error"]["Code"] == "NotImplementedException"


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("get_secret_value", {"SecretId": "one"}),
        ("batch_get_secret_value", {"SecretIdList": ["one"]}),
        ("put_secret_value", {"SecretId": "one", "SecretString": "v"}),
        ("delete_secret", {"SecretId": "one"}),
    ],
)
def test_what_opens_a_value_or_changes_something_is_refused(
    clients: InsideClients, operation: str, parameters: dict[str, Any]
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(clients["secretsmanager"], operation)(**parameters)

    assert refused.value.response["Error"]["Code"] == "InternalServiceError"


def test_nothing_of_it_is_in_the_trail_and_no_policy_is_asked(bench: HandlerBench, clients: InsideClients) -> None:
    newest = bench.kit.audit_log.newest()
    clients["cloudtrail"].lookup_events()
    clients["secretsmanager"].get_resource_policy(SecretId="one")

    assert bench.kit.audit_log.newest() == newest
