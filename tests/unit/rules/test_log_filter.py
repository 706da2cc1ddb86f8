from __future__ import annotations

import pytest

from keyturn.errors.logs import InvalidParameterException
from keyturn.rules.log_filter import compile_filter

EVENT = (
    '{"eventName": "ConsoleLogin", "level": "ERROR", "code": 404, "ratio": 0.5, "ok": false, "none": null,'
    ' "a.b": "dotted", "user": {"name": "alice", "roles": ["admin", "ops"]},'
    ' "hops": [{"ip": "10.0.0.1"}, {"ip": "::1"}]}'
)
LINE = '127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'


@pytest.mark.parametrize(
    ("pattern", "message", "expected"),
    [
        ("", "anything", True),
        ("  ", "anything", True),
        ("ERROR", "[ERROR 400] BAD REQUEST", True),
        ("error", "[ERROR 400] BAD REQUEST", False),
        ("ERROR REQUEST", "[ERROR 400] BAD REQUEST", True),
        ("ERROR MISSING", "[ERROR 400] BAD REQUEST", False),
        ('"BAD REQUEST"', "[ERROR 400] BAD REQUEST", True),
        ('"REQUEST BAD"', "[ERROR 400] BAD REQUEST", False),
        ('"say \\"hi\\""', 'they say "hi"', True),
        ("?WARN ?ERROR", "ERROR", True),
        ("?WARN ?ERROR", "INFO", False),
        ("?WARN ERROR", "ERROR", True),
        ("?WARN INFO", "WARN", False),
        ("ERROR -ARGUMENTS", "ERROR 1", True),
        ("ERROR -ARGUMENTS", "ERROR ARGUMENTS", False),
        ("-ERROR", "fine", True),
        ('-"out of memory"', "out of memory", False),
        ("%ERR[A-Z]+ \\d{3}%", "[ERROR 400]", True),
        ("%^ERROR%", "an ERROR", False),
        ("%ms$%", "took 7 ms", True),
        ("%10.\\d+\\.\\d+%", "from 10.0.1", True),
        ("%WARN|FAIL%", "it FAILED", True),
        ("ERROR %4..%", "ERROR 404", True),
    ],
)
def test_terms_match(pattern: str, message: str, expected: bool) -> None:
    assert compile_filter(pattern).matches(message) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ('{ $.level = "ERROR" }', True),
        ("{ $.level = ERR* }", True),
        ('{ $.level = "*RR*" }', True),
        ('{ $.level != "ERROR" }', False),
        ('{ $.missing != "ERROR" }', False),
        ("{ $.code = 404 }", True),
        ("{ $.code >= 500 }", False),
        ("{ $.code = 4* }", True),
        ("{$.ratio<0.6}", True),
        ("{ $.level > 1 }", False),
        ("{ $.ok IS FALSE }", True),
        ("{ $.ok IS TRUE }", False),
        ("{ $.none IS NULL }", True),
        ("{ $.none NOT EXISTS }", False),
        ("{ $.user.phone NOT EXISTS }", True),
        ('{ $.user.roles[1] = "ops" }', True),
        ('{ $.user.roles[7] = "ops" }', False),
        ('{ $.user.roles[*] = "admin" }', True),
        ('{ $.hops[*].ip = "::1" }', True),
        ("{ $.['a.b'] = dotted }", True),
        ("{ $['a.b'] = dotted }", True),
        ('{ $.user.* = "alice" }', True),
        ("{ $.eventName = %^Console% }", True),
        ("{ $.eventName != %^Console% }", False),
        ('{ $.level = "WARN" || $.code = 404 && $.ok IS TRUE }', False),
        ('{ ($.level = "ERROR" || $.code = 1) && $.user.name = "alice" }', True),
    ],
)
def test_json_members_match(pattern: str, expected: bool) -> None:
    assert compile_filter(pattern).matches(EVENT) is expected


@pytest.mark.parametrize("message", ["no json", "[1]", '"level"', "[" * 50_000, '{"level": '])
def test_a_message_that_is_no_json_object_has_no_members(message: str) -> None:
    assert not compile_filter("{ $.level NOT EXISTS }").matches(message)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[ip, id, user, timestamp, request, status, bytes]", True),
        ("[ip, id, user, timestamp, request, status = 4*, bytes]", True),
        ("[ip, id, user, timestamp, request, status = 5*, bytes]", False),
        ("[ip, id, user, timestamp, request, status_code = 404, bytes > 1000]", True),
        ("[ip, id, user, timestamp, request, status, bytes > 2000]", False),
        ('[ip, id, user, timestamp, request = "*index.html*", ...]', True),
        ("[..., status = 4*, bytes]", True),
        ("[ip != 10.*, ..., bytes]", True),
        ("[ip, id, user = frank || user = bob, ...]", True),
        ("[ip, id, user != frank && user != bob, ...]", False),
        ("[ip = %^127\\.%, rest]", True),
        ("[ip, rest = *1534]", True),
        ("[a, b, c, d, e, f, g, h]", False),
        ("[..., a, b, c, d, e, f, g, h]", False),
    ],
)
def test_space_delimited_fields_match(pattern: str, expected: bool) -> None:
    assert compile_filter(pattern).matches(LINE) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        "a" * 1025,
        "$.code",
        "a-b",
        '"open',
        "%open",
        "%a% %b% %c%",
        "%(a)%",
        "%a**%",
        "%[a%",
        "%a{2,1}%",
        "%\\k%",
        "%%",
        "{",
        "{}",
        "{ $.a }",
        "{ $ = 1 }",
        "{ a = 1 }",
        "{ $.a = }",
        "{ $.a IS MAYBE }",
        '{ $.a > "b" }',
        "{ $.a = 1 } x",
        "{ $.a[*].b[*] = 1 }",
        "{ ($.a = 1 }",
        "{ " + "(" * 400 + "$.a = 1" + ")" * 400 + " }",
        "[",
        "[]",
        "[a,]",
        "[..., a, ...]",
        "[a = ]",
        '["a"]',
    ],
)
def test_other_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(InvalidParameterException, match=r"^Invalid (filter pattern|character\(s\) in term)"):
        compile_filter(pattern)
