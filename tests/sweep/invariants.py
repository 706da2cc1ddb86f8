"""What must be true after each point, whatever was done to a rotation; one function for all series."""

from __future__ import annotations

import time
from itertools import pairwise

from keyturn.app import open_trail
from keyturn.rules.rotation import Step, StepOutcome
from keyturn.storage.rotations import RotationStatus

from .gate import Watched
from .lane import Lane, Seen, Version

# The last event of a rotation is stored just after the rotation itself.
_TELLING_SECONDS = 3.0
_UNTOLD = {RotationStatus.PENDING, RotationStatus.CANCELLED}


def violations(
    lane: Lane, before: Version, token: str, seen: Seen | None, watched: Watched, *, clock_is_true: bool = True
) -> list[str]:
    """Return what is wrong, in words; empty if nothing is.

    1. The rotation has ended by itself.
    2. The value that applications read logs in.
    3. No version is lost: what was current is there unchanged, and is AWSPREVIOUS if the rotation succeeded.
    4. It was told once that it succeeded, or that it failed.
    5. No two steps ran at once.
    6. The audit trail is what was written.

    Args:
        lane: What was rotated.
        before: The current version before.
        token: The version that the rotation makes.
        seen: The rotation as stored, when it had ended or the time was up.
        watched: What its functions told.
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
    found += _of_telling(lane, token, status)
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


def _of_telling(lane: Lane, token: str, status: RotationStatus) -> list[str]:
    if status in _UNTOLD:
        return []
    deadline = time.monotonic() + _TELLING_SECONDS
    while not (wrong := _untold(lane.told(token), status)) == [] and time.monotonic() < deadline:
        time.sleep(0.1)
    return wrong


def _untold(told: list[str], status: RotationStatus) -> list[str]:
    wrong = []
    if (started := told.count("RotationStarted")) != 1:
        wrong.append(f"RotationStarted was told {started} times")
    succeeded = told.count("RotationSucceeded")
    if succeeded != (1 if status is RotationStatus.SUCCEEDED else 0):
        wrong.append(f"RotationSucceeded was told {succeeded} times, the rotation is {status}")
    if status is not RotationStatus.SUCCEEDED and not {"RotationFailed", "RotationAbandoned"} & set(told):
        wrong.append(f"nobody was told that the rotation is {status}")
    return wrong
