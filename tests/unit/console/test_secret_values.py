"""What a form makes of a secret's value, and what it must not change."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.console.secret_values import (
    NotStorable,
    Pair,
    database_kinds,
    database_value,
    is_editable,
    joined,
    pairs_of,
    rows,
)
from keyturn.rotators import catalogue

DATABASE = {"engine": "postgres", "host": "db", "username": "app", "password": "hunter2"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_what_is_shown_as_keys_and_values_comes_back_the_same(value: dict[str, Any]) -> None:
    pairs = pairs_of(json.dumps(value))

    if pairs is not None:
        # As a browser sends it: its line ends are CR and LF.
        keys = [pair.key for pair in pairs]
        sent = [pair.value.replace("\n", "\r\n") for pair in pairs]
        back = rows(keys, sent, ["json" if pair.is_json else "" for pair in pairs])
        assert value == json.loads(joined(back))


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "",
        "[1]",
        "{}",
        "null",
        '{"a": 1.10}',
        '{"a": NaN}',
        '{"a": 1, "a": 2}',
        '{"a": {"b": 1, "b": 2}}',
        '{"a": "\\ud800"}',
        '{"a": "\\u0000"}',
        '{"a": "one\\r\\ntwo"}',
        '{" ": "x"}',
        '{" a": "x"}',
        '{"a\\nb": "x"}',
        "[" * 100_000,
    ],
    ids=lambda text: text[:20],
)
def test_what_would_come_back_changed_is_no_keys_and_values(text: str) -> None:
    assert pairs_of(text) is None


@pytest.mark.parametrize("text", ["a\r\nb", "a\0b", "\ud800"])
def test_some_texts_cannot_be_edited_in_a_browser(text: str) -> None:
    assert not is_editable(text)
    assert is_editable("a\nb ü")


def test_a_number_that_is_edited_into_text_becomes_text() -> None:
    assert json.loads(joined([Pair("port", "5433", is_json=True), Pair("n", "no json", is_json=True)])) == {
        "port": 5433,
        "n": "no json",
    }


@pytest.mark.parametrize(
    ("pairs", "told"),
    [([], "no key and value yet"), ([Pair("", "x")], "has no key"), ([Pair("a", "1"), Pair("a", "2")], "there twice")],
)
def test_rows_that_make_no_object_are_told(pairs: list[Pair], told: str) -> None:
    with pytest.raises(NotStorable, match=told):
        joined(pairs)


def test_every_database_has_a_form_and_what_it_makes_its_function_reads() -> None:
    kinds = database_kinds()
    named = {name for kind in kinds for name in kind.engine_names}
    assert named == set(catalogue.engine_names()) - {"http-api"}
    for kind in kinds:
        fields = {**DATABASE, "engine": kind.engine_names[-1], "port": kind.port, "dbname": "orders", "ssl": "true"}
        value = json.loads(database_value(fields))
        engine = catalogue.engines()[str(catalogue.engine_for(value["engine"]))]
        assert engine.login(value).port == kind.port
        assert isinstance(value["port"], int)
        assert value["ssl"] is True


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"host": ""}, "Fill in host"),
        ({"password": ""}, "Fill in password"),
        ({"port": "many"}, "from 1 to 65535"),
        ({"port": "65536"}, "from 1 to 65535"),
        ({"engine": "dbase"}, "no rotation function"),
        ({"engine": "db2"}, "dbname key is missing"),
        ({"engine": "sqlserver", "username": "DOMAIN\\app"}, "Windows login"),
    ],
)
def test_what_no_function_could_log_in_with_is_told_without_the_password(changed: dict[str, str], told: str) -> None:
    with pytest.raises(NotStorable, match=told) as caught:
        database_value({**DATABASE, **changed})
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(Pair("password", "hunter2"))
