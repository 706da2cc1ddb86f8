"""Where statements stand, as the policy simulator tells it."""

from __future__ import annotations

import json

import pytest

from keyturn.rules.policy.positions import Position, Span, statement_spans

from .callers import statement

ONE = json.dumps(statement(), separators=(",", ":"))


def span(text: str, index: int = 0) -> tuple[tuple[int, int], tuple[int, int]]:
    found = statement_spans(text)[index]
    return (found.start.line, found.start.column), (found.end.line, found.end.column)


def test_the_first_of_a_list_begins_at_its_brace_and_ends_behind_it() -> None:
    text = f'{{"Version":"2012-10-17","Statement":[{ONE}]}}'

    assert span(text) == ((1, 38), (1, 38 + len(ONE)))


def test_a_further_one_begins_at_the_comma_before_it() -> None:
    text = f'{{"Version":"2012-10-17","Statement":[{ONE},{ONE}]}}'

    assert span(text, 1) == ((1, 38 + len(ONE)), (1, 39 + 2 * len(ONE)))


def test_a_single_one_may_stand_without_a_list() -> None:
    text = f'{{ "Statement" : {ONE} , "Version":"2012-10-17"}}'

    assert span(text) == ((1, 17), (1, 17 + len(ONE)))


def test_lines_are_counted() -> None:
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement(), statement()]}, indent=2)

    assert [text.splitlines()[found.start.line - 1].strip() for found in statement_spans(text)] == ["{", "},"]
    assert all(text.splitlines()[found.end.line - 1].strip().startswith("}") for found in statement_spans(text))


@pytest.mark.parametrize("sid", ['a "}" in text', "\\u007d", "[{,}]"])
def test_braces_in_texts_are_no_braces(sid: str) -> None:
    text = '{"Statement": [' + json.dumps({"Sid": sid}) + "]}"

    [found] = statement_spans(text)

    assert found == Span(Position(1, 16), Position(1, len(text) - 1))


def test_an_earlier_member_is_not_mistaken_for_the_statements() -> None:
    text = f'{{"Id": "Statement", "Statement": {ONE}}}'

    assert span(text)[0] == (1, text.index(ONE) + 1)
