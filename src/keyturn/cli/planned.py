"""What is planned, as the server tells it, and why it is planned for then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from keyturn.cli.clients import Clients
from keyturn.cli.moments import read_span, read_utc
from keyturn.errors.base import KeyturnError
from keyturn.rules.schedule import Days, Hours, RotationRules, RotationWindow, next_window, parse_rotation_rules

_PAGE = 1000
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


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
        members = {"From": begin_at, "To": end_at, "NamePrefix": name_prefix, "RotationLambdaARN": function}
        return cls({name: value for name, value in members.items() if value is not None}, late)


@dataclass(frozen=True, slots=True)
class PlannedRotation:
    """A planned rotation of a secret.

    Attributes:
        at: The moment that was chosen.
        planned_at: When it was chosen.
        in_minute: How many rotations are planned in the same minute, this one included.
        window: None if there is none.
        counted_from: The last rotation, or a later value that was put by hand; None if it has never rotated.
        members: RotationRules as they were sent.
        is_running: Whether a rotation is under way, or waits for its next attempt.
    """

    arn: str
    name: str
    function_arn: str
    at: datetime
    planned_at: datetime | None
    in_minute: int
    window: RotationWindow | None
    last_rotated_at: datetime | None
    counted_from: datetime | None
    members: Mapping[str, Any]
    is_running: bool

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> PlannedRotation:
        """Read an entry of ListPlannedRotations."""
        opens_at, closes_at = _utc(entry, "WindowOpensAt"), _utc(entry, "WindowClosesAt")
        return cls(
            arn=entry["ARN"],
            name=entry["Name"],
            function_arn=entry.get("RotationLambdaARN", ""),
            at=entry["NextRotationAt"].astimezone(UTC),
            planned_at=_utc(entry, "PlannedAt"),
            in_minute=entry.get("PlannedInMinute", 1),
            window=None if opens_at is None or closes_at is None else RotationWindow(opens_at, closes_at),
            last_rotated_at=_utc(entry, "LastRotatedDate"),
            counted_from=_utc(entry, "CountedFrom"),
            members=entry.get("RotationRules", {}),
            is_running=entry.get("Running", False),
        )

    @property
    def rules(self) -> RotationRules:
        """Its rules, parsed."""
        return parse_rotation_rules(self.members)

    @property
    def rule(self) -> str:
        """Its schedule in a few words."""
        days = self.members.get("AutomaticallyAfterDays")
        text = self.members.get("ScheduleExpression") or (f"every {days} days" if days != 1 else "every day")
        duration = self.members.get("Duration")
        return f"{text}, {duration}" if duration else str(text)

    def is_late(self, now: datetime) -> bool:
        """Say whether its moment has passed, or a whole window in which it should have rotated."""
        if self.at <= now:
            return True
        due = self._first_window()
        return due is not None and due.closes_at <= now

    def why(self) -> str:
        """Say in sentences why it is planned for then."""
        return " ".join([self._why_that_window(), *self._why_that_moment()])

    def document(self, now: datetime) -> dict[str, object]:
        """The same for programs."""
        moments = {
            "next_rotation_at": self.at,
            "window_opens_at": self.window and self.window.opens_at,
            "window_closes_at": self.window and self.window.closes_at,
            "planned_at": self.planned_at,
            "last_rotated_at": self.last_rotated_at,
            "counted_from": self.counted_from,
        }
        return {
            "secret": self.name,
            "arn": self.arn,
            "function_arn": self.function_arn,
            **{name: moment and moment.isoformat() for name, moment in moments.items()},
            "rotation_rules": dict(self.members),
            "planned_in_minute": self.in_minute,
            "late": self.is_late(now),
            "running": self.is_running,
            "why": self.why(),
        }

    def _first_window(self) -> RotationWindow | None:
        """The window that follows what its schedule counts from, if that is known."""
        rules = self.rules
        if self.counted_from is None or rules.schedule is None:
            return None
        return next_window(rules, self.counted_from, self.counted_from)

    def _why_that_window(self) -> str:
        if self.counted_from is None:
            begin = "It has never rotated."
        elif self.counted_from == self.last_rotated_at:
            begin = f"It rotated last at {_said(self.counted_from)}."
        else:
            begin = f"Its value was put by hand at {_said(self.counted_from)}, which counts as a rotation."
        due, schedule = self._first_window(), self.rules.schedule
        if due is None or self.window is None:
            return begin
        if isinstance(schedule, Hours):
            return f"{begin} {self.rule}: a window opens at {_said(self.window.opens_at)}."
        if isinstance(schedule, Days):
            count = "1 day" if schedule.days == 1 else f"{schedule.days} days"
            then = f"{count} later is {due.opens_at:%Y-%m-%d}"
        else:
            then = f"By {self.rule} the next window after that opens at {_said(due.opens_at)}"
        if self.window.opens_at > due.opens_at:
            missed = "missed, or the rotation failed"
            return f"{begin} {then}: {missed}; the next window opens at {_said(self.window.opens_at)}."
        return f"{begin} {then}."

    def _why_that_moment(self) -> Iterator[str]:
        window = self.window
        if window is not None and window.closes_at - window.opens_at > _HOUR:
            until = "24:00" if window.closes_at == _midnight(window.opens_at) + _DAY else f"{window.closes_at:%H:%M}"
            span = f"{window.opens_at:%H:%M} to {until}"
            yield f"Of the hours from {span} chance drew {self.at:%H}:00, each being as likely."
        beside = "nothing else is planned in it" if self.in_minute == 1 else f"{self.in_minute} are planned in it"
        yield f"It drew minute {self.at:%M}, the top of the hour and empty minutes being likelier; {beside}."
        if self.planned_at is not None:
            yield f"This was planned at {_said(self.planned_at)}."


def find_planned(clients: Clients, wanted: Wanted, now: datetime) -> Iterator[PlannedRotation]:
    """Yield planned rotations, earliest first."""
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


def _utc(entry: Mapping[str, Any], name: str) -> datetime | None:
    # The AWS SDK gives the server's moments in this machine's time zone.
    moment: datetime | None = entry.get(name)
    return None if moment is None else moment.astimezone(UTC)


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
