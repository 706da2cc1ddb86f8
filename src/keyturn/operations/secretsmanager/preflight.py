"""Find out whether a secret's next rotation would succeed, from where its rotation function runs, and store it.

1. The doctor examines what is stored (``diagnosis.py``).
2. The function is looked up as a rotation would; that it may not be invoked is found here, and does not keep the rest
   from being looked at. A program of Keyturn's own runs once in the function's stead (``rotators/preflight``).
3. Its answer is judged (``rules/preflight.py``) and stored, unless a rotation has come in between: what the database
   said then says nothing of now. Who has to be told is told by an event in the trail, the last thing before the commit.

What the program says is masked like everything that a function says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from keyturn.errors.base import AwsError, KeyturnError
from keyturn.errors.crypto import SealRefused
from keyturn.errors.lambda_ import TooManyRequestsException
from keyturn.ids import new_request_id
from keyturn.operations.audit_trail import preflight_event
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.specs import spec_of
from keyturn.operations.sealing import open_value
from keyturn.operations.secretsmanager.diagnosis import diagnosed
from keyturn.operations.secretsmanager.known_values import mask_of
from keyturn.operations.secretsmanager.rotation_function import find_function, invocable_function
from keyturn.rotators import catalogue
from keyturn.rotators.package import PREFLIGHT_HANDLER, build_preflight
from keyturn.rules.audit_event import ServiceEventName
from keyturn.rules.masking import Mask
from keyturn.rules.preflight import Heartbeat, Item, ItemStatus, Judgement, Verdict, judge, next_look
from keyturn.rules.staging import AWSCURRENT
from keyturn.runtime.pool import RuntimeClosed
from keyturn.runtime.spec import Invocation
from keyturn.storage import preflights, rotations, secrets
from keyturn.storage.preflights import PreflightRecord
from keyturn.storage.rotation_leases import is_held
from keyturn.storage.rotations import RotationRecord
from keyturn.storage.secrets import SecretRecord
from keyturn.storage.stored_text import storable

_FORMAT = "keyturn.preflight/1"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}", re.ASCII)
_STATUSES = frozenset(status.value for status in ItemStatus)
_MOST_ITEMS = 50
_REASON_CHARACTERS = 500
# Four logins, and what goes before them, each of which may wait for an answer that does not come.
_TIMEOUT_SECONDS = 120
# The handler is imported beside the program.
_MEMORY_MB = 256


class NotNow(Exception):
    """It cannot be looked just now, or what was found says nothing any more; the message is for the caller."""


def _under_way() -> NotNow:
    return NotNow("A rotation of this secret is running just now: ask again when it has ended.")


def preflight(kit: Kit, secret_arn: str, *, is_asked: bool) -> PreflightRecord | None:
    """Look whether a rotation of a secret would succeed; return what was found, and has been stored.

    None if the secret is gone, or has no function.

    Args:
        kit: Adapters.
        secret_arn: The secret.
        is_asked: Whether somebody wants to know it as it is now; otherwise what may pass by itself is looked at twice.

    Raises:
        NotNow: A rotation runs, or has run meanwhile, or too many pre-flights do; nothing was stored.
        KeyturnError: The server ends, or a database failed; likewise.
    """
    with kit.state.read() as connection:
        secret = secrets.load_secret(connection, secret_arn)
        if secret is None or not secret.rotation_function_arn:
            return None
        rotation = rotations.load_unfinished(connection, secret.secret_id)
        planned_at = preflights.planned_at(connection, secret.secret_id)
    if rotation is not None and is_held(rotation, kit.clock.now()):
        raise _under_way()
    # Nobody else does between calls, and whoever has just mended a policy wants to see that it is mended.
    kit.kept.refresh()
    value = _current_value(kit, secret)
    engine = catalogue.engine_for(value.get("engine"))
    looked = look(kit, secret, secret.rotation_function_arn, value, engine)
    items = [*diagnosed(kit, secret_arn, looked), *looked]
    now = kit.clock.now()
    with kit.state.write() as transaction:
        current = secrets.lock_secret(transaction, secret_arn)
        if current is None:
            return None
        rotation_now = rotations.load_unfinished(transaction.connection, secret.secret_id)
        if _has_come_between(secret, rotation, current, rotation_now, now):
            raise _under_way()
        before = preflights.load_preflight(transaction.connection, secret.secret_id)
        judgement = judge(items, None if is_asked else before.causes if before else ())
        event = _event(judgement, before)
        is_told = judgement.is_bad if event else before is not None and before.is_told
        is_on = current.rotation_enabled and not current.is_replica
        due_at = next_look(now, kit.random, judgement.again_after) if is_on else None
        planned_now_at = preflights.planned_at(transaction.connection, secret.secret_id)
        if is_on and planned_now_at != planned_at:
            # Something has changed while it was looked at.
            due_at = planned_now_at
        stored = preflights.store_preflight(
            transaction, secret.secret_id, judgement, items, now, engine=engine, is_told=is_told, due_at=due_at
        )
        if event is not None:
            preflight_event(kit, event, secret_arn, judgement, now)
    return stored


def look(
    kit: Kit, secret: SecretRecord, function_arn: str, value: Mapping[str, object], engine: str | None
) -> list[Item]:
    """Return what was looked at, and how it was found.

    Args:
        kit: Adapters.
        secret: Which.
        function_arn: Of its rotation function.
        value: Its current value; empty if it is no JSON object.
        engine: Which of Keyturn's engines that names; its code and driver lie beside the program.

    Raises:
        NotNow: Too many pre-flights run.
        RuntimeClosed: The server ends.
    """
    found = find_function(kit, function_arn, secret.arn)
    if found is None:
        return [_item("function.invoke", ItemStatus.FAILED, "notInvoked", "There is no such function.")]
    reference, function = found
    items = []
    if invocable_function(kit, function_arn, secret.arn) is None:
        reason = "The function's policy does not let secretsmanager.amazonaws.com invoke it."
        items.append(_item("function.invoke", ItemStatus.FAILED, "notInvoked", reason))
    else:
        items.append(_item("function.invoke", ItemStatus.OK, "Ok", ""))
    event = {
        "SecretId": secret.arn,
        "Engine": engine,
        "EngineNames": list(catalogue.engines()[engine].engine_names) if engine else [],
        "Heartbeat": kit.heartbeat,
    }
    try:
        spec = spec_of(kit, function, reference.qualifier)
        program = replace(
            spec,
            program=PREFLIGHT_HANDLER,
            timeout_seconds=_TIMEOUT_SECONDS,
            memory_mb=spec.memory_mb + _MEMORY_MB,
        )
        layer, payload = build_preflight(engine), json.dumps(event).encode()
        said = kit.runtime.run_beside(program, layer, payload, request_id=new_request_id())
    except TooManyRequestsException as error:
        raise NotNow("Too many pre-flights run just now: ask again in a moment.") from error
    except RuntimeClosed:
        raise
    except AwsError as error:
        return [*items, _item("function.start", ItemStatus.FAILED, error.shape_name(), error.message)]
    except KeyturnError as error:
        return [*items, _item("function.start", ItemStatus.SKIPPED, "NotStarted", error.message)]
    return items + _answers(said, _masks(kit, secret, value.get("masterarn")))


def _current_value(kit: Kit, secret: SecretRecord) -> Mapping[str, object]:
    """Return the current value; empty if it is no JSON object."""
    version = secret.versions.get(secret.labels.get(AWSCURRENT, ""))
    if version is None or version.sealed is None or version.is_binary:
        return {}
    try:
        value = json.loads(open_value(kit, secret.arn, version.version_id, version.sealed).reveal())
    except (SealRefused, ValueError, RecursionError):
        return {}
    return value if isinstance(value, Mapping) else {}


def _masks(kit: Kit, secret: SecretRecord, superuser_arn: object) -> list[Mask]:
    """Return what hides the values that the program has read: the secret's, and its superuser secret's."""
    with kit.state.read() as connection:
        masks = [mask_of(kit, connection, secret.arn, secret.secret_id)]
        superuser = secrets.load_secret(connection, superuser_arn) if isinstance(superuser_arn, str) else None
        if superuser is not None:
            masks.append(mask_of(kit, connection, superuser.arn, superuser.secret_id))
    return masks


def _answers(said: Invocation, masks: Sequence[Mask]) -> list[Item]:
    """Read what the program answered, which is no more to be trusted than what a function says."""
    try:
        document = json.loads(said.payload)
    except (ValueError, RecursionError):
        document = None
    document = document if isinstance(document, dict) else {}
    if said.function_error is not None or document.get("preflight") != _FORMAT:
        code, reason = str(document.get("errorType", "NoAnswer")), str(document.get("errorMessage", ""))
        code = code if _NAME.fullmatch(code) else "NoAnswer"
        return [_item("function.start", ItemStatus.SKIPPED, code, _masked(masks, reason))]
    items: list[Item] = []
    listed = document.get("items")
    for each in (listed if isinstance(listed, list) else [])[:_MOST_ITEMS]:
        if not isinstance(each, dict):
            continue
        name, code, status = (str(each.get(member, "")) for member in ("item", "code", "status"))
        if _NAME.fullmatch(name) and _NAME.fullmatch(code) and status in _STATUSES:
            seconds = each.get("seconds")
            took = float(seconds) if isinstance(seconds, int | float) else 0.0
            items.append(Item(name, ItemStatus(status), code, _masked(masks, str(each.get("reason", ""))), took))
    return items


def _masked(masks: Sequence[Mask], text: str) -> str:
    for mask in masks:
        text = mask(text)
    return storable(text[:_REASON_CHARACTERS])


def _item(name: str, status: ItemStatus, code: str, reason: str) -> Item:
    return Item(name, status, code, reason)


def _has_come_between(
    before: SecretRecord, rotation: RotationRecord | None, now: SecretRecord, rotation_now: RotationRecord | None,
    at: datetime,
) -> bool:  # fmt: skip
    """Whether labels, function or rotation are others than when it was looked."""
    if rotation_now is not None and is_held(rotation_now, at):
        return True
    same_labels = before.labels == now.labels and before.rotation_function_arn == now.rotation_function_arn
    runs = [each and (each.rotation_id, each.status, each.attempt) for each in (rotation, rotation_now)]
    return not same_labels or runs[0] != runs[1]


def _event(judgement: Judgement, before: PreflightRecord | None) -> ServiceEventName | None:
    """Return what is to be told: once that somebody has to do something, and once that it was done."""
    was_told = before is not None and before.is_told
    if judgement.is_bad:
        is_new = not was_told or before is None or before.causes != judgement.causes
        return ServiceEventName.ROTATION_PREFLIGHT_FAILED if is_new else None
    # What could not be looked at is not well again.
    beats = before is None or before.heartbeat is not Heartbeat.DRIFT or judgement.heartbeat is Heartbeat.IN_STEP
    is_well = was_told and judgement.verdict is Verdict.READY and beats
    return ServiceEventName.ROTATION_PREFLIGHT_SUCCEEDED if is_well else None
