"""In which order a request of Secrets Manager is checked, operation by operation.

Signature, then the body's JSON, then the model's constraints, then names, then the caller's rights, then whether the
secret is there, then its state. Recorded: types before constraints (Athena), ClientRequestToken before the look-up
(localstack, test_no_client_request_token), names on every operation (test_invalid_secret_name). Where AWS checks the
caller's rights is not recorded.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.e2e.conftest import Credentials
from tests.e2e.raw_http import request as unsigned

from keyturn.operations import registry

from .door import Door
from .violations import MODEL, SHAPES, broken_constraints, request_of
from .world import World

registry.discover()
OFFERED = [name for name in MODEL["operations"] if registry.find("secretsmanager", name)]


def members_of(operation: str) -> dict[str, Any]:
    members: dict[str, Any] = SHAPES[MODEL["operations"][operation]["input"]["shape"]]["members"]
    return members


ABOUT_A_SECRET = [name for name in OFFERED if "SecretId" in members_of(name)]
every_operation = pytest.mark.parametrize("operation", OFFERED)
every_one_about_a_secret = pytest.mark.parametrize("operation", ABOUT_A_SECRET)

TOKEN = "0b5dcc8e-3c1c-4c5a-9d8e-2f6a4b1c7d90"
NO_TOKEN = "You must provide a ClientRequestToken value. We recommend a UUID-type value."
BAD_NAME = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"


@pytest.fixture(scope="module")
def nobody(world: World) -> Credentials:
    """A user without any right."""
    return world.caller()


@pytest.fixture(scope="module")
def existing(world: World) -> dict[str, Any]:
    """A secret that is there."""
    described: dict[str, Any] = world.client.describe_secret(SecretId=world.secret())
    return described


def complete(operation: str, **members: Any) -> dict[str, Any]:
    """A request that the model has nothing against."""
    token = {"ClientRequestToken": TOKEN} if "ClientRequestToken" in members_of(operation) else {}
    return {**request_of(operation), **token, **members}


@every_operation
def test_who_has_not_signed_is_told_nothing_else(door: Door, operation: str) -> None:
    target = f"X-Amz-Target: secretsmanager.{operation}".encode()

    reply = door.send_raw(unsigned(door.server, target, body=b"{"))

    assert reply.code == "MissingAuthenticationTokenException"


@every_operation
def test_who_has_signed_wrongly_is_told_nothing_else(door: Door, operation: str) -> None:
    wrong = Credentials(door.server.admin.access_key_id, "A" * 40)

    assert door.send(operation, b"{", wrong).code == "InvalidSignatureException"
    assert door.send(operation, next(broken_constraints(operation)).request, wrong).code == "InvalidSignatureException"


@every_operation
def test_what_is_no_json_is_told_to_anybody_who_has_signed(door: Door, operation: str, nobody: Credentials) -> None:
    reply = door.send(operation, b"{", nobody)

    assert (reply.status, reply.json) == (400, {"__type": "SerializationException"})


@every_operation
def test_a_broken_constraint_is_told_before_the_callers_rights_are_asked(
    door: Door, operation: str, nobody: Credentials
) -> None:
    broken = next(broken_constraints(operation))

    reply = door.send(operation, broken.request, nobody)

    assert reply.code == "ValidationException"
    assert broken.told in reply.message


@every_one_about_a_secret
@pytest.mark.parametrize("name", ["Inv Name", " Inv Name", " Inv*Name? ", " Inv *?!]Name\\-"])
def test_a_name_that_cannot_be_is_told_in_awss_words(door: Door, operation: str, name: str) -> None:
    reply = door.send(operation, complete(operation, SecretId=name))

    assert (reply.status, reply.json) == (400, {"__type": "ValidationException", "message": BAD_NAME})


@every_operation
def test_who_may_nothing_is_refused_whatever_is_asked(door: Door, operation: str, nobody: Credentials) -> None:
    reply = door.send(operation, complete(operation), nobody)

    assert reply.status == 400
    assert set(reply.json) == {"__type", "message"}
    assert reply.code == "AccessDeniedException"
    assert f" is not authorized to perform: secretsmanager:{operation} " in reply.message


@every_one_about_a_secret
def test_who_may_nothing_cannot_tell_a_secret_from_none(
    door: Door, operation: str, nobody: Credentials, existing: dict[str, Any]
) -> None:
    def told(secret_id: str) -> str:
        reply = door.send(operation, complete(operation, SecretId=secret_id), nobody)
        assert reply.code == "AccessDeniedException"
        return reply.message.replace(secret_id, "*")

    name, arn = existing["Name"], existing["ARN"]
    missing = f"{arn[:-6]}nobody"

    assert told(name) == told("no/such") == told(arn) == told(missing) == told(arn[:-7])


@every_one_about_a_secret
def test_who_may_all_is_told_that_the_secret_is_missing(door: Door, operation: str) -> None:
    request = complete(operation, SecretId="no/such")
    if operation == "PutSecretValue":
        request["SecretString"] = "value"

    reply = door.send(operation, request)

    assert reply.json == {
        "__type": "ResourceNotFoundException",
        "Message": "Secrets Manager can't find the specified secret.",
    }


@pytest.mark.parametrize("is_there", [False, True], ids=["missing", "existing"])
@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("CreateSecret", "InvalidRequestException"),
        ("PutSecretValue", "InvalidRequestException"),
        ("UpdateSecret", "InvalidRequestException"),
        ("RotateSecret", "InvalidParameterException"),
    ],
)
def test_a_missing_token_is_told_before_the_secret_is_looked_up(
    door: Door, existing: dict[str, Any], operation: str, code: str, is_there: bool
) -> None:
    name = existing["Name"] if is_there else "no/such"
    # AWS was sent these members for each of the four.
    request = {"SecretString": "thisisthesecret", "Description": "My secret string"}

    reply = door.send(operation, {**request, "Name" if operation == "CreateSecret" else "SecretId": name})

    assert (reply.status, reply.json) == (400, {"__type": code, "Message": NO_TOKEN})


@pytest.mark.parametrize("operation", ["CreateSecret", "UpdateSecret"])
def test_without_a_value_no_token_is_asked_for(door: Door, world: World, operation: str) -> None:
    name = "contract/without-a-token" if operation == "CreateSecret" else world.secret()

    reply = door.send(operation, {"Name" if operation == "CreateSecret" else "SecretId": name, "Description": "mine"})

    assert (reply.status, set(reply.json)) == (200, {"ARN", "Name"})
