"""Calls by boto3: all pages, again after a while where there were too many, and never one that changes something."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from keyturn.doctor.asking import AskByBoto3


@pytest.fixture
def clients() -> dict[str, Any]:
    session = boto3.Session("AKIAEXAMPLE", "secret", region_name="eu-west-1")
    return {name: session.client(name) for name in ("cloudtrail", "lambda")}


def test_all_pages_come_as_one_reply(clients: dict[str, Any]) -> None:
    with Stubber(clients["cloudtrail"]) as stubber:
        stubber.add_response("lookup_events", {"Events": [{"EventId": "1"}], "NextToken": "more"})
        stubber.add_response("lookup_events", {"Events": [{"EventId": "2"}]})

        reply = AskByBoto3(clients)("cloudtrail", "LookupEvents", {})

    assert [event["EventId"] for event in reply["Events"]] == ["1", "2"]


def test_too_many_calls_are_made_again_after_a_while_and_in_the_end_given_up(clients: dict[str, Any]) -> None:
    pauses: list[float] = []
    ask = AskByBoto3(clients, pauses.append)
    with Stubber(clients["lambda"]) as stubber:
        for _ in range(2):
            stubber.add_client_error("get_policy", "ThrottlingException")
        stubber.add_response("get_policy", {"Policy": "{}"})
        assert ask("lambda", "GetPolicy", {"FunctionName": "f"})["Policy"] == "{}"
        assert pauses == [0.5, 1.0]

        for _ in range(5):
            stubber.add_client_error("get_policy", "ThrottlingException")
        with pytest.raises(ClientError, match="ThrottlingException"):
            ask("lambda", "GetPolicy", {"FunctionName": "f"})


def test_another_refusal_is_told_at_once(clients: dict[str, Any]) -> None:
    pauses: list[float] = []
    with Stubber(clients["lambda"]) as stubber:
        stubber.add_client_error("get_policy", "AccessDeniedException")
        with pytest.raises(ClientError, match="AccessDenied"):
            AskByBoto3(clients, pauses.append)("lambda", "GetPolicy", {"FunctionName": "f"})
    assert pauses == []


@pytest.mark.parametrize("operation", ["RotateSecret", "PutSecretValue", "AddPermission", "Invoke", "DeleteSecret"])
def test_a_call_that_changes_something_is_never_made(clients: dict[str, Any], operation: str) -> None:
    with pytest.raises(ValueError, match="does not only read"):
        AskByBoto3(clients)("lambda", operation, {})
