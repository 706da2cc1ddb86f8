"""The one thing that gets a secret's rotation going from where it stands, for whoever may.

RotateSecret is refused while a version is pending, and lets the attempt that waits begin with a refusal for an answer:
where one waits, RetryRotation is offered in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from keyturn.console.visit import Visit

Json = Mapping[str, Any]
UNSEEN: Final = "unseen"
BESIDE_A_VERDICT: Final[Mapping[str, bool]] = {"is_watched": False, "is_refused": False, "is_untried": False}
"""For ``rotation_act.html``: the steps are shown elsewhere, and what mends a refused password stands with its cause."""
"""The state of a rotation that whoever looks may not see."""


class Act(StrEnum):
    """What there is to do."""

    WATCH = "watch"
    RETRY = "retry"
    ROTATE = "rotate"
    TURN_ON = "turn on"
    # RotateSecret refuses to turn rotation on while a version is left pending.
    TAKE_OFF = "take off"
    SET_UP = "set up"


_CALLS: Final[Mapping[Act, tuple[str, str, Mapping[str, Any]]]] = {
    Act.RETRY: ("keyturn", "retry_rotation", {}),
    Act.ROTATE: ("secretsmanager", "rotate_secret", {}),
    Act.TURN_ON: ("secretsmanager", "rotate_secret", {}),
    Act.TAKE_OFF: ("secretsmanager", "update_secret_version_stage", {"VersionStage": "AWSPENDING"}),
    Act.SET_UP: ("secretsmanager", "rotate_secret", {}),
}
_ACTIONS: Final = {
    "retry_rotation": "keyturn:RetryRotation",
    "rotate_secret": "secretsmanager:RotateSecret",
    "update_secret_version_stage": "secretsmanager:UpdateSecretVersionStage",
}


@dataclass(frozen=True, slots=True)
class NextAct:
    """What somebody can do next.

    Attributes:
        secret_arn: Whose rotation.
        state: ``running``, ``pending``, ``parked``, ``unseen``, or anything else.
        due_at: When it goes on by itself, if that is known.
        pending_id: The version that AWSPENDING was left on; empty if there is none.
        needs: What is not allowed to whoever looks; empty if they may do it.
    """

    act: Act
    secret_arn: str
    state: str
    due_at: datetime | None
    pending_id: str
    needs: str

    @property
    def may_be_under_way(self) -> bool:
        """Whether only a label tells of a rotation that may not have ended."""
        return self.state == UNSEEN and bool(self.pending_id)


def next_act(visit: Visit, secret: Json, state: str, due_at: datetime | None = None) -> NextAct | None:
    """Return what can be done about a secret's rotation; None if it is not rotated here.

    Args:
        visit: Who would do it.
        secret: As DescribeSecret answers it.
        state: Of the rotation that has not ended: ``running``, ``pending`` or ``parked``; ``unseen`` if nobody may say
            whether there is one; anything else if there is none.
        due_at: When that goes on by itself.
    """
    if "DeletedDate" in secret or secret.get("PrimaryRegion", visit.session.region) != visit.session.region:
        return None
    if "OwningService" in secret and not secret.get("RotationLambdaARN"):
        return None
    pending_id = _left_pending(secret)
    act = act_of(secret, state, pending_id)
    needs = ""
    if act in _CALLS:
        service, operation, members = _CALLS[act]
        if not visit.clients.allow(service, operation, SecretId=secret["ARN"], **members):
            needs = _ACTIONS[operation]
    return NextAct(act, secret["ARN"], state, due_at, pending_id, needs)


def act_of(secret: Json, state: str, pending_id: str) -> Act:
    """Return what gets a rotation going from where it stands."""
    if not secret.get("RotationLambdaARN"):
        return Act.SET_UP
    if state == "running":
        return Act.WATCH
    if secret.get("RotationEnabled"):
        return Act.RETRY if state in ("pending", "parked") else Act.ROTATE
    if state in ("pending", "parked"):
        # It was cancelled, and the database is asked which version it has.
        return Act.WATCH
    return Act.TAKE_OFF if pending_id else Act.TURN_ON


def _left_pending(secret: Json) -> str:
    stages: Mapping[str, list[str]] = secret.get("VersionIdsToStages", {})
    return next((each for each, labels in stages.items() if "AWSPENDING" in labels and "AWSCURRENT" not in labels), "")
