from __future__ import annotations

from typing import Any

from keyturn.cli.event_lines import EventLines

ALLOWED = {
    "eventTime": "2026-03-04T05:06:07Z",
    "eventName": "GetSecretValue",
    "eventID": "one",
    "userIdentity": {"arn": "arn:aws:iam::123456789012:user/ada"},
    "resources": [{"ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:key:db-AbCdEf"}],
}


def denied(**more: Any) -> dict[str, Any]:
    sealed = {"authorization": {"encodedMessage": "sealed"}}
    return {**ALLOWED, "errorCode": "AccessDenied", "additionalEventData": sealed, **more}


def test_an_event_is_a_line_and_a_denied_one_is_followed_by_its_command() -> None:
    lines = EventLines(" --profile 'my own'")

    assert lines.of(ALLOWED) == ["2026-03-04T05:06:07Z  GetSecretValue  user/ada  ok  secret:key:db-AbCdEf"]
    assert lines.of(denied(eventID="two")) == [
        "2026-03-04T05:06:07Z  GetSecretValue  user/ada  AccessDenied  secret:key:db-AbCdEf",
        "  keyturn audit explain two --profile 'my own'",
    ]
    assert lines.of(ALLOWED) == ["2026-03-04T05:06:07Z  GetSecretValue  user/ada  ok            secret:key:db-AbCdEf"]


def test_columns_fit_what_is_known_before_and_no_name_is_cut() -> None:
    long = {**ALLOWED, "userIdentity": {"arn": f"arn:aws:sts::123456789012:assumed-role/rotation/{'f' * 40}"}}

    [first] = EventLines("", [denied(), long]).of(ALLOWED)
    [second] = EventLines("").of(long)

    assert first == "2026-03-04T05:06:07Z  GetSecretValue  user/ada        ok            secret:key:db-AbCdEf"
    assert f"assumed-role/rotation/{'f' * 40}  ok" in second


def test_what_is_denied_without_a_reason_that_may_be_told_has_no_command() -> None:
    assert len(EventLines("").of({**ALLOWED, "errorCode": "AccessDenied"})) == 1


def test_no_cell_forges_a_line() -> None:
    forged = "x\n2026-03-04T05:06:07Z  DeleteSecret\x1b[2J\u2028"
    event = denied(
        eventName=forged,
        errorCode=forged,
        eventID=forged,
        userIdentity={"arn": forged},
        additionalEventData={"SecretId": forged, "authorization": {"encodedMessage": "sealed"}},
    )

    [line] = EventLines("").of(event)

    assert line.isprintable()
    assert line.count(r"x\x0a2026-03-04T05:06:07Z  DeleteSecret\x1b[2J\u2028") == 4
