"""What is left of a function's error once the values it handled are out of it."""

from __future__ import annotations

import json

import pytest

from keyturn.rules.masking import masked


def test_a_value_is_masked_wherever_it_stands() -> None:
    assert masked("no login with hunter22: hunter22!", ["hunter22"]) == "no login with ***: ***!"


def test_of_json_the_secret_parts_are_masked_and_the_plain_ones_stay() -> None:
    value = json.dumps(
        {"engine": "postgres", "host": "db.local", "username": "app", "password": "pa55word", "pin": 98765}
    )
    said = "db.local refused app: pa55word, 98765"
    assert masked(said, [value]) == "db.local refused app: ***, ***"
    assert masked(f"bad secret {value}", [value]) == "bad secret ***"


def test_nested_members_are_found() -> None:
    assert masked("got s3cr3t", [json.dumps({"a": [{"b": {"token": "s3cr3t"}}]})]) == "got ***"


@pytest.mark.parametrize(
    "said",
    [
        "postgresql://app:p%40s%20s%2Fw%22d@db",
        "postgresql://app:p%40s+s%2Fw%22d@db",
        'p@s s/w"d',
        r"p@s s/w\"d",
    ],
)
def test_the_spellings_of_urls_and_json_are_masked_too(said: str) -> None:
    assert "w" not in masked(said, ['p@s s/w"d']).replace("***", "")


def test_the_spelling_of_python_is_masked_too() -> None:
    password = "line\none'two"
    assert masked(f"KeyError: {password!r}", [password]) == 'KeyError: "***"'


def test_a_longer_value_goes_before_one_that_it_contains() -> None:
    assert masked("password1234 password", ["password", "password1234"]) == "*** ***"


def test_without_values_the_text_stays() -> None:
    assert masked("connection refused", []) == "connection refused"
