"""Invoke a rotation function for one step, and read what it answers.

Beside AWS's contract, in which an answer means nothing, a function may offer ``probeSecret`` (``rules/rotation.py``)
by answering any step with::

    {"rotator": "keyturn.rotator/1", "offers": ["probeSecret"]}

and answers that step with the ids of the versions that the database accepts and refuses::

    {"rotator": "keyturn.rotator/1", "accepted": ["…"], "refused": ["…"]}

It asks about the labelled versions and, if all of these are refused, about those in the event's ``LostVersionIds``, in
their order and up to the first that is accepted: rotations may have set them before somebody took their label off.

It may add in ``unanswered`` why it could not find out more, begun with a short name: ``"ConnectionRefused: …"``.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from keyturn.errors.base import AwsError, KeyturnError
from keyturn.errors.common import AccessDenied
from keyturn.errors.lambda_ import TooManyRequestsException
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.specs import spec_of
from keyturn.operations.secretsmanager.known_values import mask_of
from keyturn.operations.secretsmanager.rotation_function import cannot_invoke, invocable_function
from keyturn.operations.secretsmanager.rotation_marks import rotation_token
from keyturn.rules.masking import Mask
from keyturn.rules.repair import Answers
from keyturn.rules.rotation import Step, StepOutcome
from keyturn.rules.staging import AWSPENDING
from keyturn.runtime.pool import RESERVATION_USED_UP
from keyturn.runtime.spec import Invocation
from keyturn.storage import rotations, secrets
from keyturn.storage.functions import FunctionRecord
from keyturn.storage.rotations import RotationRecord
from keyturn.storage.secrets import SecretRecord
from keyturn.storage.stored_text import storable

_log = logging.getLogger(__name__)

_TIMED_OUT = "Sandbox.Timedout"
_ERROR_LENGTH = 1000
# What a function calls its errors, if that can be told from a sentence and goes into a column.
CAUSE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}", re.ASCII)
_FORMAT = "keyturn.rotator/1"
_NOT_KEPT = "What the function said is not kept: the secret has been deleted meanwhile."


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one invocation ended.

    Attributes:
        outcome: For the state machine.
        error: For people; None if it succeeded.
        cause: A short name of the error.
        refusal: What refused it, if a policy did.
        offers_probe: Whether the function says that it knows ``probeSecret``.
        answers: What it has found out by that.
        unanswered: Why it has not found out more, in its own words.
    """

    outcome: StepOutcome
    error: str | None = None
    cause: str | None = None
    refusal: AccessDenied | None = None
    offers_probe: bool = False
    answers: Answers = field(default_factory=Answers)
    unanswered: str | None = None


def invoke_step(kit: Kit, rotation: RotationRecord, secret: SecretRecord, step: Step, request_id: str) -> Outcome:
    """Run the rotation function once, and return when it has ended."""
    function_arn = secret.rotation_function_arn or ""
    # A step is nobody's call: without this the function and its policy would be those of the last one.
    kit.kept.refresh()
    invocable = invocable_function(kit, function_arn, secret.arn)
    if invocable is None:
        return Outcome(
            StepOutcome.NOT_INVOKED,
            "Secrets Manager cannot invoke the function: it is gone, or its policy does not let"
            " secretsmanager.amazonaws.com invoke it.",
            "notInvoked",
            cannot_invoke(kit, function_arn, secret.arn),
        )
    function, qualifier = invocable
    event: dict[str, object] = {
        "Step": step.value,
        "SecretId": secret.arn,
        "ClientRequestToken": rotation.version_id,
        "RotationToken": rotation_token(kit, secret.arn, rotation.version_id).reveal(),
    }
    if step is Step.PROBE:
        with kit.state.read() as connection:
            event["LostVersionIds"] = rotations.lost_versions(connection, secret.secret_id)
    try:
        spec = spec_of(kit, function, qualifier)
        invocation = kit.runtime.invoke(spec, json.dumps(event).encode(), request_id=request_id)
    except TooManyRequestsException as error:
        return Outcome(StepOutcome.THROTTLED, _why_throttled(error, function), StepOutcome.THROTTLED)
    except AwsError as error:
        return Outcome(StepOutcome.NOT_INVOKED, error.message, StepOutcome.NOT_INVOKED)
    except KeyturnError as error:
        _log.exception("function %s could not run", function.name)
        return Outcome(StepOutcome.NOT_INVOKED, f"The function could not run: {error.message}", StepOutcome.NOT_INVOKED)
    return _outcome_of(kit, secret, invocation)


def _why_throttled(error: TooManyRequestsException, function: FunctionRecord) -> str:
    """Return what Lambda says with the reason that it gives beside its message, and what that means here."""
    reason, reserved = error.members.get("Reason"), function.reserved_concurrency
    if reason != RESERVATION_USED_UP:
        meaning = "every execution environment was busy"
    elif reserved == 0:
        meaning = "the reserved concurrency of the function is 0, so that it cannot be invoked"
    else:
        meaning = f"{reserved} of its invocations ran, as many as are reserved for the function"
    return f"{error.message} {reason}: {meaning}."


def versions_with_value(connection: Connection, secret: SecretRecord) -> frozenset[str]:
    """Return the versions of a secret that the database is asked about and that have a value."""
    pending = secret.labels.get(AWSPENDING)
    # A pending value that somebody else has stored is none that a rotation may make current.
    labelled = {
        version.version_id
        for version in secret.versions.values()
        if version.sealed and not (version.version_id == pending and version.from_rotation is False)
    }
    return frozenset(labelled | set(rotations.lost_versions(connection, secret.secret_id)))


def _outcome_of(kit: Kit, secret: SecretRecord, invocation: Invocation) -> Outcome:
    try:
        document = json.loads(invocation.payload)
    except (ValueError, RecursionError):
        document = None
    said = document if isinstance(document, dict) else {}
    if invocation.function_error is None:
        is_ours = said.get("rotator") == _FORMAT
        offers_probe = is_ours and Step.PROBE in _texts(said.get("offers"))
        answers = Answers(_texts(said.get("accepted")), _texts(said.get("refused"))) if is_ours else Answers()
        why = said.get("unanswered") if is_ours else None
        answers = replace(answers, is_partial=isinstance(why, str))
        unanswered = _storable(_mask(kit, secret), why) if isinstance(why, str) else None
        return Outcome(StepOutcome.SUCCEEDED, offers_probe=offers_probe, answers=answers, unanswered=unanswered)
    mask = _mask(kit, secret)
    kind = str(said.get("errorType", ""))
    message = str(said.get("errorMessage", "")) if said else "The function failed without saying why."
    outcome = StepOutcome.TIMEOUT if kind == _TIMED_OUT else StepOutcome.FUNCTION_ERROR
    error = _storable(mask, f"{kind}: {message}" if kind else message)
    is_name = (
        outcome is StepOutcome.FUNCTION_ERROR and CAUSE.fullmatch(kind) and mask is not None and mask(kind) == kind
    )
    return Outcome(outcome, error, kind if is_name else outcome.value)


def _mask(kit: Kit, secret: SecretRecord) -> Mask | None:
    """Return what hides the secret's values; None if they may be gone, though not from what the function says."""
    with kit.state.read() as connection:
        now = secrets.load_secret_by_id(connection, secret.secret_id)
        if now is None or now.deletion_at is not None:
            return None
        return mask_of(kit, connection, secret.arn, secret.secret_id)


def _storable(mask: Mask | None, said: str) -> str:
    """Return what a function said as it may be stored: it can say anything."""
    return _NOT_KEPT if mask is None else storable(mask(said, _ERROR_LENGTH))


def _texts(listed: object) -> frozenset[str]:
    return frozenset(text for text in listed if isinstance(text, str)) if isinstance(listed, list) else frozenset()
