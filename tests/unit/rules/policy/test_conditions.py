from __future__ import annotations

import pytest

from keyturn.rules.policy.condition_values import InvalidConditionValue
from keyturn.rules.policy.conditions import UnknownOperator, compile_condition

ARN = "arn:aws:iam::000000000000:role/app"


def _holds(written: str, policy: str | list[str], asked: str | list[str] | None, **more: str) -> bool:
    values = (policy,) if isinstance(policy, str) else tuple(policy)
    keys: dict[str, tuple[str, ...]] = {name.replace("_", ":"): (value,) for name, value in more.items()}
    if asked is not None:
        keys["aws:key"] = (asked,) if isinstance(asked, str) else tuple(asked)
    return compile_condition(written, "AWS:Key", values, variables=True).holds(keys)


@pytest.mark.parametrize(
    ("written", "policy", "asked", "expected"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", "a", "A", False),
        ("StringEquals", "a*", "ab", False),
        ("StringEquals", ["a", "b"], "b", True),
        ("StringNotEquals", ["a", "b"], "b", False),
        ("StringNotEquals", ["a", "b"], "c", True),
        ("stringequalsignorecase", "Straße", "STRAßE", True),
        ("StringNotEqualsIgnoreCase", "a", "A", False),
        ("StringLike", "a*c?", "abbcd", True),
        ("StringLike", "A*", "ab", False),
        ("StringNotLike", "a*", "ab", False),
        ("NumericEquals", "7", "7.0", True),
        ("NumericNotEquals", "7", "8", True),
        ("NumericLessThan", "7", "7", False),
        ("NumericLessThanEquals", "7", "7", True),
        ("NumericGreaterThan", "7", "30", True),
        ("NumericGreaterThanEquals", "7", "x", False),
        ("DateEquals", "2026-01-01T00:00:00Z", "1767225600", True),
        ("DateLessThan", "2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z", True),
        ("DateGreaterThan", "2026-01-01", "2025-12-31T23:59:59Z", False),
        ("Bool", "true", "True", True),
        ("Bool", "false", "true", False),
        ("BinaryEquals", "YWI=", "YWI=", True),
        ("BinaryEquals", "YWI=", "not base64", False),
        ("IpAddress", "10.0.0.0/8", "10.1.2.3", True),
        ("IpAddress", "10.0.0.1", "10.0.0.2", False),
        ("IpAddress", "2001:db8::/32", "2001:db8::1", True),
        ("IpAddress", "10.0.0.0/8", "secretsmanager.amazonaws.com", False),
        ("NotIpAddress", ["10.0.0.0/8", "192.168.0.0/16"], "192.168.1.1", False),
        ("ArnEquals", "arn:aws:iam::*:role/a??", ARN, True),
        ("ArnLike", "arn:aws:iam::*:role/*", ARN, True),
        ("ArnLike", "arn:aws:*:*:*:app", ARN, False),
        ("ArnNotLike", "arn:aws:iam::*:role/*", ARN, False),
        ("ArnLike", "*", "no arn", False),
    ],
)
def test_an_operator_compares_as_iam_does(written: str, policy: str | list[str], asked: str, expected: bool) -> None:
    assert _holds(written, policy, asked) is expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("StringEquals", False),
        ("StringNotEquals", True),
        ("StringEqualsIfExists", True),
        ("StringNotEqualsIfExists", True),
        ("ForAllValues:StringEquals", True),
        ("ForAnyValue:StringEquals", False),
        ("ForAnyValue:StringNotEquals", False),
        ("ForAnyValue:StringEqualsIfExists", True),
    ],
)
def test_without_the_key_the_operators_form_decides(written: str, expected: bool) -> None:
    assert _holds(written, "a", None) is expected


@pytest.mark.parametrize(
    ("written", "asked", "expected"),
    [
        ("ForAllValues:StringEquals", ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a", "c"], False),
        ("ForAnyValue:StringEquals", ["c", "b"], True),
        ("ForAnyValue:StringEquals", ["c", "d"], False),
        ("ForAllValues:StringNotEquals", ["c", "d"], True),
        ("ForAllValues:StringNotEquals", ["a", "d"], False),
        ("ForAnyValue:StringNotEquals", ["a", "d"], True),
        ("ForAnyValue:StringNotEquals", ["a", "b"], False),
    ],
)
def test_a_quantifier_looks_at_every_value(written: str, asked: list[str], expected: bool) -> None:
    assert _holds(written, ["a", "b"], asked) is expected


def test_null_asks_whether_the_key_is_there() -> None:
    assert _holds("Null", "true", None)
    assert not _holds("Null", "true", "a")
    assert _holds("Null", "false", "a")
    assert not _holds("Null", "false", None)


def test_variables_are_replaced_and_one_without_value_matches_nothing() -> None:
    assert _holds("StringEquals", "${aws:username}", "alice", aws_username="alice")
    assert not _holds("StringEquals", "${aws:username}", "alice")
    assert _holds("StringNotEquals", "${aws:username}", "alice")
    assert _holds("StringEqualsIgnoreCase", "${aws:username}", "ALICE", aws_username="Alice")
    assert _holds("StringLike", "${aws:username}*", "alice7", aws_username="alice")
    assert _holds("StringEquals", "${$}{x}", "${x}")


@pytest.mark.parametrize(
    "written",
    ["StringEqual", "ForSomeValues:StringEquals", ":StringEquals", "NullIfExists", "ForAnyValue:NullIfExists", ""],
)
def test_other_operators_do_not_exist(written: str) -> None:
    with pytest.raises(UnknownOperator):
        compile_condition(written, "aws:key", ("true",), variables=True)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("NumericEquals", "x"),
        ("DateLessThan", "soon"),
        ("IpAddress", "10.0.0.300"),
        ("BinaryEquals", "ä"),
        ("Null", "x"),
    ],
)
def test_a_value_that_does_not_fit_its_operator_is_refused(written: str, value: str) -> None:
    with pytest.raises(InvalidConditionValue):
        compile_condition(written, "aws:key", (value,), variables=True)
