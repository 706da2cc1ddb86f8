from __future__ import annotations

import json

import pytest

from keyturn.rules.audit_line import line_of, parse_line
from keyturn.rules.audit_record import AuditRecord, ChainedRecord

RECORD = AuditRecord(
    account_id="000000000000",
    region="us-east-1",
    event_id="e",
    event_time=5,
    event_source="s",
    event_name="n",
    username="zoë",
    access_key_id=None,
    read_only=True,
    resource_name=None,
    resource_type=None,
    error_code=None,
    request_id="q",
    event='{"a":  1, "who": "Zoë \u2028"}',
)


@pytest.mark.parametrize("link", [bytes(range(32)), None])
@pytest.mark.parametrize("event", [RECORD.event, "{}", "no JSON", '"text"', '{"a":\n1}', "", "{\r}"])
def test_a_record_is_one_line_and_comes_back_as_it_was(link: bytes | None, event: str) -> None:
    stored = ChainedRecord(7, link, RECORD._replace(event=event))

    line = line_of(stored)

    assert b"\n" not in line
    assert b"\r" not in line
    assert parse_line(line) == stored
    assert parse_line(line + b"\n") == stored


def test_a_line_holds_the_cloudtrail_record_as_an_object() -> None:
    parsed = json.loads(line_of(ChainedRecord(7, b"\1" * 32, RECORD)))

    assert parsed["event"] == {"a": 1, "who": "Zoë \u2028"}
    assert (parsed["sequence"], parsed["link"], parsed["username"]) == (7, "01" * 32, "zoë")
    assert list(parsed) == ["sequence", "link", *AuditRecord._fields]


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b"x", b'{"sequence":1,"link":"zz"}', b"\xff"])
def test_anything_else_is_no_record(line: bytes) -> None:
    with pytest.raises(ValueError, match="no audit record"):
        parse_line(line)
