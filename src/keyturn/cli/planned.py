"""Which planned rotations a command is about, and all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keyturn.cli.clients import Clients
from keyturn.cli.moments import read_span, read_utc
from keyturn.client.planned import PlannedRotation
from keyturn.errors.base import KeyturnError

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which planned rotations.

    Attributes:
        request: Members of ListPlannedRotations.
        late: Only those that are late.
    """

    request: Mapping[str, Any]
    late: bool = False

    @classmethod
    def of(
        cls,
        begin: str | None,
        end: str | None,
        within: str | None,
        name_prefix: str | None,
        function: str | None,
        now: datetime,
        *,
        late: bool = False,
        states: Sequence[str] = (),
    ) -> Wanted:
        """Read options.

        Raises:
            KeyturnError: A value cannot be read, or two of them contradict each other.
        """
        begin_at = None if begin is None else read_utc(begin, "--from")
        end_at = None if end is None else read_utc(end, "--to")
        if within is not None:
            span = read_span(within)
            if span is None or end_at is not None:
                raise KeyturnError(f"--within {within}: say how long, 12h or 30d, and then no --to.")
            end_at = (begin_at or now) + span
        members = {
            "From": begin_at,
            "To": end_at,
            "NamePrefix": name_prefix,
            "RotationLambdaARN": function,
            "States": [*states] or None,
        }
        return cls({name: value for name, value in members.items() if value is not None}, late)


def find_planned(clients: Clients, wanted: Wanted, now: datetime) -> Iterator[PlannedRotation]:
    """Yield secrets that rotate or could: those under way first, then by moment, then those that have none."""
    request = {**wanted.request, "MaxResults": _PAGE}
    while True:
        page = clients["keyturn"].list_planned_rotations(**request)
        for entry in page["PlannedRotations"]:
            planned = PlannedRotation.of(entry)
            if not wanted.late or planned.is_late(now):
                yield planned
        if "NextToken" not in page:
            return
        request["NextToken"] = page["NextToken"]


def planned_moments(found: Iterable[PlannedRotation]) -> Iterator[tuple[datetime, PlannedRotation]]:
    """Yield those that have a moment, with it."""
    return ((rotation.at, rotation) for rotation in found if rotation.at is not None)
