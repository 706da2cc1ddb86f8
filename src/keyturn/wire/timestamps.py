"""Moments on the wire: epoch seconds with milliseconds, ISO 8601, and HTTP dates. All aware, all UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

from keyturn.errors.common import SerializationFailed

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def from_epoch(seconds: float) -> datetime:
    """Read epoch seconds.

    Raises:
        SerializationFailed: The number is not a moment between the years 1 and 9999.
    """
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise SerializationFailed("The timestamp is out of range.") from error


def to_epoch(moment: datetime) -> float:
    """Write epoch seconds, to the millisecond as AWS does; rounded down, as moments are stored."""
    return (moment - _EPOCH) // _MILLISECOND / 1000


def from_iso8601(text: str) -> datetime:
    """Read ISO 8601; without an offset it is UTC.

    Raises:
        SerializationFailed: It is not such a moment.
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise SerializationFailed("The timestamp is not ISO 8601.") from error


def to_iso8601(moment: datetime) -> str:
    """Write ISO 8601 in UTC with ``Z``; milliseconds only if there are any."""
    utc = moment.astimezone(UTC)
    text = utc.strftime("%Y-%m-%dT%H:%M:%S")
    milliseconds = utc.microsecond // 1000
    return f"{text}.{milliseconds:03d}Z" if milliseconds else f"{text}Z"


def from_http_date(text: str) -> datetime:
    """Read an HTTP date, for instance ``Tue, 29 Apr 2014 18:30:38 GMT``.

    Raises:
        SerializationFailed: It is not one.
    """
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError) as error:
        raise SerializationFailed("The timestamp is not an HTTP date.") from error


def to_http_date(moment: datetime) -> str:
    """Write an HTTP date, whole seconds."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)
