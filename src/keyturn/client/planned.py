"""What is planned, as the server tells it, and why it is planned for then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from keyturn.client.rotation_cause import cause_in_words, preflight_cause_in_words
from keyturn.rules.schedule import Days, Hours, RotationRules, RotationWindow, next_window, parse_rotation_rules

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SeenBefore:
    """What the last pre-flight has found: whether the rotation would succeed, and whether the database is in step.

    Attributes:
        overtaken_by: What has come since, so that it may hold no longer: ``the last rotation``, which failed if it was
            to succeed and succeeded if not, or ``the value``; empty if nothing has.
        is_contradicted: Whether it was expected to succeed, and the last attempt of what is under way has failed.
    """

    verdict: str
    heartbeat: str
    causes: Sequence[str]
    checked_at: datetime | None
    overtaken_by: str = ""
    is_contradicted: bool = False

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> SeenBefore | None:
        """Read it from an entry of ListPlannedRotations; None if nobody has looked."""
        if "Verdict" not in entry:
            return None
        causes, heartbeat = entry.get("PreflightCauses", []), entry.get("Heartbeat", "unknown")
        checked_at, failed_at, counted_from = (_utc(entry, name) for name in ("CheckedAt", "FailedAt", "CountedFrom"))
        is_well = entry["Verdict"] == "ready" and heartbeat != "drift"
        since = failed_at if is_well else counted_from
        overtaken_by = ""
        if checked_at is not None and since is not None and checked_at < since:
            has_rotated = is_well or counted_from == _utc(entry, "LastRotatedDate")
            overtaken_by = "the last rotation" if has_rotated else "the value"
        is_contradicted = is_well and failed_at is None and bool(entry.get("Cause"))
        return cls(entry["Verdict"], heartbeat, causes, checked_at, overtaken_by, is_contradicted)

    @property
    def is_overtaken(self) -> bool:
        """Whether it may hold no longer."""
        return bool(self.overtaken_by)

    @property
    def drifts(self) -> bool:
        """Whether the database does not have what the secret says."""
        return self.heartbeat == "drift"

    @property
    def reasons(self) -> Sequence[str]:
        """Its causes for people, in the same order as :attr:`ranked`."""
        return [preflight_cause_in_words(cause) for cause in self.ranked]

    @property
    def ranked(self) -> Sequence[str]:
        """Its causes, the one that says most first: a drift, what the doctor names, what was tried."""
        ranks = ("drift:", "doctor:")
        return sorted(self.causes, key=lambda cause: [not cause.startswith(rank) for rank in ranks])

    def in_words(self) -> str:
        """Say in a sentence what was found, and when; only that, if it may hold no longer."""
        at = f" at {_said(self.checked_at)}" if self.checked_at else ""
        why = f": {'; '.join(self.reasons)}" if self.causes else ""
        if self.is_overtaken:
            return f"The last pre-flight, made{at}, is older than {self.overtaken_by}."
        if self.verdict == "will fail":
            return f"It will fail, as was found{at}{why}."
        if self.drifts:
            return f"The database does not have what the secret says, as was found{at}{why}."
        if self.is_contradicted:
            return f"It was expected to succeed, as was found{at}; its last attempt has failed."
        if self.verdict == "ready":
            return f"It is expected to succeed, as was found{at}."
        return f"Whether it will succeed could not be found out{at}{why}."

    def document(self) -> dict[str, object]:
        """The same for programs."""
        at = self.checked_at and self.checked_at.isoformat()
        return {
            "verdict": self.verdict,
            "heartbeat": self.heartbeat,
            "causes": list(self.causes),
            "checked_at": at,
            "overtaken": self.is_overtaken,
        }


@dataclass(frozen=True, slots=True)
class PlannedRotation:
    """When a secret rotates next, and where it stands.

    Attributes:
        state: ``running``, ``pending``, ``planned``, ``parked``, ``failed``, ``unplanned`` or ``off``.
        at: The moment that was chosen; None while a rotation is under way, and if none is planned.
        planned_at: When it was chosen.
        in_minute: How many rotations are planned in the same minute, this one included.
        window: None if there is none.
        counted_from: The last rotation, or a later value that was put by hand; None if it has never rotated.
        members: RotationRules as they were sent.
        due_at: When the next attempt of a pending one begins.
        attempt: Which one that is, or runs, and how many there are in a window; None if nothing is unfinished.
        cause: A short name of why the last attempt failed; None if a rotation has succeeded or begun since.
        failed_at: When the last rotation has failed and was over; None if it has not.
        refused_action: What the function was not allowed then, as policies name it; empty if that is not why.
        preflight: What is known of the next rotation before it is due; None if nobody has looked.
        engine: Which of Keyturn's engines the value is for, by its module's name; empty if that is not known.
    """

    arn: str
    name: str
    function_arn: str
    state: str
    at: datetime | None
    planned_at: datetime | None
    in_minute: int
    window: RotationWindow | None
    last_rotated_at: datetime | None
    counted_from: datetime | None
    members: Mapping[str, Any]
    due_at: datetime | None = None
    attempt: tuple[int, int] | None = None
    cause: str | None = None
    failed_at: datetime | None = None
    preflight: SeenBefore | None = None
    engine: str = ""
    refused_action: str = ""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> PlannedRotation:
        """Read an entry of ListPlannedRotations."""
        opens_at, closes_at = _utc(entry, "WindowOpensAt"), _utc(entry, "WindowClosesAt")
        return cls(
            arn=entry["ARN"],
            name=entry["Name"],
            function_arn=entry.get("RotationLambdaARN", ""),
            state=entry.get("State", "planned"),
            at=_utc(entry, "NextRotationAt"),
            planned_at=_utc(entry, "PlannedAt"),
            in_minute=entry.get("PlannedInMinute", 1),
            window=None if opens_at is None or closes_at is None else RotationWindow(opens_at, closes_at),
            last_rotated_at=_utc(entry, "LastRotatedDate"),
            counted_from=_utc(entry, "CountedFrom"),
            members=entry.get("RotationRules", {}),
            due_at=_utc(entry, "DueAt"),
            attempt=(entry["Attempt"], entry.get("Attempts", 1)) if "Attempt" in entry else None,
            cause=entry.get("Cause"),
            failed_at=_utc(entry, "FailedAt"),
            preflight=SeenBefore.of(entry),
            engine=entry.get("Engine", ""),
            refused_action=entry.get("RefusedAction", ""),
        )

    @property
    def next_at(self) -> datetime | None:
        """When something happens by itself: the next attempt, or the next rotation."""
        return self.due_at or self.at

    @property
    def rules(self) -> RotationRules:
        """Its rules, parsed."""
        return parse_rotation_rules(self.members)

    @property
    def rule(self) -> str:
        """Its schedule in a few words."""
        return rule_in_words(self.members)

    def is_late(self, now: datetime) -> bool:
        """Say whether its moment has passed, or a whole window in which it should have rotated."""
        if self.state == "off":
            return False
        if self.at is not None and self.at <= now:
            return True
        due = self._first_window()
        return due is not None and due.closes_at <= now

    def why(self) -> str:
        """Say in sentences where it stands, and why it is planned for then."""
        reasons = [] if self.at is None else [self._why_that_window(), *self._why_that_moment(self.at)]
        found = [] if self.preflight is None else [self.preflight.in_words()]
        return " ".join([*self._standing(), *reasons, *found])

    def document(self, now: datetime) -> dict[str, object]:
        """The same for programs."""
        moments = {
            "next_rotation_at": self.at,
            "next_attempt_at": self.due_at,
            "window_opens_at": self.window and self.window.opens_at,
            "window_closes_at": self.window and self.window.closes_at,
            "planned_at": self.planned_at,
            "last_rotated_at": self.last_rotated_at,
            "last_failed_at": self.failed_at,
            "counted_from": self.counted_from,
        }
        return {
            "secret": self.name,
            "arn": self.arn,
            "engine": self.engine or None,
            "function_arn": self.function_arn,
            **{name: moment and moment.isoformat() for name, moment in moments.items()},
            "rotation_rules": dict(self.members),
            "planned_in_minute": self.in_minute,
            "state": self.state,
            "late": self.is_late(now),
            "running": self.state in ("running", "pending"),
            "attempt": self.attempt and self.attempt[0],
            "attempts": self.attempt and self.attempt[1],
            "cause": self.cause,
            "preflight": self.preflight and self.preflight.document(),
            "why": self.why(),
        }

    def _standing(self) -> Iterator[str]:
        """Yield what is to be said of a secret that does not just wait for its moment."""
        number = f"attempt {self.attempt[0]} of {self.attempt[1]}" if self.attempt else "an attempt"
        failed = f": {cause_in_words(self.cause, self.refused_action)}" if self.cause else ""
        if self.state == "running":
            yield f"A rotation runs: {number}. The next one is planned when it has ended."
        elif self.state == "pending":
            begins = f" begins at {_said(self.due_at)}" if self.due_at else " is due"
            why = f" The last one failed{failed}." if failed else ""
            yield f"A rotation is under way: {number}{begins}.{why}"
        elif self.state == "parked":
            goes_on = (
                "in the next window" if self.at else "when keyturn rotation retry asks for it: no window is planned"
            )
            yield f"Its rotation is out of attempts{failed}, and is tried again {goes_on}."
        elif self.state == "failed":
            ended = f" at {_said(self.failed_at)}" if self.failed_at else ""
            goes_on = "It rotates again in the next window." if self.at else "It rotates again when RotateSecret asks."
            yield f"Its last rotation failed{ended}{failed}. {goes_on}"
        elif self.state == "unplanned":
            yield "It has no schedule: it rotates when RotateSecret asks for it."
        elif self.state == "off":
            yield "Rotation is switched off: RotateSecret turns it on again."

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

    def _why_that_moment(self, at: datetime) -> Iterator[str]:
        window = self.window
        if window is not None and window.closes_at - window.opens_at > _HOUR:
            until = "24:00" if window.closes_at == _midnight(window.opens_at) + _DAY else f"{window.closes_at:%H:%M}"
            span = f"{window.opens_at:%H:%M} to {until}"
            yield f"Of the hours from {span} chance drew {at:%H}:00, each being as likely."
        beside = "nothing else is planned in it" if self.in_minute == 1 else f"{self.in_minute} are planned in it"
        yield f"It drew minute {at:%M}, the top of the hour and empty minutes being likelier; {beside}."
        if self.planned_at is not None:
            yield f"This was planned at {_said(self.planned_at)}."


def rule_in_words(rules: Mapping[str, Any]) -> str:
    """Return RotationRules in a few words."""
    if not rules:
        return "no schedule"
    days = rules.get("AutomaticallyAfterDays")
    text = rules.get("ScheduleExpression") or (f"every {days} days" if days != 1 else "every day")
    duration = rules.get("Duration")
    return f"{text}, {duration}" if duration else str(text)


def _utc(entry: Mapping[str, Any], name: str) -> datetime | None:
    # The AWS SDK gives the server's moments in this machine's time zone.
    moment: datetime | None = entry.get(name)
    return None if moment is None else moment.astimezone(UTC)


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
