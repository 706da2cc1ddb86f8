"""The description of a service: what is refused before anything is sent."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from keyturn.rotators.engines.http_keys.description import Description, Misdescribed, Template, resolved
from keyturn.testing.http_api import CHOSEN, ISSUED


def read(**changes: str) -> Description:
    return Description.read({**ISSUED, **changes})


def test_what_is_left_out_has_defaults() -> None:
    least = {"API_TEST": "GET /me", "API_CREATE": "POST /keys", "API_CREATED_KEY": "/key"}
    description = Description.read(least)
    assert description.key_header == ("Authorization", "Bearer {key}")
    assert (description.revoke, description.list, description.idempotency_header) == (None, None, None)
    assert not description.may_be_unencrypted
    assert description.issues_keys
    assert not Description.read(CHOSEN).issues_keys


def test_the_example_of_the_documentation_can_be_used() -> None:
    guide = (Path(__file__).parents[5] / "docs" / "rotation.md").read_text()
    [example] = re.findall(r"```json\n(\{\n  \"API_TEST\".*?)```", guide, re.DOTALL)
    assert Description.read(json.loads(example)).issues_keys


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"API_TEST": ""}, "API_TEST is missing from the function's environment"),
        ({"API_CREATE": "/keys"}, "API_CREATE must be a method and a path"),
        ({"API_CREATE": "POST keys"}, "API_CREATE must be a method and a path"),
        ({"API_CREATE": "POST //evil/keys"}, "API_CREATE must be a method and a path"),
        ({"API_CREATE": "POST /../keys"}, "API_CREATE must be a method and a path"),
        ({"API_CREATE": "TRACE /keys"}, "API_CREATE must be a method and a path"),
        ({"API_CREATE": "POST /keys HTTP/1.1"}, "API_CREATE must be a method and a path"),
        ({"API_CREATE": "POST /keys/{key}"}, "API_CREATE has a blank that is not known there: {key}"),
        ({"API_CREATE": "POST /keys/{other}"}, "API_CREATE has a blank that is not known there: {other}"),
        ({"API_CREATE": "POST /keys/{}"}, "API_CREATE has a blank that is not known there: {}"),
        ({"API_CREATE": "POST /keys/{id"}, "API_CREATE has a brace that is no blank"),
        ({"API_CREATE_BODY": "{name}"}, "API_CREATE_BODY must be JSON"),
        ({"API_CREATE_BODY": '{"n": "{nmae}"}'}, "API_CREATE_BODY has a blank that is not known there: {nmae}"),
        ({"API_CREATE_BODY": '{"key": "{key}"}'}, "Either API_CREATE has the blank"),
        ({"API_CREATED_KEY": ""}, "Either API_CREATE has the blank"),
        ({"API_CREATED_KEY": "data.key"}, "API_CREATED_KEY must be a JSON pointer"),
        ({"API_TEST": "POST /me"}, "API_TEST must be a GET or a HEAD"),
        ({"API_REVOKE": "DELETE /keys"}, "API_REVOKE must have the blank {id}"),
        ({"API_REVOKE_BODY": '{"key": "{key}"}'}, "API_REVOKE must not have the blank {key}"),
        ({"API_KEY_HEADER": "Authorization"}, "API_KEY_HEADER must be a header with the blank"),
        ({"API_KEY_HEADER": "Authorization: {key}{key}"}, "API_KEY_HEADER must be a header with the blank"),
        ({"API_KEY_HEADER": "Bad Name: {key}"}, "API_KEY_HEADER must be a header with the blank"),
        ({"API_HEADERS": "[]"}, "API_HEADERS must be a JSON object"),
        ({"API_HEADERS": '{"A": "b\\r\\nC: d"}'}, "API_HEADERS must be a JSON object"),
        ({"API_HEADERS": '{"A b": "c"}'}, "API_HEADERS must be a JSON object"),
        ({"API_IDEMPOTENCY_HEADER": "a b"}, "API_IDEMPOTENCY_HEADER is no name"),
    ],
)
def test_what_cannot_be_used_is_named(changes: dict[str, str], complaint: str) -> None:
    with pytest.raises(Misdescribed) as caught:
        read(**changes)
    assert complaint in caught.value.reason


def test_an_id_of_its_own_has_only_a_service_that_makes_keys_up() -> None:
    with pytest.raises(Misdescribed, match="API_CREATED_ID is for services that make up keys"):
        Description.read({**CHOSEN, "API_CREATED_ID": "/id"})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"API_TEST": "GET /me"}, "With a superuser secret API_TEST must have the blank {account}"),
        ({"API_LIST": ""}, "With a superuser secret API_REVOKE needs API_LIST"),
    ],
)
def test_what_would_let_a_writer_of_the_secret_use_the_superusers_key_for_others_is_refused(
    changes: dict[str, str], complaint: str
) -> None:
    read().refuse_for_superuser()
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below, without a pattern's special characters
        read(**changes).refuse_for_superuser()
    assert complaint in str(caught.value)


def test_a_blank_of_a_body_stays_within_its_text() -> None:
    template = Template("API_CREATE", "POST", "/keys", {"a": ["x {name} y", {"{name}": 1}], "b": "{other}", "c": "{}"})
    body = template.filled_body({"name": '", "admin": "true', "key": "", "account": "", "id": ""})
    assert body is not None
    assert json.loads(body) == {"a": ['x ", "admin": "true y', {"{name}": 1}], "b": "{other}", "c": "{}"}


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [("", {"a/b": [1, {"~": 2}]}), ("/a~1b/0", 1), ("/a~1b/1/~0", 2)],
)
def test_a_json_pointer_is_followed(pointer: str, expected: object) -> None:
    assert resolved(pointer, {"a/b": [1, {"~": 2}]}) == expected


@pytest.mark.parametrize("pointer", ["/x", "/a/9", "/a/-1", "/a/x", "/b/c", "/a/0/x"])
def test_a_json_pointer_to_nothing_is_said_to_be_one(pointer: str) -> None:
    with pytest.raises(LookupError):
        resolved(pointer, {"a": [1], "b": "text"})
