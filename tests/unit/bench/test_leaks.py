"""What a text shows of a secret value is found, and hidden."""

from __future__ import annotations

import base64
import json

import pytest

from keyturn.bench.leaks import Leaks

OLD, NEW = "kY3$mZ81,qLw^Tx20", "aaV7}pR=94+nNs!uE"
VALUES = [
    json.dumps({"username": "app", "host": "db.example.com", "note": "not a secret at all", "password": password})
    for password in (OLD, NEW)
]


def hidden(text: str) -> str | None:
    return Leaks(VALUES).hidden(text)


@pytest.mark.parametrize("password", [OLD, NEW])
def test_a_whole_value_is_found(password: str) -> None:
    assert hidden(f"the password is {password}!") == "the password is ***!"
    assert hidden(json.dumps({"said": password})) == '{"said": "***"}'


@pytest.mark.parametrize("part", [NEW[:12], NEW[3:15], NEW[-8:], NEW[:-1]])
def test_a_part_of_eight_characters_is_found(part: str) -> None:
    assert hidden(f"begins with {part} and so on") == "begins with *** and so on"


def test_fewer_characters_are_nothing_to_go_by() -> None:
    assert hidden(f"ends in {NEW[-4:]}") is None


@pytest.mark.parametrize("before", ["", "a", "ap", "app", "user:"])
def test_base64_is_found_wherever_the_value_stands_in_it(before: str) -> None:
    encoded = base64.b64encode(f"{before}{NEW}@host".encode()).decode()
    said = hidden(f"Authorization: Basic {encoded}")
    assert said is not None
    assert said.startswith("Authorization: Basic ")
    assert encoded not in said


def test_what_all_versions_have_in_common_may_be_said_in_part() -> None:
    assert hidden("connecting to db.example.com as app, of which people say not a secret") is None


def test_a_users_name_shows_nothing_of_a_password_that_holds_it() -> None:
    values = [
        json.dumps({"username": "billing_app", "password": f"{prefix}-billing_app"}) for prefix in ("old1", "new2")
    ]
    assert Leaks(values).hidden("as billing_app") is None
    assert Leaks(values).hidden("with new2-billing_app") == "with ***"


def test_a_value_that_is_no_object_is_found_too() -> None:
    assert Leaks(["token-one-1", "token-two-2"]).hidden("using token-two-2") == "using ***"
