"""Where a rotation stands, in words: its status with what follows by itself, moments, durations, errors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from keyturn.client.shown import shown

_SECOND = timedelta(seconds=1)
ENDED_BY_OTHERS = ("abandoned", "cancelled")
"""Their error says what ended them, and not why an attempt failed."""

Json = Mapping[str, Any]


def status_of(rotation: Json, now: datetime) -> str:
    """Return a rotation's status, and when it goes on by itself.

    Args:
        rotation: As GetRotation and ListRotations answer it.
        now: Aware.
    """
    status, due_at, most = rotation["Status"], rotation.get("DueAt"), rotation.get("Attempts")
    number, is_extra = rotation["Attempt"], most is not None and rotation["Attempt"] > most
    attempt = f"attempt {number}" if most is None or is_extra else f"attempt {number} of {most}"
    if status == "pending" and due_at is not None:
        when = f"at {moment(due_at)}" if due_at > now else "at once"
        is_question = is_extra and rotation["Kind"] == "rotation"
        goes_on = f"out of attempts; the database is asked again {when}" if is_question else f"{attempt} begins {when}"
        return f"pending: {goes_on}"
    if status == "running":
        return f"running: {attempt}, {rotation['Step']}"
    if status == "parked":
        if due_at is None:
            return "parked: out of attempts, and no window is planned"
        closes_at = rotation.get("WindowClosesAt")
        until = f", in the window that closes at {moment(closes_at)}" if closes_at else ""
        return f"parked: out of attempts; tried again at {moment(due_at)}{until}"
    if status == "cancelled":
        by = f" by {shown(rotation['EndedBy'])}" if rotation.get("EndedBy") else ""
        return f"cancelled{by}" + (f" at {moment(rotation['EndedAt'])}" if rotation.get("EndedAt") else "")
    return str(status)


def moment(at: datetime) -> str:
    """Return a moment to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def duration(took: timedelta) -> str:
    """Return how long something took, as exactly as matters."""
    if took < _SECOND:
        return f"{round(took / timedelta(milliseconds=1))} ms"
    if took < timedelta(minutes=1):
        return f"{took / _SECOND:.1f} s"
    minutes, seconds = divmod(int(took.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    shown_parts = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown_parts[:2])


def error_of(rotation: Json) -> str:
    """Return why a rotation failed, without what every such error begins with; empty if it has none."""
    error: str = rotation.get("Error", "")
    begin, during, rest = error.partition(" during ")
    return shown(rest if during and begin.startswith("Error when executing lambda ") else error)


def members(answer: Json) -> dict[str, Any]:
    """Return a structure of an answer for programs: names with underscores, moments as text."""
    from botocore import xform_name  # noqa: PLC0415 - as boto3, it takes a while to import

    return {
        xform_name(name): value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for name, value in answer.items()
    }
