from __future__ import annotations

import pytest

from keyturn.rules.policy.patterns import ArnRule, Variable, has_variable, pattern_set, resolve, tokens

KEYS = {"k": ("a*b",), "agent": ("x" * 4096,), "two": ("a", "b"), "arn": ("arn:aws:iam",), "empty": ("",)}


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("${k}", "a*b", True),
        ("${k}", "axb", False),
        ("*${k}?", "..a*b.", True),
        ("*${k}?", "..axb.", False),
        ("?${k}*", "\na*b\n\n", True),
        ("*${k}?c*", "a*b.da*b.c", True),
        ("*?${k}?c*", "a*b.c", False),
        ("${absent, 'd*'}x", "d*x", True),
        ("${absent, 'd*'}x", "ddx", False),
        ("*${absent}*", "", False),
        ("*${two}*", "a", False),
        ("${*}${k}${?}", "*a*b?", True),
        ("${*}${k}${?}", "xa*bx", False),
        ("${empty}*${empty}", "", True),
    ],
)
def test_variables_are_literal_among_wildcards(pattern: str, value: str, expected: bool) -> None:
    assert pattern_set([pattern], variables=True).matches(value, KEYS) is expected


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("${arn}::1:user/*", "arn:aws:iam::1:user/a:b", True),
        ("${arn}:*:user/${k}", "arn:aws:iam:a:1:user/a*b", False),
        ("${arn}:*:*:user/${k}", "arn:aws:iam:a:1:user/a*b", True),
        ("${arn}:*", "arn:aws:iam::1:user", False),
        ("${arn}:*", "arn:aws:iam:x", True),
    ],
)
def test_in_an_arn_wildcards_beside_variables_stay_within_their_field(pattern: str, value: str, expected: bool) -> None:
    assert pattern_set([pattern], variables=True, arn=ArnRule.CONDITION).matches(value, KEYS) is expected


def test_a_pattern_that_is_longer_than_the_text_is_not_put_together() -> None:
    asked: list[str] = []

    class Counted:
        def get(self, name: str, /) -> tuple[str, ...] | None:
            asked.append(name)
            return KEYS.get(name)

    assert resolve(tokens("${agent}*" * 1000, variables=True), Counted(), "x" * 4096) is None
    assert asked == ["agent", "agent"]
    assert not pattern_set(["${agent}*" * 1000], variables=True).matches("x" * 4096, KEYS)
    assert pattern_set(["${agent}*"], variables=True).matches("x" * 4096, KEYS)


@pytest.mark.parametrize("unit", ["${", "${ ", " ", "${a,'", "${a, ", "${a"])
def test_a_variable_without_an_end_is_given_up_at_once(unit: str) -> None:
    """Each of these took hours before, and kept every other caller waiting."""
    assert not has_variable("${" + unit * (100_000 // len(unit)))


def test_blanks_alone_name_no_variable() -> None:
    assert tokens("${ }${ aws:username }", variables=True) == ("${ }", Variable("aws:username", None))
