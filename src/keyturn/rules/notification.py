"""What notifiers are told: from an audit event and what is known of its rotation to one JSON document.

The format is ``keyturn.notification/1`` (docs/notifications.md): members are added to it, none is renamed or removed.
No member holds a secret value: errors arrive here masked (``rules/masking.py``), and nothing else is anybody's text but
names and ARNs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from keyturn.clock import from_milliseconds
from keyturn.rules.audit_event import ServiceEventName
from keyturn.rules.audit_record import AuditRecord
from keyturn.rules.preflight import Verdict
from keyturn.rules.repair import Repair

FORMAT = "keyturn.notification/1"
TEST_EVENT = "NotificationTest"
"""What ``keyturn notify test`` sends; it stands in no audit trail."""

PREFLIGHT_EVENTS = frozenset(
    {ServiceEventName.ROTATION_PREFLIGHT_FAILED, ServiceEventName.ROTATION_PREFLIGHT_SUCCEEDED}
)
DEFAULT_EVENTS = PREFLIGHT_EVENTS | {
    ServiceEventName.ROTATION_FAILED,
    ServiceEventName.ROTATION_ABANDONED,
    ServiceEventName.ROTATION_RESOLVED,
}
FAILURES = frozenset({ServiceEventName.ROTATION_FAILED, ServiceEventName.TEST_ROTATION_FAILED})
ROTATION_EVENTS = frozenset(name for name in ServiceEventName if "Rotation" in name) - PREFLIGHT_EVENTS

DECIDED_AFTER = timedelta(seconds=5)
"""For so long after a failure it may be waited until it is known how the rotation goes on."""
LONGEST_WAIT = timedelta(hours=24)
"""A message that nobody has taken for so long is given up."""
_FIRST_DELAY, _LONGEST_DELAY = timedelta(seconds=5), timedelta(minutes=15)

_TEXT_CHARACTERS = 600
_SUFFIX_CHARACTERS = 7
# Controls, marks that turn text around, separators of lines.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
# Chats read <!channel> as a call to everybody; a function that fails must not be able to make one.
_BRACKETS = str.maketrans({"<": "‹", ">": "›"})
_HAPPENED = {
    ServiceEventName.ROTATION_STARTED: "The rotation of {} has begun",
    ServiceEventName.ROTATION_SUCCEEDED: "{} was rotated",
    ServiceEventName.ROTATION_FAILED: "The rotation of {} failed",
    ServiceEventName.ROTATION_ABANDONED: "The rotation of {} was abandoned: its version is not pending any more",
    ServiceEventName.ROTATION_RESOLVED: "The database of {} was asked which password it accepts",
    ServiceEventName.ROTATION_PREFLIGHT_SUCCEEDED: "The next rotation of {} is expected to succeed again",
    ServiceEventName.TEST_ROTATION_STARTED: "The test rotation of {} has begun",
    ServiceEventName.TEST_ROTATION_SUCCEEDED: "The test rotation of {} succeeded",
    ServiceEventName.TEST_ROTATION_FAILED: "The test rotation of {} failed",
    TEST_EVENT: "Keyturn can reach you here. This is a test, nothing has happened",
}
_LOOK = "keyturn rotation show"
_LOOK_BEFORE = "keyturn schedule --why --name-prefix"
_REPAIRS: dict[str, str] = {
    Repair.FORWARD: "the new one, which is current now.",
    Repair.BACK: "the current one; the new one was dropped.",
    Repair.REVERT: "the previous one, which is current again.",
    Repair.RECOVER: "one that had lost its label, which is current now.",
    Repair.NONE_NEEDED: "the current one; nothing was pending.",
    Repair.ALL_REFUSED: "none that is stored, so who reads the secret does not get in. Somebody has to set a password.",
}


@dataclass(frozen=True, slots=True)
class RotationFacts:
    """What is known of the rotation that an event is about.

    Attributes:
        function_arn: Of the rotation function.
        version_id: The version it makes.
        attempt: Which run through the steps in this window, from 1; None if no step was found for the event.
        attempts: How many runs there are in a window at most.
        step: That failed.
        cause: In one word (``rules/rotation_cause.py``).
        error: In the function's words, masked.
        is_final: Whether nothing more is tried until the next window, or until somebody asks; None if nothing failed,
            or if it is not known yet, because the database is being asked which password it accepts.
        next_attempt_at: When it is tried again, if it is.
        next_rotation_at: When the secret rotates next, if that is planned.
        repair: What was done about the labels, if that is what the event tells (``rules/repair.py``).
        is_decided: Whether this is all there is to know: the event is there a moment before the state is.
    """

    function_arn: str | None
    version_id: str
    attempt: int | None = None
    attempts: int | None = None
    step: str | None = None
    cause: str | None = None
    error: str | None = None
    is_final: bool | None = None
    next_attempt_at: datetime | None = None
    next_rotation_at: datetime | None = None
    repair: str | None = None
    is_decided: bool = True


@dataclass(frozen=True, slots=True)
class PreflightFacts:
    """What a pre-flight has found; see ``rules/preflight.py``."""

    verdict: str
    heartbeat: str
    causes: tuple[str, ...]
    next_rotation_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """One event that somebody may want to know of. ``error`` is what the audit event says."""

    event_id: str
    event_name: str
    at: datetime
    account_id: str
    region: str
    secret_arn: str | None
    error: str | None = None
    rotation: RotationFacts | None = None
    preflight: PreflightFacts | None = None

    @classmethod
    def of(
        cls,
        record: AuditRecord,
        error: str | None,
        rotation: RotationFacts | None,
        preflight: PreflightFacts | None = None,
    ) -> Notification:
        """Return what an audit record is about."""
        at = from_milliseconds(record.event_time)
        place = (record.account_id, record.region)
        return cls(record.event_id, record.event_name, at, *place, record.resource_name, error, rotation, preflight)

    @property
    def secret_name(self) -> str | None:
        """The secret's name: what its ARN has before the six random characters."""
        return None if self.secret_arn is None else self.secret_arn.partition(":secret:")[2][:-_SUFFIX_CHARACTERS]

    def may_be_decided_soon(self, now: datetime) -> bool:
        """Whether more will be known in a moment."""
        is_fresh = timedelta(0) <= now - self.at < DECIDED_AFTER
        return is_fresh and self.rotation is not None and not self.rotation.is_decided

    def document(self) -> dict[str, object]:
        """Return what a notifier is given, ready for JSON."""
        rotation = self.rotation
        is_about = self.secret_arn is not None
        return {
            "format": FORMAT,
            "id": self.event_id,
            "event": self.event_name,
            "time": _iso(self.at),
            "account": self.account_id,
            "region": self.region,
            "secret": {"arn": self.secret_arn, "name": self.secret_name} if is_about else None,
            "error": (rotation and rotation.error) or self.error,
            "rotation": rotation
            and {
                "version_id": rotation.version_id,
                "function_arn": rotation.function_arn,
                "attempt": rotation.attempt,
                "attempts": rotation.attempts,
                "step": rotation.step,
                "cause": rotation.cause,
                "final": rotation.is_final,
                "next_attempt_at": _iso(rotation.next_attempt_at),
                "next_rotation_at": _iso(rotation.next_rotation_at),
                "repair": rotation.repair,
            },
            "preflight": self.preflight
            and {
                "verdict": self.preflight.verdict,
                "heartbeat": self.preflight.heartbeat,
                "causes": list(self.preflight.causes),
                "next_rotation_at": _iso(self.preflight.next_rotation_at),
            },
            "text": self.text(),
        }

    def text(self) -> str:
        """Return one line for people, without anything that a terminal or a chat would act upon."""
        where = self.secret_name or "a secret"
        is_foreseen = self.event_name == ServiceEventName.ROTATION_PREFLIGHT_FAILED
        happened = _HAPPENED.get(self.event_name, self.event_name + " of {}")
        said = (_foreseen(self.preflight) if is_foreseen else happened).format(where)
        if self.event_name != TEST_EVENT:
            said += f" ({self.account_id}, {self.region})"
        if self.rotation is not None and self.event_name in FAILURES:
            said += _course(self.rotation, where)
        if self.rotation is not None and self.rotation.repair is not None:
            said += f": {_REPAIRS.get(self.rotation.repair, self.rotation.repair)}"
        if self.event_name == ServiceEventName.ROTATION_ABANDONED:
            said += f" (by whom: {_LOOK} {where})"
        elif self.rotation is not None and self.rotation.repair == Repair.ALL_REFUSED:
            said += f" {_LOOK} {where}"
        if self.preflight is not None and self.preflight.next_rotation_at is not None:
            said += f"; it is planned for {self.preflight.next_rotation_at:%Y-%m-%d %H:%M} UTC"
        error = (self.rotation and self.rotation.error) or self.error
        if error:
            said += f" ({_LOOK_BEFORE} {where}): {error}" if is_foreseen else f" {error}"
        line = _UNSEEN.sub(" ", said).translate(_BRACKETS)
        return line if len(line) <= _TEXT_CHARACTERS else f"{line[: _TEXT_CHARACTERS - 1]}…"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which notifications a notifier is sent.

    Attributes:
        events: Their names.
        secrets: Patterns of which one must fit the secret's name, as shells read them (``prod/*``); none for all.
        only_final: Leave out failures that are tried again in the same window.
        needless: Whether it is also told that a database was asked and nothing had to be changed.
    """

    events: frozenset[str] = DEFAULT_EVENTS
    secrets: tuple[str, ...] = ()
    only_final: bool = False
    needless: bool = False

    def wants(self, notification: Notification) -> bool:
        """Say whether this one is to be sent."""
        if notification.event_name not in self.events:
            return False
        name = notification.secret_name or ""
        if self.secrets and not any(fnmatchcase(name, pattern) for pattern in self.secrets):
            return False
        rotation = notification.rotation
        if rotation is not None and rotation.repair == Repair.NONE_NEEDED and not self.needless:
            return False
        is_tried_again = rotation is not None and rotation.is_final is False
        return not (self.only_final and is_tried_again)


def is_final(failed_attempt: int, *, begun_later: int | None, planned: int | None) -> bool:
    """Say whether a failed attempt was the last one in its window; in the next one their numbers begin anew.

    Args:
        failed_attempt: Its number.
        begun_later: The number of the first attempt that was begun after it; None if there is none.
        planned: The number of the one that is due; None if none is. Asking the database is no attempt.
    """
    following = planned if begun_later is None else begun_later
    return following != failed_attempt + 1


def next_try(first_at: datetime, tries: int, now: datetime, jitter: float) -> datetime | None:
    """Return when a message is offered again; None if it is given up.

    It waits for five seconds, then for twice as long each time up to fifteen minutes, and for a day altogether. A
    message that is older is still offered once, to whoever was away for longer.

    Args:
        first_at: Since when it waits, aware UTC.
        tries: How often it was offered, from 1.
        now: Aware UTC.
        jitter: Uniform in [0, 1); takes up to half of the pause away, so that what failed together does not come back
            together.
    """
    # Beyond ten doublings the bound holds anyway.
    delay = min(_FIRST_DELAY * (1 << min(tries - 1, 10)), _LONGEST_DELAY) * (1 - jitter / 2)
    at = now + delay
    return at if at <= first_at + LONGEST_WAIT else None


def _course(rotation: RotationFacts, secret: str) -> str:
    """Return how a failed rotation goes on, as the rest of a sentence."""
    where = f" in {rotation.step}" if rotation.step else ""
    of = f" of {rotation.attempts}" if rotation.attempts else ""
    number = f" at attempt {rotation.attempt}{of}" if rotation.attempt else ""
    if rotation.next_attempt_at is not None:
        goes_on = f"; it is tried again at {rotation.next_attempt_at:%H:%M:%S} UTC"
    elif rotation.is_final and rotation.next_rotation_at is not None:
        goes_on = f"; it is not tried again before {rotation.next_rotation_at:%Y-%m-%d %H:%M} UTC"
    else:
        goes_on = {
            True: "; it is not tried again by itself",
            False: "; it goes on",
            None: "; the database is being asked which password it accepts" if rotation.attempt else "",
        }[rotation.is_final]
    look = f" ({_LOOK} {secret})" if rotation.is_final else ""
    return f"{where}{number}{goes_on}{look}" + (":" if rotation.error else ".")


def _foreseen(preflight: PreflightFacts | None) -> str:
    """Return what a pre-flight has found, as the beginning of a sentence with a blank for the secret's name."""
    if preflight is not None and preflight.verdict != Verdict.WILL_FAIL:
        return "The database of {} does not have what the secret says"
    return "The next rotation of {} will fail"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
