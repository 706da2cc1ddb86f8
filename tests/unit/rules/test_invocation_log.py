from __future__ import annotations

import json

import pytest

from keyturn.rules.invocation_log import is_platform_event, level_of, names, of_invocation

R1, R2 = "11111111-aaaa", "22222222-bbbb"


def system(event: str, request_id: str, **more: object) -> str:
    record = {"requestId": request_id, **more}
    return json.dumps({"time": "t", "type": f"platform.{event}", "record": record}, separators=(",", ":")) + "\n"


def said(request_id: str, message: object = "hello", level: str = "INFO") -> str:
    return json.dumps({"timestamp": "t", "level": level, "message": message, "requestId": request_id}) + "\n"


TEXT = [f"START RequestId: {R1} Version: 1\n", "mine\n", f"END RequestId: {R1}\n", f"REPORT RequestId: {R1}\tx\n"]
JSON = [system("start", R1), said(R1), "printed\n", system("runtimeDone", R1), system("report", R1)]


def taken(events: list[str]) -> list[str]:
    return list(of_invocation(events, R1, str))


@pytest.mark.parametrize("invocation", [TEXT, JSON])
def test_an_invocation_ends_with_its_report_or_where_another_begins(invocation: list[str]) -> None:
    for following in (TEXT, JSON):
        others = [line.replace(R1, R2) for line in following]
        assert names(invocation[0], R1)
        assert not names(others[0], R1)
        assert taken([*invocation, *others]) == invocation
        assert taken([*invocation[:-1], *others]) == invocation[:-1]
    assert taken(invocation[:2]) == invocation[:2]


def test_where_the_platform_tells_nothing_the_functions_own_records_part_invocations() -> None:
    assert taken([said(R1), "printed\n", said(R1), said(R2)]) == [said(R1), "printed\n", said(R1)]


def test_what_a_function_calls_request_id_ends_nothing_where_the_platform_tells() -> None:
    own = json.dumps({"requestId": "of something else"}) + "\n"
    assert taken([JSON[0], own, *JSON[1:]]) == [JSON[0], own, *JSON[1:]]
    assert taken([TEXT[0], own, *TEXT[1:]]) == [TEXT[0], own, *TEXT[1:]]


def test_what_the_runtime_writes_is_told_from_what_the_function_does() -> None:
    assert [is_platform_event(line) for line in TEXT] == [True, False, True, True]
    assert [is_platform_event(line) for line in JSON] == [True, False, False, True, True]
    assert not is_platform_event('{"type": "platform.start"}')
    assert not is_platform_event("[1]")


@pytest.mark.parametrize(
    ("event", "level"),
    [
        ("[ERROR] ValueError: no", "ERROR"),
        ("[WARNING]\tt\tid\tx", "WARNING"),
        ("[1]", ""),
        ("plain", ""),
        ("{broken", ""),
        (said(R1, level="warn"), "WARN"),
        (system("report", R1, status="timeout"), "ERROR"),
        (system("report", R1, status="success"), ""),
        (system("start", R1), ""),
    ],
)
def test_a_line_says_its_level(event: str, level: str) -> None:
    assert level_of(event) == level
