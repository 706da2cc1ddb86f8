"""Conditions of policy statements: every operator of IAM, compiled once, tested against the keys of a request.

How absence works: without its key a positive operator is false and a negated one true; with ``IfExists`` both are true;
``ForAllValues:`` is true and ``ForAnyValue:`` false.

Source: IAM User Guide, "Condition operators" and "Multivalued context keys".
"""

from __future__ import annotations

import base64
import ipaddress
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from keyturn.rules.policy.patterns import ConditionKeys, PatternSet, pattern_set

_IF_EXISTS = "ifexists"

Test = Callable[[str, ConditionKeys], bool]
Comparison = Callable[[float, float], bool]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class UnknownOperator(ValueError):
    """IAM has no such condition operator."""


class InvalidConditionValue(ValueError):
    """The value does not fit the operator."""


class InvalidConditionDate(InvalidConditionValue):
    """The value of a date operator is no date; IAM words this fault differently from others."""


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
    test: Test
    must_be_absent: bool | None = None

    @property
    def base_operator(self) -> str:
        """The operator in lower case, without prefix and suffix: ``stringlike``."""
        return self.operator.rpartition(":")[2].lower().removesuffix(_IF_EXISTS)

    def holds(self, keys: ConditionKeys) -> bool:
        """Whether the request meets the condition."""
        values = keys.get(self.key)
        if self.must_be_absent is not None:
            return self.must_be_absent is not bool(values)
        if not values:
            if self.if_exists or self.quantifier is Quantifier.ALL:
                return True
            return self.negated and self.quantifier is Quantifier.NONE
        # Several values without a quantifier: one that matches suffices, and for a negated operator it spoils.
        if self.quantifier is Quantifier.NONE:
            return any(self.test(value, keys) for value in values) is not self.negated
        verdicts = (self.test(value, keys) is not self.negated for value in values)
        return all(verdicts) if self.quantifier is Quantifier.ALL else any(verdicts)


def compile_condition(written: str, key: str, values: tuple[str, ...], *, variables: bool) -> Condition:
    """Make a condition ready.

    Args:
        written: The operator as written, with prefix and suffix.
        key: The condition key as written.
        values: The values of the policy.
        variables: Whether ``${…}`` means something.

    Raises:
        UnknownOperator: No such operator, prefix or suffix.
        InvalidConditionValue: A value does not fit the operator.
    """
    prefix, colon, rest = written.rpartition(":")
    quantifier = _QUANTIFIERS.get(prefix.lower())
    if quantifier is None or (colon and quantifier is Quantifier.NONE):
        raise UnknownOperator(written)
    name = rest.lower()
    if name == "null" and quantifier is Quantifier.NONE:
        return Condition(written, key.lower(), quantifier, False, False, values, _never, _null_value(values))
    if_exists = name.endswith(_IF_EXISTS)
    compiler = _OPERATORS.get(name.removesuffix(_IF_EXISTS))
    if compiler is None:
        raise UnknownOperator(written)
    negated, compile_test = compiler
    return Condition(written, key.lower(), quantifier, if_exists, negated, values, compile_test(values, variables))


def _never(value: str, keys: ConditionKeys) -> bool:  # noqa: ARG001 - the shape of a test
    return False


def _null_value(values: tuple[str, ...]) -> bool:
    wanted = {value.lower() for value in values}
    if len(wanted) != 1 or not wanted <= {"true", "false"}:
        raise InvalidConditionValue("Null takes true or false.")
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
    # "*" alone is no ARN pattern of six fields, and yet it is accepted and matches every ARN.
    patterns: PatternSet = pattern_set(values, variables=variables, is_arn=True)
    return lambda value, keys: value.startswith("arn:") and patterns.matches(value, keys)


def _bool(values: tuple[str, ...], variables: bool) -> Test:  # noqa: FBT001 - likewise
    return _ignoring_case(values, variables)


def _binary(values: tuple[str, ...], variables: bool) -> Test:  # noqa: ARG001, FBT001 - likewise; takes no variables
    wanted = frozenset(_decoded(value) for value in values)

    def test(value: str, keys: ConditionKeys) -> bool:  # noqa: ARG001 - the shape of a test
        try:
            return _decoded(value) in wanted
        except InvalidConditionValue:
            return False

    return test


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise InvalidConditionValue(value) from error


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise InvalidConditionValue(value) from error


def _moment(value: str) -> float:
    """Return seconds since the epoch of an ISO 8601 date or a number of seconds."""
    try:
        return float(value)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise InvalidConditionDate(value) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _compared(parse: Callable[[str], float], compare: Comparison) -> Callable[[tuple[str, ...], bool], Test]:
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
    try:
        networks: tuple[Network, ...] = tuple(ipaddress.ip_network(value, strict=False) for value in values)
    except ValueError as error:
        raise InvalidConditionValue("not an address range") from error

    def test(value: str, keys: ConditionKeys) -> bool:  # noqa: ARG001 - the shape of a test
        try:
            address: Address = ipaddress.ip_address(value)
        except ValueError:
            return False
        return any(address in network for network in networks)

    return test


Compiler = Callable[[tuple[str, ...], bool], Test]

_QUANTIFIERS = {"": Quantifier.NONE, "foranyvalue": Quantifier.ANY, "forallvalues": Quantifier.ALL}


def _ordered(family: str, parse: Callable[[str], float]) -> Iterable[tuple[str, tuple[bool, Compiler]]]:
    yield f"{family}equals", (False, _compared(parse, operator.eq))
    yield f"{family}notequals", (True, _compared(parse, operator.eq))
    yield f"{family}lessthan", (False, _compared(parse, operator.lt))
    yield f"{family}lessthanequals", (False, _compared(parse, operator.le))
    yield f"{family}greaterthan", (False, _compared(parse, operator.gt))
    yield f"{family}greaterthanequals", (False, _compared(parse, operator.ge))


# Name in lower case to (negated, how to make the test from the policy's values).
_OPERATORS: dict[str, tuple[bool, Compiler]] = {
    "stringequals": (False, _exact),
    "stringnotequals": (True, _exact),
    "stringequalsignorecase": (False, _ignoring_case),
    "stringnotequalsignorecase": (True, _ignoring_case),
    "stringlike": (False, _like),
    "stringnotlike": (True, _like),
    "bool": (False, _bool),
    "binaryequals": (False, _binary),
    "ipaddress": (False, _ip),
    "notipaddress": (True, _ip),
    # Equals and Like of ARNs behave identically.
    "arnequals": (False, _arn),
    "arnlike": (False, _arn),
    "arnnotequals": (True, _arn),
    "arnnotlike": (True, _arn),
    **dict(_ordered("numeric", _number)),
    **dict(_ordered("date", _moment)),
}
