"""From an audit event to a stored record, and the events of what Secrets Manager does by itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from keyturn.arn import Place
from keyturn.call import Call, Principal
from keyturn.clock import to_milliseconds
from keyturn.errors.common import AccessDenied
from keyturn.ids import new_event_id, new_request_id
from keyturn.operations.kit import Kit
from keyturn.operations.refusal import Refused
from keyturn.rules.audit_event import (
    Event,
    ServiceEventName,
    authorization_data,
    deletion_request_id,
    event_time,
    preflight_request_id,
    replication_request_id,
    rotation_request_id,
    service_event,
    sign_in_event,
)
from keyturn.rules.audit_record import AuditRecord
from keyturn.rules.preflight import Judgement

SECRETS_MANAGER = "secretsmanager.amazonaws.com"
KMS = "kms.amazonaws.com"
_SECRETS = "AWS::SecretsManager::Secret"
_LAMBDA = "lambda.amazonaws.com"
_INTERNAL = "AWS Internal"
# Source: CloudTrail User Guide, "CloudTrail record contents".
_FIELD_BYTES = 100 * 1024
_encode = msgspec.json.Encoder().encode


def record_of(
    event: Event,
    at: datetime,
    *,
    username: str | None = None,
    access_key_id: str | None = None,
    resource_name: str | None = None,
) -> AuditRecord:
    """Return an event with what it can be looked up by.

    Args:
        event: Redacted.
        at: When, aware UTC.
        username: User name, or the session name of a role.
        access_key_id: What signed the call.
        resource_name: The ARN of what it is about.
    """
    error_code = event.get("errorCode")
    encoded = _encoded(event)
    if len(encoded) > _FIELD_BYTES:
        encoded = _encoded(_cut(event))
    return AuditRecord(
        account_id=str(event["recipientAccountId"]),
        region=str(event["awsRegion"]),
        event_id=str(event["eventID"]),
        event_time=to_milliseconds(at),
        event_source=str(event["eventSource"]),
        event_name=str(event["eventName"]),
        username=username,
        access_key_id=access_key_id,
        read_only=bool(event["readOnly"]),
        resource_name=resource_name,
        resource_type=_resource_type(event),
        error_code=None if error_code is None else str(error_code),
        request_id=str(event["requestID"]),
        event=encoded.decode(),
    )


def call_records(call: Call, events: Iterable[Event]) -> list[AuditRecord]:
    """Return the records of a call's own event, or of what a service did for the caller: found by the caller alike.

    Another account, whose resource it was, does not learn the caller's name and key.
    """
    principal, records = call.principal, []
    for event in events:
        is_own = event["recipientAccountId"] == call.place.account_id
        records.append(
            record_of(
                event,
                call.at,
                username=(principal.session_name or principal.name) if is_own else None,
                access_key_id=principal.access_key_id if is_own else None,
                resource_name=_first_resource(event),
            )
        )
    return records


def _encoded(event: Event) -> bytes:
    try:
        return _encode(event)
    except UnicodeEncodeError:
        # Half a character, from a caller or a function that made it up. Whatever an event says, it must be stored.
        return json.dumps(event).encode()


def rotation_event(
    kit: Kit, name: ServiceEventName, secret_arn: str, version_id: str, at: datetime, error: str | None = None
) -> None:
    """Store what became of a rotation.

    Raises:
        StorageError: The journal failed.
    """
    event = service_event(
        name,
        event_id=new_event_id(at),
        secret_arn=secret_arn,
        at=at,
        place=Place.of(secret_arn),
        request_id=rotation_request_id(secret_arn, version_id),
        error_message=error,
    )
    kit.audit_log.append([record_of(event, at, resource_name=secret_arn)])


def resolution_event(kit: Kit, secret_arn: str, version_id: str, repair: str, at: datetime) -> None:
    """Store that labels were brought in line with what the database accepts, and how.

    Raises:
        StorageError: The journal failed.
    """
    event = service_event(
        ServiceEventName.ROTATION_RESOLVED,
        event_id=new_event_id(at),
        secret_arn=secret_arn,
        at=at,
        place=Place.of(secret_arn),
        request_id=rotation_request_id(secret_arn, version_id),
    )
    event["additionalEventData"] = {"SecretId": secret_arn, "SecretVersionId": version_id, "Repair": repair}
    kit.audit_log.append([record_of(event, at, resource_name=secret_arn)])


def preflight_event(kit: Kit, name: ServiceEventName, secret_arn: str, judgement: Judgement, at: datetime) -> None:
    """Store that a pre-flight has found what somebody has to know.

    Raises:
        StorageError: The journal failed.
    """
    event = service_event(
        name,
        event_id=new_event_id(at),
        secret_arn=secret_arn,
        at=at,
        place=Place.of(secret_arn),
        request_id=preflight_request_id(secret_arn),
        error_message=", ".join(judgement.causes) if judgement.is_bad else None,
    )
    event["additionalEventData"] = {
        "SecretId": secret_arn,
        "Verdict": judgement.verdict.value,
        "Heartbeat": judgement.heartbeat.value,
        "Causes": list(judgement.causes),
    }
    kit.audit_log.append([record_of(event, at, resource_name=secret_arn)])


def store_sign_in(
    kit: Kit, place: Place, principal: Principal | None, *, source_address: str, user_agent: str, url: str, at: datetime
) -> None:
    """Store that somebody has signed in to the console, or has failed to; see ``sign_in_event``.

    Raises:
        StorageError: The journal failed.
    """
    event = sign_in_event(
        event_id=new_event_id(at),
        at=at,
        place=place,
        principal=principal,
        source_address=source_address,
        user_agent=user_agent,
        url=url,
    )
    known = (None, None) if principal is None else (principal.session_name or principal.name, principal.access_key_id)
    kit.audit_log.append([record_of(event, at, username=known[0], access_key_id=known[1])])


def deletion_events(kit: Kit, name: ServiceEventName, versions: Iterable[tuple[str, str]], at: datetime) -> None:
    """Store what becomes of versions that go, or that go no longer.

    To be called as the last thing before the transaction that does it is committed: a server that dies in between
    tells it once more, and never not at all.

    Args:
        kit: For the journal.
        name: What becomes of them.
        versions: The secret's ARN and the version's id of each.
        at: Aware UTC.

    Raises:
        StorageError: The journal failed; none of them is stored.
    """
    records = []
    for secret_arn, version_id in versions:
        event = service_event(
            name,
            event_id=new_event_id(at),
            secret_arn=secret_arn,
            at=at,
            place=Place.of(secret_arn),
            request_id=deletion_request_id(secret_arn, version_id),
            version_id=version_id,
        )
        records.append(record_of(event, at, resource_name=secret_arn))
    kit.audit_log.append(records)


@dataclass(frozen=True, slots=True)
class ReplicationEvent:
    """What became of a replica; ``error`` is None unless replication failed."""

    name: ServiceEventName
    primary_arn: str
    replica_arn: str
    error: str | None = None


def replication_events(kit: Kit, events: Sequence[ReplicationEvent], at: datetime) -> None:
    """Store what became of replicas, where their primary is.

    To be called as the last thing before the transaction that does it is committed: a server that dies in between
    tells it once more, and never not at all.

    Raises:
        StorageError: The journal failed.
    """
    records = [
        record_of(
            service_event(
                event.name,
                event_id=new_event_id(at),
                secret_arn=event.primary_arn,
                at=at,
                place=Place.of(event.primary_arn),
                request_id=replication_request_id(event.replica_arn),
                error_message=event.error,
            ),
            at,
            resource_name=event.primary_arn,
        )
        for event in events
    ]
    if records:
        kit.audit_log.append(records)


def step_event(
    kit: Kit,
    *,
    secret_arn: str,
    version_id: str,
    step: str,
    function_arn: str,
    request_id: str,
    at: datetime,
    error: str | None,
    refusal: AccessDenied | None = None,
) -> None:
    """Store that Secrets Manager invoked a rotation function for one step, and how that ended.

    The shape is that of Lambda's data event Invoke; which step of which rotation it was is Keyturn's own addition.

    Raises:
        StorageError: The journal failed.
    """
    place = Place.of(secret_arn)
    of_step: Event = {"SecretId": secret_arn, "ClientRequestToken": version_id, "Step": step}
    event: Event = {
        "eventVersion": "1.11",
        "userIdentity": {"type": "AWSService", "invokedBy": SECRETS_MANAGER},
        "eventTime": event_time(at),
        "eventSource": _LAMBDA,
        "eventName": "Invoke",
        "awsRegion": place.region,
        "sourceIPAddress": SECRETS_MANAGER,
        "userAgent": SECRETS_MANAGER,
        "requestParameters": {"functionName": function_arn},
        "responseElements": None,
        "additionalEventData": of_step,
        "requestID": request_id,
        "eventID": new_event_id(at),
        "readOnly": False,
        "resources": [{"ARN": function_arn, "accountId": place.account_id, "type": "AWS::Lambda::Function"}],
        "eventType": "AwsApiCall",
        "managementEvent": False,
        "recipientAccountId": place.account_id,
        "eventCategory": "Data",
    }
    if error is not None:
        event["errorMessage"] = error
    if isinstance(refusal, Refused):
        event["errorCode"] = "AccessDenied"
        encoded = refusal.encoded_messages.get(place.account_id)
        event["additionalEventData"] = {**of_step, **authorization_data(refusal.decision, encoded)}
    kit.audit_log.append([record_of(event, at, resource_name=secret_arn)])


def key_deletion_event(kit: Kit, key_arn: str, at: datetime) -> None:
    """Store that a KMS key was destroyed when its waiting period was over.

    Source: AWS KMS Developer Guide, "CloudTrail entries: DeleteKey".

    Raises:
        StorageError: The journal failed.
    """
    event = _key_event("DeleteKey", key_arn, at)
    event["responseElements"] = {"keyId": key_arn}
    kit.audit_log.append([record_of(event, at, resource_name=key_arn)])


def key_rotation_event(
    kit: Kit, key_arn: str, rotation_type: str, *, previous: str, current: str, at: datetime
) -> None:
    """Store that a KMS key got new material.

    Args:
        kit: For the journal.
        key_arn: Of the key.
        rotation_type: ``AUTOMATIC`` or ``ON_DEMAND``.
        previous: Id of the material that encrypted until now.
        current: Id of the one that does from now on.
        at: Aware UTC.

    Source: AWS KMS Developer Guide, "CloudTrail entries: RotateKey".

    Raises:
        StorageError: The journal failed.
    """
    event = _key_event("RotateKey", key_arn, at)
    event["serviceEventDetails"] = {
        "rotationType": rotation_type,
        "keyOrigin": "AWS_KMS",
        "previousKeyMaterialId": previous,
        "currentKeyMaterialId": current,
        "keyId": key_arn.rpartition("/")[2],
    }
    kit.audit_log.append([record_of(event, at, resource_name=key_arn)])


def _key_event(name: str, key_arn: str, at: datetime) -> Event:
    place = Place.of(key_arn)
    return {
        "eventVersion": "1.11",
        "userIdentity": {"accountId": place.account_id, "invokedBy": _INTERNAL},
        "eventTime": event_time(at),
        "eventSource": KMS,
        "eventName": name,
        "awsRegion": place.region,
        "sourceIPAddress": _INTERNAL,
        "userAgent": _INTERNAL,
        "requestParameters": None,
        "responseElements": None,
        "requestID": new_request_id(),
        "eventID": new_event_id(at),
        "readOnly": False,
        "resources": [{"ARN": key_arn, "accountId": place.account_id, "type": "AWS::KMS::Key"}],
        "eventType": "AwsServiceEvent",
        "managementEvent": True,
        "recipientAccountId": place.account_id,
        "eventCategory": "Management",
    }


def _cut(event: Event) -> Event:
    """Return an event without what is larger than CloudTrail keeps: a note of its size stands there instead."""
    kept = dict(event)
    for name in ("requestParameters", "responseElements"):
        size_bytes = len(_encode(event.get(name)))
        if size_bytes > _FIELD_BYTES:
            kept[name] = {"omitted": True, "originalSize": size_bytes, "reason": f"{name} too large"}
    return kept


def _first_resource(event: Event) -> str | None:
    resources = event.get("resources")
    return str(resources[0]["ARN"]) if isinstance(resources, list) and resources else None


def _resource_type(event: Event) -> str | None:
    resources = event.get("resources")
    if isinstance(resources, list) and resources:
        named: str | None = resources[0].get("type")
        return named
    # What Secrets Manager does by itself it does to secrets, and its events list no resources.
    return _SECRETS if event["eventType"] == "AwsServiceEvent" else None
