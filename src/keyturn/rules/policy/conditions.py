"""Conditions of policy statements: every operator of IAM, compiled once, tested against the keys of a request.

How absence works: without its key a positive operator is false and a negated one true; with ``IfExists`` both are true;
``ForAllValues:`` is true and ``ForAnyValue:`` false. A key whose only value is empty is as good as absent to ``Null``
and ``ForAllValues:``, and has a value like others to the rest.

Source: IAM User Guide, "Condition operators" and "Single-valued vs. multivalued context keys".
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from keyturn.rules.policy.condition_values import (
    InvalidConditionValue,
    address_of,
    bytes_of,
    check_arn,
    moment_of,
    network_of,
    number_of,
)
from keyturn.rules.policy.patterns import ArnRule, ConditionKeys, PatternSet, pattern_set

_IF_EXISTS = "ifexists"
_NULL = "null"

Test = Callable[[str, ConditionKeys], bool]
Comparison = Callable[[Decimal, Decimal], bool]


class UnknownOperator(ValueError):
    """IAM has no such condition operator."""


class Quantifier(StrEnum):
    """How an operator treats a key with several values."""

    NONE = ""
    ANY = "ForAnyValue"
    ALL = "ForAllValues"


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator with one key.

    Attributes:
        operator: As written, for instance ``ForAnyValue:StringLikeIfExists``.
        key: In lower case.
        quantifier: The set operator in front.
        if_exists: Whether the condition is true without the key.
        negated: Whether ``test`` is to be false.
        values: Of the policy, as written.
        test: Whether one value of the request matches one of the values of the policy.
        must_be_absent: For ``Null``: whether the key has to be absent (True) or present (False); else None.
    """

    operator: str
    key: str
    quantifier: Quantifier
    if_exists: bool
    negated: bool
    values: tuple[str, ...]
    # It follows from the rest, and two functions are never equal.
    test: Test = field(compare=False, repr=False)
    must_be_absent: bool | None = None

    @property
    def base_operator(self) -> str:
        """The operator in lower case, without prefix and suffix: ``stringlike``."""
        return self.operator.rpartition(":")[2].lower().removesuffix(_IF_EXISTS)

    def holds(self, keys: ConditionKeys) -> bool:
        """Whether the request meets the condition."""
        values = keys.get(self.key)
        if self.must_be_absent is not None:
            return self.must_be_absent is not (bool(values) and values != _EMPTY)
        if not values:
            if self.if_exists or self.quantifier is Quantifier.ALL:
                return True
            return self.negated and self.quantifier is Quantifier.NONE
        # Several values without a quantifier: one that matches suffices, and for a negated operator it spoils.
        if self.quantifier is Quantifier.NONE:
            return any(self.test(value, keys) for value in values) is not self.negated
        verdicts = (self.test(value, keys) is not self.negated for value in values)
        if self.quantifier is Quantifier.ANY:
            return any(verdicts)
        return values == _EMPTY or all(verdicts)


_EMPTY = ("",)


def compile_condition(written: str, key: str, values: tuple[str, ...], *, variables: bool) -> Condition:
    """Make a condition ready.

    Args:
        written: The operator as written, with prefix and suffix.
        key: The condition key as written.
        values: The values of the policy; none is a condition that no value of a request matches.
        variables: Whether ``${…}`` means something.

    Raises:
        UnknownOperator: No such operator, prefix or suffix.
        InvalidConditionValue: A value does not fit the operator.
    """
    quantifier, name, if_exists = _taken_apart(written)
    # A quantifier is accepted in front of Null (recorded), and there is nothing that it could change.
    if name == _NULL:
        return Condition(written, key.lower(), quantifier, False, False, values, _never, _null_value(values))
    negated, compile_test = _OPERATORS[name]
    return Condition(written, key.lower(), quantifier, if_exists, negated, values, compile_test(values, variables))


def is_operator(written: str) -> bool:
    """Whether IAM has a condition operator of this name."""
    try:
        _taken_apart(written)
    except UnknownOperator:
        return False
    return True


def _taken_apart(written: str) -> tuple[Quantifier, str, bool]:
    """Return the set operator in front, the operator in lower case, and whether IfExists was behind it."""
    prefix, colon, rest = written.rpartition(":")
    quantifier = _QUANTIFIERS.get(prefix.lower())
    if quantifier is None or (colon and quantifier is Quantifier.NONE):
        raise UnknownOperator(written)
    name = rest.lower()
    bare = name.removesuffix(_IF_EXISTS)
    if name != _NULL and bare not in _OPERATORS:
        raise UnknownOperator(written)
    return quantifier, bare, bare != name


def _never(value: str, keys: ConditionKeys) -> bool:  # noqa: ARG001 - the shape of a test
    return False


def _null_value(values: tuple[str, ...]) -> bool:
    wanted = {value.lower() for value in values}
    if len(wanted) != 1 or not wanted <= {"true", "false"}:
        raise InvalidConditionValue(values[0] if values else "", "Null takes true or false")
    return "true" in wanted


def _exact(values: tuple[str, ...], variables: bool) -> Test:  # noqa: FBT001 - the shape of a compiler
    return pattern_set(values, variables=variables, wildcards=False).matches


def _like(values: tuple[str, ...], variables: bool) -> Test:  # noqa: FBT001 - likewise
    return pattern_set(values, variables=variables).matches


class _Lowered:
    """Keys whose values read in lower case, for variables inside a comparison that ignores case."""

    __slots__ = ("_keys",)

    def __init__(self, keys: ConditionKeys) -> None:
        self._keys = keys

    def get(self, name: str, /) -> tuple[str, ...] | None:
        values = self._keys.get(name)
        return None if values is None else tuple(value.lower() for value in values)


def _ignoring_case(values: tuple[str, ...], variables: bool) -> Test:  # noqa: FBT001 - likewise
    patterns = pattern_set((value.lower() for value in values), variables=variables, wildcards=False)
    return lambda value, keys: patterns.matches(value.lower(), _Lowered(keys))


def _arn(values: tuple[str, ...], variables: bool) -> Test:  # noqa: FBT001 - likewise
    for value in values:
        check_arn(value, variables=variables)
    # "*" alone is no ARN pattern of six fields, and yet it is accepted and matches every ARN.
    patterns: PatternSet = pattern_set(values, variables=variables, arn=ArnRule.CONDITION)
    return lambda value, keys: value.startswith("arn:") and patterns.matches(value, keys)


def _bool(values: tuple[str, ...], variables: bool) -> Test:  # noqa: FBT001 - likewise
    return _ignoring_case(values, variables)


def _binary(values: tuple[str, ...], variables: bool) -> Test:  # noqa: ARG001, FBT001 - likewise; takes no variables
    wanted = frozenset(bytes_of(value) for value in values)

    def test(value: str, keys: ConditionKeys) -> bool:  # noqa: ARG001 - the shape of a test
        try:
            return bytes_of(value) in wanted
        except InvalidConditionValue:
            return False

    return test


def _compared(parse: Callable[[str], Decimal], compare: Comparison) -> Callable[[tuple[str, ...], bool], Test]:
    def compile_test(values: tuple[str, ...], variables: bool) -> Test:  # noqa: ARG001, FBT001 - takes no variables
        limits = tuple(parse(value) for value in values)

        def test(value: str, keys: ConditionKeys) -> bool:  # noqa: ARG001 - the shape of a test
            try:
                number = parse(value)
            except InvalidConditionValue:
                return False
            return any(compare(number, limit) for limit in limits)

        return test

    return compile_test


def _ip(values: tuple[str, ...], variables: bool) -> Test:  # noqa: ARG001, FBT001 - takes no variables
    networks = tuple(network_of(value) for value in values)

    def test(value: str, keys: ConditionKeys) -> bool:  # noqa: ARG001 - the shape of a test
        try:
            address = address_of(value)
        except InvalidConditionValue:
            return False
        return any(address in network for network in networks)

    return test


Compiler = Callable[[tuple[str, ...], bool], Test]

_QUANTIFIERS = {"": Quantifier.NONE, "foranyvalue": Quantifier.ANY, "forallvalues": Quantifier.ALL}


def _ordered(family: str, parse: Callable[[str], Decimal]) -> Iterable[tuple[str, tuple[bool, Compiler]]]:
    yield f"{family}Equals", (False, _compared(parse, operator.eq))
    yield f"{family}NotEquals", (True, _compared(parse, operator.eq))
    yield f"{family}LessThan", (False, _compared(parse, operator.lt))
    yield f"{family}LessThanEquals", (False, _compared(parse, operator.le))
    yield f"{family}GreaterThan", (False, _compared(parse, operator.gt))
    yield f"{family}GreaterThanEquals", (False, _compared(parse, operator.ge))


# Name to (negated, how to make the test from the policy's values).
_NAMED: dict[str, tuple[bool, Compiler]] = {
    "StringEquals": (False, _exact),
    "StringNotEquals": (True, _exact),
    "StringEqualsIgnoreCase": (False, _ignoring_case),
    "StringNotEqualsIgnoreCase": (True, _ignoring_case),
    "StringLike": (False, _like),
    "StringNotLike": (True, _like),
    "Bool": (False, _bool),
    "BinaryEquals": (False, _binary),
    "IpAddress": (False, _ip),
    "NotIpAddress": (True, _ip),
    # Equals and Like of ARNs behave identically.
    "ArnEquals": (False, _arn),
    "ArnLike": (False, _arn),
    "ArnNotEquals": (True, _arn),
    "ArnNotLike": (True, _arn),
    **dict(_ordered("Numeric", number_of)),
    **dict(_ordered("Date", moment_of)),
}
_OPERATORS = {name.lower(): how for name, how in _NAMED.items()}

OPERATOR_NAMES: tuple[str, ...] = (*_NAMED, "Null")
"""As the guide writes them, without prefixes and suffixes."""
