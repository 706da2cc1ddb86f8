from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.client.shown import shown, shown_json

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("arn:aws:iam::123456789012:user/ada", "arn:aws:iam::123456789012:user/ada"),
        ("Zoë 秘密 \N{KEY}", "Zoë 秘密 \N{KEY}"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\tc\rd\0", r"a\x0ab\x09c\x0dd\x00"),
        ("\x7f\x85\x9b31m", r"\x7f\x85\x9b31m"),
        ("a\u2028b\u2029c\u202ed\u2066", r"a\u2028b\u2029c\u202ed\u2066"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_would_do_something_is_spelled_out(text: str, expected: str) -> None:
    assert shown(text) == expected


@given(st.text(st.characters()))
def test_nothing_shown_moves_the_cursor(text: str) -> None:
    for character in shown(text):
        assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        assert character not in BIDI
    assert shown(shown(text)) == shown(text)


@given(st.dictionaries(st.text(), st.text()), st.booleans(), st.sampled_from(["\n", "\r\n", "\r", "\n\t"]))
def test_json_keeps_its_meaning(document: dict[str, str], ascii_only: bool, newline: str) -> None:
    text = json.dumps(document, indent=1, ensure_ascii=ascii_only).replace("\n", newline)

    assert json.loads(shown_json(text)) == document
    assert "".join(shown_json(text).split()) == shown("".join(shown_json(text).split()))


def test_lines_of_json_stay_and_none_is_overwritten() -> None:
    assert shown_json('{\r\n\t"a": "\x9b"\r}') == '{\r\n\t"a": "\\u009b"\n}'
