from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyturn.console.render import milliseconds, moment, plural, pretty_json, size, static, with_moments
from keyturn.console.replies import address

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def test_a_moment_is_written_in_utc_for_the_script_to_find() -> None:
    zone = NOW.astimezone(tz=None)

    written = '<time datetime="2026-03-04T05:06:07+00:00" title="2026-03-04 05:06:07 UTC" data-kind="full">'
    assert moment(zone) == f"{written}2026-03-04 05:06:07 UTC</time>"
    assert moment("2026-03-04T05:06:07Z") == moment(NOW)
    assert moment(None) == "–"
    assert "5 minutes ago</time>" in moment(NOW - timedelta(minutes=5), NOW)


def test_numbers_are_for_people() -> None:
    assert [milliseconds(each) for each in (None, 12.4, 1234.0)] == ["–", "12 ms", "1.23 s"]
    assert [size(each) for each in (12, 2048, 5 * 1024 * 1024)] == ["12 B", "2.0 KB", "5.0 MB"]
    assert [plural(each, "secret") for each in (1, 1200)] == ["1 secret", "1,200 secrets"]
    assert plural(2, "policy", "policies") == "2 policies"


def test_a_document_is_laid_out_and_what_is_none_is_left_alone() -> None:
    assert pretty_json('{"a":"é"}') == '{\n  "a": "é"\n}'
    assert pretty_json("{no") == "{no"


def test_an_address_leaves_out_what_is_not_said() -> None:
    assert address("secret", id="a/b c", next="", page=None) == "secret?id=a%2Fb+c"
    assert address("secrets") == "secrets"
    assert address("log", from_=5) == "log?from=5"


def test_another_content_has_another_address() -> None:
    assert static("console.css").startswith("/console/static/console.css?")


@pytest.mark.parametrize(
    "text",
    ["", "no moment", "2026-13-01 00:00 UTC", "2026-02-30 00:00 UTC", "0000-01-01 00:00 UTC", "2026-02-01 25:00 UTC"],
)
def test_what_is_no_moment_stays_as_it_is(text: str) -> None:
    assert with_moments(text) == text
