"""Lines of a log as they are shown."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.console.log_view import ShownLine, shown_lines
from keyturn.console.rotation_steps import RotationStep
from keyturn.rules.invocations import StreamLine

AT = datetime(2026, 11, 28, tzinfo=UTC)
ONE = "6cfc0276-b76e-4c13-bdc3-ad77932dc2fe"
_STEP = RotationStep("arn:aws:secretsmanager:us-east-1:000000000000:secret:app/orders-db-AbCdEf", "v", "setSecret")
# What may do something in a page or a terminal; line ends are the page's own.
_DOING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def _shown(*texts: str, **options: Any) -> list[ShownLine]:
    return shown_lines([StreamLine(str(n), "s", AT, text) for n, text in enumerate(texts)], {ONE: _STEP}, **options)


@pytest.mark.parametrize(
    ("text", "kind", "level", "shown"),
    [
        ("said", "", "", "said"),
        (f"[INFO]\t2026Z\t{ONE}\tasked", "", "INFO", "asked"),
        (f"[WARNING]\t2026Z\t{ONE}\ttake care", "warn", "WARNING", "take care"),
        ("[ERROR] ValueError: no\nTraceback (most recent call last):\n  x", "bad", "ERROR", "[ERROR] ValueError: no"),
        (f"START RequestId: {ONE} Version: 1", "platform", "", f"START RequestId: {ONE} Version: 1"),
        (f"REPORT RequestId: {ONE}\tStatus: timeout", "bad", "ERROR", f"REPORT RequestId: {ONE} Status: timeout"),
        (f"2026Z {ONE} Task timed out after 2.00 seconds", "bad", "", f"2026Z {ONE} Task timed out after 2.00 seconds"),
        (json.dumps({"level": "INFO", "message": {"a": 1}}), "", "INFO", '{"a": 1}'),
        (
            json.dumps({"type": "platform.report", "record": {"status": "error", "metrics": {"durationMs": 1}}}),
            "bad", "ERROR", "platform.report status: error metrics: durationMs 1",
        ),
    ],
)  # fmt: skip
def test_a_line_is_told_by_its_level(text: str, kind: str, level: str, shown: str) -> None:
    (line,) = _shown(text)

    assert (line.kind, line.level, " ".join(line.text.split())) == (kind, level, shown)


def test_a_traceback_is_folded() -> None:
    stack = ['  File "x.py", line 1, in h\n    raise ValueError\n']
    text = '[ERROR] ValueError: no\nTraceback (most recent call last):\n\xa0\xa0File "x.py"'
    in_text, in_json = _shown(text, json.dumps({"level": "ERROR", "errorType": "ValueError", "stackTrace": stack}))

    assert in_text.folded.splitlines()[0] == "Traceback (most recent call last):"
    assert "Traceback" not in in_text.text
    assert in_json.folded.splitlines() == ['  File "x.py", line 1, in h', "    raise ValueError"]
    assert in_json.text == "ValueError"


def test_a_long_line_is_shown_in_part() -> None:
    (line,) = _shown("x" * 100_000)

    assert len(line.text) == 8_001
    assert len(line.folded) == 32_000


def test_an_invocation_is_named_where_it_begins_with_its_rotation() -> None:
    lines = _shown("before", f"START RequestId: {ONE} Version: 1", "said", fresh=2)

    assert [(line.text.split()[0], line.begins, line.request_id) for line in lines] == [
        ("START", True, ONE),
        ("said", False, ONE),
    ]
    assert lines[0].step is not None
    assert lines[0].step.secret_name == "app/orders-db"


@given(st.lists(st.text(max_size=200), min_size=1))
def test_nothing_in_a_line_does_anything(texts: list[str]) -> None:
    for line in _shown(*texts):
        assert not _DOING.search(line.text + line.folded + line.level)
