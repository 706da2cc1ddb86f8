"""Values of conditions that have a form: numbers, dates, addresses, ARNs, binary values.

What is accepted is what IAM was seen to accept: less than Python's parsers do (``nan``, ``1_000``), and more than RFC
3339 (``2026-12``, ``01T``).

Source: IAM User Guide, "Condition operators"; W3C note "Date and Time Formats", to which it refers; answers of IAM as
recorded by cdk-preflight (2026-09) and collected by moto.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from decimal import Decimal

from keyturn.rules.policy.patterns import tokens

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")
_EPOCH = re.compile(r"[0-9]{1,19}")
_DATE = re.compile(
    r"(?P<year>-?[0-9]{1,9})(?:-(?P<month>[0-9]{1,2})(?:-(?P<day>[0-9]{1,2}))?)?"
    r"(?:[Tt](?:(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{1,2})(?::(?P<second>[0-9]{1,2})(?P<fraction>\.[0-9]{1,9})?)?)?"
    r"(?P<zone>[Zz]|(?P<sign>[+-])(?P<zone_hour>[0-9]{2})(?::?(?P<zone_minute>[0-9]{2}))?)?)?)?"
)
_BINARY = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_NETWORK = re.compile(r"[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?")

_LATEST_EPOCH = 2**63 - 1
_YEARS = range(-292275054, 292278994)
_HOURS, _MINUTES, _SECONDS = range(24), range(60), range(60)
_MONTHS = range(1, 13)
_DAYS_IN_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_FEBRUARY = 2
_ARN_FIELDS = 6
# From 1 March of year 0, when a leap day ends the year, to 1 January 1970.
_DAYS_TO_EPOCH = 719_468


class InvalidConditionValue(ValueError):
    """The value does not fit the operator.

    Args:
        value: As written in the policy.
        reason: What the operator takes.
    """

    def __init__(self, value: str, reason: str) -> None:
        super().__init__(reason)
        self.value = value
        self.reason = reason


class LegacyConditionValue(InvalidConditionValue):
    """The value has another form than IAM's older parser wants, for which it has another text."""


def number_of(value: str) -> Decimal:
    """Return a number, exactly.

    Raises:
        LegacyConditionValue: It is none.
    """
    if not _NUMBER.fullmatch(value):
        raise LegacyConditionValue(value, "a numeric operator takes numbers")
    return Decimal(value)


def moment_of(value: str) -> Decimal:
    """Return seconds since 1970 of a date in ISO 8601, or of such a number of seconds.

    Raises:
        LegacyConditionValue: It is neither.
    """
    if _EPOCH.fullmatch(value):
        seconds = int(value)
        if seconds <= _LATEST_EPOCH:
            return Decimal(seconds)
    elif match := _DATE.fullmatch(value):
        found = _seconds(match)
        # Digits alone are seconds; a year needs something that makes it one.
        if found is not None:
            return found
    raise LegacyConditionValue(value, "a date operator takes dates such as 2026-01-31T00:00:00Z, or seconds since 1970")


def _seconds(match: re.Match[str]) -> Decimal | None:
    def part(name: str, default: int = 0) -> int:
        return int(match[name] or default)

    year, month, day = part("year"), part("month", 1), part("day", 1)
    hour, minute, second = part("hour"), part("minute"), part("second")
    if year not in _YEARS or month not in _MONTHS or not 1 <= day <= _days_in(year, month):
        return None
    zone_hour, zone_minute = part("zone_hour"), part("zone_minute")
    if not (hour in _HOURS and minute in _MINUTES and second in _SECONDS):
        return None
    if not (zone_hour in _HOURS and zone_minute in _MINUTES):
        return None
    ahead = (zone_hour * 60 + zone_minute) * (-1 if match["sign"] == "-" else 1)
    whole = ((_days(year, month, day) * 24 + hour) * 60 + minute - ahead) * 60 + second
    return whole + Decimal(match["fraction"] or 0)


def _days_in(year: int, month: int) -> int:
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if month == _FEBRUARY and is_leap else _DAYS_IN_MONTH[month - 1]


def _days(year: int, month: int, day: int) -> int:
    """Return days since 1970 in the Gregorian calendar, of any year; Python's own stops at 1 and 9999."""
    if month <= _FEBRUARY:
        year -= 1
        month += 12
    leap_days = year // 4 - year // 100 + year // 400
    return year * 365 + leap_days + (153 * (month - 3) + 2) // 5 + day - 1 - _DAYS_TO_EPOCH


def network_of(value: str) -> Network:
    """Return an address range; an address alone is a range of one.

    Raises:
        LegacyConditionValue: It is neither.
    """
    if _NETWORK.fullmatch(value):
        try:
            return ipaddress.ip_network(value, strict=False)
        except ValueError:
            pass
    raise LegacyConditionValue(value, "an address operator takes addresses and ranges such as 10.0.0.0/8")


def address_of(value: str) -> Address:
    """Return an address.

    Raises:
        InvalidConditionValue: It is none.
    """
    try:
        return ipaddress.ip_address(value)
    except ValueError as error:
        raise InvalidConditionValue(value, "not an address") from error


def bytes_of(value: str) -> bytes:
    """Return what a Base64 text stands for.

    Raises:
        InvalidConditionValue: It is none.
    """
    if not _BINARY.fullmatch(value):
        raise InvalidConditionValue(value, "a binary operator takes Base64")
    return base64.b64decode(value)


def check_arn(value: str, *, variables: bool) -> None:
    """Check that a value is a pattern of ARNs: ``*``, or six fields.

    Args:
        value: As written in the policy.
        variables: Whether ``${…}`` means something; the colons of its name end no field.

    Raises:
        LegacyConditionValue: It is none.
    """
    plain = "".join(part for part in tokens(value, variables=variables, wildcards=False) if isinstance(part, str))
    if value != "*" and not (value.startswith("arn:") and plain.count(":") >= _ARN_FIELDS - 1):
        raise LegacyConditionValue(value, "an ARN operator takes ARNs with all six fields, or *")
