"""What is left of a function's error once the values it handled are out of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.rules.masking import MASK, Mask


def test_a_value_is_masked_wherever_it_stands() -> None:
    assert Mask(["hunter22"])("no login with hunter22: hunter22!") == "no login with ***: ***!"


def test_of_json_the_secret_parts_are_masked_and_the_plain_ones_stay() -> None:
    value = json.dumps(
        {"engine": "postgres", "host": "db.local", "username": "app", "password": "pa55word", "pin": 98765}
    )
    said = "db.local refused app: pa55word, 98765"
    assert Mask([value])(said) == "db.local refused app: ***, ***"
    assert Mask([value])(f"bad secret {value}") == "bad secret ***"


def test_nested_members_are_found() -> None:
    assert Mask([json.dumps({"a": [{"b": {"token": "s3cr3t"}}]})])("got s3cr3t") == "got ***"


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
    assert "w" not in Mask(['p@s s/w"d'])(said).replace("***", "")


def test_the_spelling_of_python_is_masked_too() -> None:
    password = "line\none'two"
    assert Mask([password])(f"KeyError: {password!r}") == 'KeyError: "***"'


def test_a_longer_value_goes_before_one_that_it_contains() -> None:
    assert Mask(["password", "password1234"])("password1234 password") == "*** ***"


def test_without_values_the_text_stays() -> None:
    assert Mask([])("connection refused") == "connection refused"


def test_values_that_overlap_are_hidden_as_one() -> None:
    assert Mask(["abcde", "defgh", "cdef"])("xabcdefghx") == "x***x"


@pytest.mark.parametrize("most", range(4, 12))
def test_a_value_is_masked_before_the_text_is_cut(most: int) -> None:
    assert Mask(["hunter22"])("is hunter22, yes", most) == ("is ***" + ", yes"[: max(0, most - 11)])


@given(st.text("abcd", max_size=30), st.lists(st.text("abcd", min_size=4, max_size=8), max_size=4), st.integers(0, 30))
def test_whatever_is_left_and_wherever_it_is_cut_no_value_can_be_read(text: str, values: list[str], most: int) -> None:
    mask = Mask(values)

    for shown in (mask(text), mask(text, most)):
        assert not any(value in part for value in values for part in shown.split(MASK))
    assert mask(text) == mask(text, len(text))
    if not any(value in text for value in values):
        assert mask(text, most) == text[:most]
