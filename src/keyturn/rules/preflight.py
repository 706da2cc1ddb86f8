"""What a pre-flight means: from what was found inside the function's sandbox to a verdict, and to the heartbeat.

The *verdict* is about the next rotation: ``ready``, ``will fail`` with its causes, or ``unknown`` if what it takes
could not be looked at. The *heartbeat* is about the present: ``in step`` if the database accepts the current value and
refuses the previous one where it should be dead, ``drift`` with its cause if not, ``unknown`` if it did not say.

A cause is the item that failed and its code, ``login.superuser:AuthenticationFailed``; a drift's is one of
:class:`Drift`. Items and codes are those of ``rotators/preflight``; the format of a cause is ``keyturn.preflight/1``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from keyturn.rules.schedule import RandomSource

LOOK_AGAIN = timedelta(minutes=10)
"""After what may pass by itself (the database is away) it is looked again, before anybody is told."""

WHILE_AWAY = timedelta(hours=1)
"""As long as it has not passed. What a login was refused for is not tried again so soon: some databases lock users."""

RETRY = timedelta(seconds=10)
"""While a rotation runs, and if there is no place for a pre-flight."""

_EARLIEST_SOON, _LATEST_SOON = timedelta(seconds=3), timedelta(seconds=15)
_EARLIEST_NEXT, _LATEST_NEXT = timedelta(hours=22), timedelta(hours=24)

# What a restart, a full server or a lost packet may explain.
_PASSING = frozenset(
    {
        "HostNotFound",
        "HostUnreachable",
        "ConnectionRefused",
        "ConnectionTimedOut",
        "ConnectionLost",
        "NotReady",
        "StatementTimedOut",
        "LockTimedOut",
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ConnectionClosedError",
        "InternalServiceError",
        "ThrottlingException",
        "TooManyRequestsException",
        "Unexpected",
    }
)
_REFUSED = "AuthenticationFailed"
# Without these nobody knows whether a rotation would succeed.
_NEEDED = ("function.start", "function.import", "secret.read", "secret.value", "login.current")
_CURRENT, _PREVIOUS, _PENDING = "login.current", "login.previous", "login.pending"
_OFF = "Off"
# Of versions that there are not, or that are no others.
_NOTHING_TO_ASK = frozenset({"NoVersion", "SameValue"})


class ItemStatus(StrEnum):
    """How one item was found."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


class Verdict(StrEnum):
    """Whether the next rotation would succeed."""

    READY = "ready"
    WILL_FAIL = "will fail"
    UNKNOWN = "unknown"


class Heartbeat(StrEnum):
    """Whether the database has what the secret says."""

    IN_STEP = "in step"
    DRIFT = "drift"
    UNKNOWN = "unknown"


class Drift(StrEnum):
    """How secret and database have parted."""

    PENDING_IN_DATABASE = "drift:PendingIsInDatabase"
    PREVIOUS_IN_DATABASE = "drift:PreviousIsInDatabase"
    CHANGED_OUTSIDE = "drift:ChangedOutside"
    # Whether it accepts another version could not be found out.
    CURRENT_REFUSED = "drift:CurrentRefused"
    PREVIOUS_ACCEPTED = "drift:PreviousStillAccepted"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was looked at."""

    item: str
    status: ItemStatus
    code: str
    reason: str
    seconds: float = 0.0

    @property
    def cause(self) -> str:
        """The item and its code."""
        return f"{self.item}:{self.code}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a pre-flight means.

    Attributes:
        causes: Why a rotation will fail, what has parted, or what could not be looked at; in the order of the items.
        again_after: After which time it is to be looked again, because what was found may pass by itself; None for the
            usual.
    """

    verdict: Verdict
    heartbeat: Heartbeat
    causes: tuple[str, ...]
    again_after: timedelta | None = None

    @property
    def is_bad(self) -> bool:
        """Whether somebody has to do something."""
        return self.verdict is Verdict.WILL_FAIL or self.heartbeat is Heartbeat.DRIFT


def judge(items: Sequence[Item], before: Sequence[str] | None) -> Judgement:
    """Return what was found means.

    Args:
        items: What was looked at.
        before: The causes of the look before. What may pass by itself makes a rotation fail if it was found then, too;
            None to take it as it is now.
    """
    found = {item.item: item for item in items}
    drift = _drift(found)
    failed = [item for item in items if item.status is ItemStatus.FAILED and item.item != _PREVIOUS]
    if drift in (Drift.PENDING_IN_DATABASE, Drift.PREVIOUS_IN_DATABASE):
        # A rotation asks for these as well, and goes on from there.
        failed = [item for item in failed if item.item != _CURRENT]
    passing = [item for item in failed if item.code in _PASSING]
    first_seen = [item for item in passing if before is not None and item.cause not in before]
    causes = [item.cause for item in failed] + ([drift.value] if drift else [])
    heartbeat = Heartbeat.DRIFT if drift else _heartbeat(found)
    if len(failed) > len(first_seen):
        is_away = len(passing) == len(failed)
        return Judgement(Verdict.WILL_FAIL, heartbeat, tuple(causes), WHILE_AWAY if is_away else None)
    if failed:
        return Judgement(Verdict.UNKNOWN, heartbeat, tuple(causes), LOOK_AGAIN)
    unseen = [item.cause for item in items if item.item in _NEEDED and item.status is ItemStatus.SKIPPED]
    unseen = unseen or [f"{name}:NotLooked" for name in _NEEDED[1:] if name not in found]
    if unseen:
        return Judgement(Verdict.UNKNOWN, heartbeat, (*unseen, *causes))
    return Judgement(Verdict.READY, heartbeat, tuple(causes))


def next_look(now: datetime, chance: RandomSource, again_after: timedelta | None) -> datetime:
    """Return when to look again without being asked: about a day later, so that many do not come together for ever."""
    if again_after is not None:
        return now + again_after
    span = (_LATEST_NEXT - _EARLIEST_NEXT) // timedelta(seconds=1)
    return now + _EARLIEST_NEXT + timedelta(seconds=chance.randbelow(span))


def soon(now: datetime, chance: RandomSource) -> datetime:
    """Return when to look again at what somebody may have mended: in some seconds, not many in the same moment."""
    span = (_LATEST_SOON - _EARLIEST_SOON) // timedelta(seconds=1)
    return now + _EARLIEST_SOON + timedelta(seconds=chance.randbelow(span))


def _heartbeat(found: Mapping[str, Item]) -> Heartbeat:
    current, previous = found.get(_CURRENT), found.get(_PREVIOUS)
    is_accepted = current is not None and current.status is ItemStatus.OK
    is_asked = previous is not None and previous.code != _OFF
    return Heartbeat.IN_STEP if is_accepted and is_asked else Heartbeat.UNKNOWN


def _drift(found: Mapping[str, Item]) -> Drift | None:
    """Return how secret and database have parted; None if they have not, or nobody knows."""
    current, previous, pending = (found.get(name) for name in (_CURRENT, _PREVIOUS, _PENDING))
    if current is None or previous is None or pending is None or previous.code == _OFF:
        return None
    if current.status is ItemStatus.OK:
        return Drift.PREVIOUS_ACCEPTED if previous.status is ItemStatus.FAILED else None
    if current.code != _REFUSED:
        return None
    if pending.code == "Accepted":
        return Drift.PENDING_IN_DATABASE
    # Of another user (AWSPREVIOUS of alternating users) it says nothing of the current one: AcceptedOtherUser.
    if previous.code in ("StillAccepted", "Accepted"):
        return Drift.PREVIOUS_IN_DATABASE
    is_told = all(each.status is ItemStatus.OK or each.code in _NOTHING_TO_ASK for each in (previous, pending))
    return Drift.CHANGED_OUTSIDE if is_told else Drift.CURRENT_REFUSED
