"""What Lambda keeps of the lines that a function prints."""

from __future__ import annotations

import pytest

from keyturn.runtime.application_level import ApplicationFilter

INFO_LINES = [b"plain\n", b"{broken\n", b'{"message": "no level"}\n', b'{"level": "strange"}\n', b'{"level": null}\n']


@pytest.mark.parametrize("line", INFO_LINES)
def test_a_line_without_a_level_counts_as_info(line: bytes) -> None:
    assert [level for level in ("DEBUG", "INFO", "WARN", "ERROR") if ApplicationFilter(level)(line)] == [
        "DEBUG",
        "INFO",
    ]


@pytest.mark.parametrize(
    ("said", "kept_by"),
    [
        ("trace", ["TRACE"]),
        ("debug", ["TRACE", "DEBUG"]),
        ("Warning", ["TRACE", "DEBUG", "INFO", "WARN"]),
        ("ERROR", ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"]),
        ("critical", ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]),
    ],
)
def test_a_line_of_json_says_its_level(said: str, kept_by: list[str]) -> None:
    line = f'{{"level": "{said}", "msg": "x"}}\n'.encode()
    levels = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
    assert [level for level in levels if ApplicationFilter(level)(line)] == kept_by


def test_plain_text_has_no_levels() -> None:
    assert ApplicationFilter(None)(b'{"level": "debug"}')
