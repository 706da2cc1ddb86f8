"""Planned rotations as an iCalendar feed (RFC 5545), for the calendars that people look at anyway.

One event for each secret that rotates, with an identity that stays: when the rotation is planned anew, the calendar
moves the event. No values of secrets are known here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

from keyturn.cli.planned import planned_moments
from keyturn.client.planned import PlannedRotation
from keyturn.client.shown import shown

_PRODUCT = "-//Keyturn//Planned rotations//EN"
_CALENDAR_NAME = "Secret rotations"


def feed(rotations: Iterable[PlannedRotation], now: datetime) -> bytes:
    """Return the feed; moments are UTC, lines folded and texts escaped as the standard says."""
    # Only this command needs it.
    from icalendar import Calendar, Event  # noqa: PLC0415 - see above

    document = Calendar()
    document.add("prodid", _PRODUCT)
    document.add("version", "2.0")
    document.add("method", "PUBLISH")
    document.add("x-wr-calname", _CALENDAR_NAME)
    for at, rotation in planned_moments(rotations):
        event = Event()
        event.add("uid", f"{uuid.uuid5(uuid.NAMESPACE_URL, rotation.arn)}@keyturn")
        # When the event became what it is: an unchanged plan gives an unchanged feed.
        event.add("dtstamp", (rotation.planned_at or now).replace(microsecond=0))
        event.add("dtstart", at.replace(microsecond=0))
        event.add("summary", f"Rotation of {shown(rotation.name)}")
        event.add("description", shown(f"{rotation.rule}. {rotation.why()}") + f"\n{rotation.arn}")
        # Nobody is busy because of it.
        event.add("transp", "TRANSPARENT")
        document.add_component(event)
    content: bytes = document.to_ical()
    return content
