"""Audit events for people: one line each, in columns, and below a denied one the command that explains it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keyturn.client.shown import shown
from keyturn.rules.event_reading import about, can_be_explained, outcome, short, who

# A longer name moves only what is behind it in its line, so that most lines fit a screen of 80 columns.
_WIDEST = (20, 16, 14, 12)


class EventLines:
    """Lays events out; columns grow with what they have had so far.

    Args:
        options: Of the server, for the command that explains, as ``as_given`` returns them.
        events: What is known before the first is printed.
    """

    def __init__(self, options: str, events: Iterable[dict[str, Any]] = ()) -> None:
        self._options = options
        self._widths = (0, 0, 0, 0)
        for event in events:
            self._make_room(_cells(event))

    def of(self, event: dict[str, Any]) -> list[str]:
        """Return the lines of an event."""
        cells = _cells(event)
        self._make_room(cells)
        columns = [cell.ljust(width) for cell, width in zip(cells, self._widths, strict=False)]
        lines = ["  ".join([*columns, cells[-1]]).rstrip()]
        if can_be_explained(event):
            command = f"keyturn audit explain {event['eventID']}{self._options}"
            if shown(command) == command:
                lines.append(f"  {command}")
        return lines

    def _make_room(self, cells: tuple[str, ...]) -> None:
        one, two, three, four = (
            max(width, min(len(cell), widest))
            for width, cell, widest in zip(self._widths, cells, _WIDEST, strict=False)
        )
        self._widths = (one, two, three, four)


def _cells(event: dict[str, Any]) -> tuple[str, ...]:
    """Return when, what, who, the outcome, and what it is about."""
    cells = (event["eventTime"], event["eventName"], short(who(event)), outcome(event), short(about(event)))
    return tuple(shown(cell) for cell in cells)
