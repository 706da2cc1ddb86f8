"""When will it run? Notes, not faults, unless it should have run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, check
from keyturn.doctor.facts import Kind
from keyturn.doctor.model import Cause, Confidence, Evidence, Finding, Remedy, Role, Section, Topic
from keyturn.doctor.remedies import go_on
from keyturn.doctor.trail import TrailEvent
from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.rules.distance import distance
from keyturn.rules.schedule import Days, RotationWindow, parse_rotation_rules, window_that_closes

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_A_MICROSECOND = timedelta(microseconds=1)
_A_MOMENT = timedelta(seconds=10)
_HOURS = re.compile(r"(\d+)h")

NOT_DUE = Cause(
    id="schedule-not-due",
    section=Section.ROTATION,
    topic=Topic.SCHEDULE,
    title="It is not due yet",
    symptoms=("You can predict only the date of the next rotation, not the time.", "NextRotationDate"),
    evidence=("secretsmanager:DescribeSecret",),
    decision="NextRotationDate is ahead, or is today: with AutomaticallyAfterDays hour and minute are chosen within the"
    " UTC day, with a window any moment in it may be the one.",
    remedy="Nothing. To rotate at once: rotate-secret.",
)


@check(NOT_DUE)
def schedule_not_due(case: Case) -> Iterator[Finding]:
    """Say when the secret is due, for those who expected it earlier."""
    following = case.next_rotation_at
    if case.waiting is not None and case.waiting.runs:
        raise Skip("an attempt is under way")
    if following is None or following + window_length(case) < case.now:
        return
    yield Finding(
        NOT_DUE,
        _when(case, following),
        (
            Evidence(
                "secretsmanager:DescribeSecret",
                case.name,
                {
                    "LastRotatedDate": _told(case.last_rotated_at),
                    "NextRotationDate": _told(following),
                    "RotationRules": case.secret.get("RotationRules"),
                },
            ),
        ),
        Remedy("This rotates it before that.", (go_on(case),)),
        role=Role.NOTE,
    )


SHIFTED = Cause(
    id="schedule-shifted-by-manual-update",
    section=Section.ROTATION,
    topic=Topic.SCHEDULE,
    title="A change by hand has moved the next date",
    symptoms=("LastChangedDate", "PutSecretValue", "UpdateSecret"),
    evidence=("secretsmanager:DescribeSecret", "cloudtrail:LookupEvents"),
    decision="Somebody other than the rotation function has stored a value since the last rotation: by PutSecretValue,"
    " or by an UpdateSecret at whose moment a version was made. A manual change"
    " counts as a rotation when the next date is reckoned.",
    remedy="Nothing; rotate now if the date matters.",
)


@check(SHIFTED)
def schedule_shifted_by_manual_update(case: Case) -> Iterator[Finding]:
    """Look for values that somebody has stored since the last rotation."""
    if case.last_rotated_at is None:
        return
    by_hand = [
        event
        for name in ("PutSecretValue", "UpdateSecret")
        for event in case.events(name)
        if has_stored(case, event) and event.at > case.last_rotated_at and f"/{case.function_name}" not in event.caller
    ]
    if not by_hand:
        return
    last = max(by_hand, key=lambda event: event.at)
    yield Finding(
        SHIFTED,
        f"{last.caller.rpartition(':')[2]} has stored a value by hand since then, which moves the next date",
        (last.evidence(last.by_whom),),
        Remedy("This rotates it before that.", (go_on(case),)),
        role=Role.NOTE,
        confidence=Confidence.LIKELY,
    )


def has_stored(case: Case, event: TrailEvent) -> bool:
    """Whether a call has stored a value: UpdateSecret may have changed a key only, and values are in no trail."""
    if event.error_code or event.name != "UpdateSecret" or case.versions.kind is not Kind.OK:
        return not event.error_code
    made = [version.get("CreatedDate") for version in case.versions.found.get("Versions", [])]
    return any(isinstance(moment, datetime) and abs(moment - event.at) <= _A_MOMENT for moment in made)


OVERDUE = Cause(
    id="schedule-overdue",
    section=Section.ROTATION,
    topic=Topic.SCHEDULE,
    title="It should have rotated, and has not",
    symptoms=("NextRotationDate in the past",),
    evidence=("secretsmanager:DescribeSecret",),
    decision="NextRotationDate lies more than a window (24 hours, or Duration) in the past, and no attempt is under"
    " way. A cause only if nothing else is one.",
    remedy="Mend what is named beside it, then rotate now.",
    yields=True,
)


@check(OVERDUE)
def schedule_overdue(case: Case) -> Iterator[Finding]:
    """Look whether the date has passed."""
    following = case.next_rotation_at
    if following is None:
        return
    if case.is_in_progress:
        raise Skip("an attempt is under way")
    late = case.now - following - window_length(case)
    if late <= timedelta():
        return
    # That nothing else is the matter is only known to who may look.
    _ = case.runs, case.failures
    yield Finding(
        OVERDUE,
        f"it was due {distance(following, case.now)}, and its window has passed",
        (
            Evidence(
                "secretsmanager:DescribeSecret",
                case.name,
                {"NextRotationDate": _told(following), "RotationRules": case.secret.get("RotationRules")},
            ),
        ),
        Remedy("Rotate it now, when what stops it is mended.", (go_on(case),)),
    )


def window_length(case: Case) -> timedelta:
    """Return the length of the secret's rotation window: its Duration, else a day."""
    rules = case.secret.get("RotationRules") or {}
    hours = _HOURS.fullmatch(str(rules.get("Duration") or ""))
    return timedelta(hours=int(hours[1])) if hours else _DAY


def _when(case: Case, following: datetime) -> str:
    """Say when the window is, in which the moment is not told."""
    window = _window(case, following)
    if window is None:
        return f"the next rotation is due by {_told(following)}, {distance(following, case.now)}"
    if window.opens_at > case.now:
        return f"the next rotation window {window.in_words()}: it opens {distance(window.opens_at, case.now)}"
    return f"the rotation window {window.in_words()}: it is open"


def _window(case: Case, following: datetime) -> RotationWindow | None:
    """Return the window at whose end NextRotationDate is, a second before the hour; None if no rules tell of it."""
    closes_at = (following + _HOUR - _A_MICROSECOND).replace(minute=0, second=0, microsecond=0)
    members = dict(case.secret.get("RotationRules") or {})
    if "ScheduleExpression" in members:
        # DescribeSecret tells the days that it comes to as well.
        members.pop("AutomaticallyAfterDays", None)
    try:
        rules = parse_rotation_rules(members)
    except InvalidParameterException:
        return None
    if rules.schedule is None:
        return None
    if isinstance(rules.schedule, Days) and rules.duration_hours is None:
        # At whatever time of the day: other servers tell another one.
        midnight = following.replace(hour=0, minute=0, second=0, microsecond=0)
        return RotationWindow(midnight, midnight + _DAY)
    return window_that_closes(rules, closes_at)


def _told(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
