from __future__ import annotations

import json

import pytest

from keyturn.rules.policy.json_text import loaded
from keyturn.rules.policy.lenient_json import Edit, Slip, edited, read


@pytest.mark.parametrize(
    ("text", "slips", "fixed"),
    [
        ('{"a": [1, 2,], "b": 3,}', [(Slip.TRAILING_COMMA, 11), (Slip.TRAILING_COMMA, 21)], '{"a": [1, 2], "b": 3}'),
        ('{,"a": [1,, 2]}', [(Slip.EXTRA_COMMA, 1), (Slip.EXTRA_COMMA, 10)], '{"a": [1, 2]}'),
        ('{"a": 1\n "b": [1 2]}', [(Slip.MISSING_COMMA, 7), (Slip.MISSING_COMMA, 16)], '{"a": 1,\n "b": [1, 2]}'),
        ('{"a" 1, "b" = 2}', [(Slip.MISSING_COLON, 4), (Slip.MISSING_COLON, 12)], '{"a": 1, "b" : 2}'),
        ('{"a": [{"b": 1}', [(Slip.MISSING_CLOSING, 6), (Slip.MISSING_CLOSING, 0)], '{"a": [{"b": 1}]}'),
        ('{"a": [1}', [(Slip.MISSING_CLOSING, 6)], '{"a": [1]}'),
        ('{"a": 1]', [(Slip.WRONG_CLOSING, 7)], '{"a": 1}'),
        ("{'a': 'it\\'s'}", [(Slip.QUOTES, 1), (Slip.QUOTES, 6)], '{"a": "it\'s"}'),
        (
            "{'a': 'say \"x\"', `b`: 1}",
            [(Slip.QUOTES, 1), (Slip.QUOTES, 6), (Slip.QUOTES, 17)],
            r'{"a": "say \"x\"", "b": 1}',
        ),
        ("{\u201ca\u201d: \u2018b\u2019}", [(Slip.QUOTES, 1), (Slip.QUOTES, 6)], '{"a": "b"}'),
        ('{"a\u201d: "b\u201d}', [(Slip.QUOTES, 3), (Slip.QUOTES, 8)], '{"a": "b"}'),
        ('{"a": "b,\n "c": "d}', [(Slip.MISSING_QUOTE, 6), (Slip.MISSING_QUOTE, 16)], '{"a": "b",\n "c": "d"}'),
        (
            '{"a": "b\n "c": 1',
            [(Slip.MISSING_QUOTE, 6), (Slip.MISSING_COMMA, 8), (Slip.MISSING_CLOSING, 0)],
            '{"a": "b",\n "c": 1}',
        ),
        (
            '{a: b/*.c, "d": True}',
            [(Slip.UNQUOTED, 1), (Slip.UNQUOTED, 4), (Slip.CONSTANT, 16)],
            '{"a": "b/*.c", "d": true}',
        ),
        ('{"a": 012}', [(Slip.UNQUOTED, 6)], '{"a": "012"}'),
        ('{"a": None, "b": FALSE}', [(Slip.CONSTANT, 6), (Slip.CONSTANT, 17)], '{"a": null, "b": false}'),
        ('{"a": "b\n    c"}', [(Slip.NEWLINE, 8)], '{"a": "bc"}'),
        ('{"a": "b\tc"}', [(Slip.CONTROL_CHARACTER, 8)], '{"a": "b\\tc"}'),
        ('\ufeff{"a":\u00a01}', [(Slip.ODD_SPACE, 0), (Slip.ODD_SPACE, 6)], ' {"a": 1}'),
        ('["a"\u3000,\x85"b"]', [(Slip.ODD_SPACE, 4), (Slip.ODD_SPACE, 6)], '["a" , "b"]'),
        ('{"a": "b\u200bc"}', [(Slip.CHARACTER, 8)], '{"a": "bc"}'),
        ('// x\n{"a": /* y */ 1} # z', [(Slip.COMMENT, 0), (Slip.COMMENT, 11), (Slip.COMMENT, 22)], '\n{"a":  1} '),
        ('{"a": 1}};\n', [(Slip.EXTRA_TEXT, 8)], '{"a": 1}'),
    ],
)
def test_a_slip_is_found_in_its_place_and_put_right(text: str, slips: list[tuple[Slip, int]], fixed: str) -> None:
    reading = read(text)

    assert [(found.slip, found.at) for found in reading.slips] == slips
    mended = edited(text, reading.edits())
    assert mended == fixed
    assert reading.root is not None
    assert loaded(mended) == reading.root.plain()


@pytest.mark.parametrize(
    ("text", "slip", "at"),
    [
        ("", Slip.EMPTY, 0),
        (" \n ", Slip.EMPTY, 0),
        ('{"a":, "b": 1}', Slip.MISSING_VALUE, 5),
        ("{: 1}", Slip.MISSING_VALUE, 1),
        ("{{[", Slip.MISSING_VALUE, 1),
        ('{"a": 1, "a": 2}', Slip.MEMBER_TWICE, 9),
        ('{"a": "C:\\dir"}', Slip.ESCAPE, 9),
        ('{"a": "\\ud83d\\ude00"}', Slip.CHARACTER, 7),
        ('{"a": "\u4e2d"}', Slip.CHARACTER, 7),
        ('{"a": 1} {"b": 2}', Slip.EXTRA_TEXT, 9),
        ("[" * 40 + "]" * 40, Slip.NESTED, 32),
    ],
)
def test_what_only_the_writer_knows_is_left_alone(text: str, slip: Slip, at: int) -> None:
    reading = read(text)

    found = reading.slips[0]
    assert (found.slip, found.at, found.edits) == (slip, at, ())


@pytest.mark.parametrize(
    "value", [{}, [], "", {"a": {"b": [1, 2.5, -3e4, True, None, '\u00fc\n"']}, "c": "d"}, [[], {}, "/* x */ // y"]]
)
def test_json_is_read_without_a_slip(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, indent=2), json.dumps(value, ensure_ascii=False)):
        reading = read(text)

        assert reading.slips == []
        assert reading.root is not None
        assert reading.root.plain() == loaded(text)


def test_values_know_their_places() -> None:
    text = '{"a": [1, {"b": "c"}], "a": 2}'

    root = read(text).root

    assert root is not None
    assert root.members is not None
    inner = root.members[0].node.at([1, "b"])
    assert inner is not None
    assert text[inner.start : inner.end] == '"c"'
    assert root.at(["a"]) is root.members[1].node, "of a repeated name the last counts"
    assert root.at(["a", 0]) is None
    assert root.at(["b", "c", 1]) is None


def test_edits_are_done_once_and_in_order() -> None:
    assert (
        edited("abc", [Edit(1, 2, "x"), Edit(1, 3, "no"), Edit(3, 3, "y"), Edit(3, 3, "z"), Edit(0, 0, "w")])
        == "waxcyz"
    )


def test_what_stands_behind_the_end_of_a_text_that_was_not_closed_is_not_part_of_it() -> None:
    written = '{"Version": "2012-10-17", "Id": "}\t'
    reading = read(written)
    assert [found.slip for found in reading.slips] == [Slip.MISSING_QUOTE]
    assert loaded(edited(written, reading.edits())) == {"Version": "2012-10-17", "Id": ""}
