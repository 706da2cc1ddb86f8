"""What is left of a function's error once the values it handled are out of it."""

from __future__ import annotations

import json
import sys
from typing import SupportsIndex
from urllib.parse import quote, quote_plus

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


def naively_masked(text: str, parts: list[str], most: int) -> str:
    """Look for every spelling of every value at every place."""
    shown, hidden_to = "", 0
    spellings = {spelling for part in parts for spelling in spellings_of(part) if len(spelling) >= 4}
    for at, character in enumerate(text[:most]):
        ends = [at + len(spelling) for spelling in spellings if text.startswith(spelling, at)]
        if at >= hidden_to:
            shown += MASK if ends else character
        hidden_to = max([hidden_to, *ends])
    return shown


def spellings_of(part: str) -> list[str]:
    as_url = [quote(part, safe="", errors="replace"), quote_plus(part, errors="replace")]
    said = [part, repr(part)[1:-1], json.dumps(part)[1:-1]]
    return [*said, *as_url, *(json.dumps(text, ensure_ascii=False)[1:-1] for text in said)]


# Nothing of it is JSON by chance. The last characters of all have no neighbour behind them; the surrogate has no UTF-8.
CHARACTERS = st.sampled_from(["a", "b", "a", "b", " ", "'", "\\", "%", "/", "é", "\ud83d", chr(sys.maxunicode)])
PARTS = st.lists(st.text(CHARACTERS, max_size=9) | st.text("ab", max_size=9), max_size=12)


@given(st.data(), PARTS, PARTS)
def test_the_same_is_masked_as_by_looking_for_every_value_everywhere(
    data: st.DataObject, strings: list[str], members: list[str]
) -> None:
    document = json.dumps({"members": members}, ensure_ascii=False)
    parts = [*strings, *members, document]
    known = [spelling for part in parts for spelling in spellings_of(part)]
    piece = st.sampled_from(known) | st.sampled_from(known).map(lambda spelling: spelling[:-1]) | st.text(CHARACTERS)
    text = "".join(data.draw(st.lists(piece, max_size=8)))
    most = data.draw(st.integers(0, len(text) + 1))

    mask = Mask([*strings, document])

    assert mask(text) == naively_masked(text, parts, len(text))
    assert mask(text, most) == naively_masked(text, parts, most)


class Counted(str):
    """Counts how often it, or a part of it, is compared with another string."""

    __slots__ = ()
    comparisons = 0

    def __getitem__(self, key: SupportsIndex | slice) -> Counted:
        return Counted(super().__getitem__(key))

    def __lt__(self, other: str) -> bool:
        Counted.comparisons += 1
        return super().__lt__(other)


@pytest.mark.parametrize("digits", [2, 8, 14])
@pytest.mark.parametrize("beginning", ["aaaa", "a" * 200])
def test_a_place_costs_no_more_than_a_binary_search_among_values_that_begin_alike(beginning: str, digits: int) -> None:
    mask = Mask(f"{beginning}{number:0{digits}b}" for number in range(2**digits))
    before = Counted.comparisons

    assert mask(Counted("a" * 1000)) == "a" * 1000

    # Two ends of each value, and the beginning of all strings.
    assert 997 <= Counted.comparisons - before <= 1000 * (digits + 2)


def test_values_of_which_each_begins_with_the_one_before_cost_no_more_either() -> None:
    mask = Mask("ab" * number for number in range(2, 514))
    before = Counted.comparisons

    assert mask(Counted("ab" * 500)) == MASK

    assert Counted.comparisons - before <= 1000 * 11
