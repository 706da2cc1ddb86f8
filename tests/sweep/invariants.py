"""What must be true after each point, whatever was done to a rotation; one function for all series."""

from __future__ import annotations

from itertools import pairwise

from keyturn.app import open_trail
from keyturn.rules.rotation import Step, StepOutcome
from keyturn.storage.rotations import RotationStatus

from .gate import Watched
from .lane import Lane, Seen, Version

_UNTOLD = {RotationStatus.PENDING, RotationStatus.CANCELLED}


def violations(
    lane: Lane,
    before: Version,
    token: str,
    seen: Seen | None,
    watched: Watched,
    *,
    may_repeat: bool = False,
    clock_is_true: bool = True,
) -> list[str]:
    """Return what is wrong, in words; empty if nothing is.

    1. The rotation has ended by itself.
    2. The value that applications read logs in.
    3. No version is lost: what was current is there unchanged, and is AWSPREVIOUS if the rotation succeeded.
    4. It was told that it began, and that it succeeded or failed.
    5. No two steps ran at once.
    6. The audit trail is what was written.

    Args:
        lane: What was rotated.
        before: The current version before.
        token: The version that the rotation makes.
        seen: The rotation as stored, when it had ended or the time was up.
        watched: What its functions told.
        may_repeat: Whether a server or its database was struck: what it was about to commit can be told once more.
        clock_is_true: Whether moments stored by servers can be compared.
    """
    if seen is None:
        return ["there is no rotation"]
    found = []
    status = seen.rotation.status
    if not seen.has_ended:
        found.append(f"it has not ended: {seen.rotation.step}, attempt {seen.rotation.attempt}, {seen.rotation.error}")
    succeeded = status is RotationStatus.SUCCEEDED
    found += _of_versions(lane, before, token, seen, succeeded=succeeded)
    found += _of_telling(lane, token, status, most=2 if may_repeat else 1)
    found += watched.overlaps
    if clock_is_true:
        found += [
            f"step {second.position} was begun before step {first.position} had ended"
            for first, second in pairwise(seen.steps)
            if first.ended_at is not None and second.started_at < first.ended_at
        ]
    with open_trail(lane.keyturn.settings) as trail:
        found += [f"audit trail: {fault.message}" for fault in trail.verify([], [], lambda *_: None).faults]
    return found


def _of_versions(lane: Lane, before: Version, token: str, seen: Seen, *, succeeded: bool) -> list[str]:
    found = []
    current = lane.version("AWSCURRENT")
    if not lane.accepts(current):
        found.append(f"AWSCURRENT does not log in (rotation {seen.rotation.status}: {seen.rotation.error})")
    if current.version_id != (token if succeeded else before.version_id):
        found.append(f"AWSCURRENT is on {current.version_id}, not on the version that should have it")
    if lane.value_of(before.version_id) != before.value:
        found.append("the value that was current is another")
    if succeeded and lane.version("AWSPREVIOUS").version_id != before.version_id:
        found.append("AWSPREVIOUS is not on the version that was current")
    stored = {(step.step, step.outcome) for step in seen.steps}
    if (Step.CREATE, StepOutcome.SUCCEEDED) in stored and not lane.value_of(token):
        found.append("the new version has lost its value")
    return found


def _of_telling(lane: Lane, token: str, status: RotationStatus, most: int) -> list[str]:
    if status in _UNTOLD:
        return []
    told, wrong = lane.told(token), []
    if not 1 <= (started := told.count("RotationStarted")) <= most:
        wrong.append(f"RotationStarted was told {started} times")
    succeeded = told.count("RotationSucceeded")
    if not (1 <= succeeded <= most if status is RotationStatus.SUCCEEDED else succeeded == 0):
        wrong.append(f"RotationSucceeded was told {succeeded} times, the rotation is {status}")
    if status is not RotationStatus.SUCCEEDED and not {"RotationFailed", "RotationAbandoned"} & set(told):
        wrong.append(f"nobody was told that the rotation is {status}")
    return wrong
