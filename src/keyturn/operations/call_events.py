"""What the audit trail says of a call: its own, or one that it stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from keyturn.arn import Arn, InvalidArn
from keyturn.call import Call
from keyturn.errors.base import AwsError
from keyturn.ids import new_event_id, new_shared_id
from keyturn.operations.refusal import Refused
from keyturn.operations.subject import Subject
from keyturn.rules.audit_event import Event, api_event, authorization_data, event_name_of, resource_entry, shared_with
from keyturn.wire import protocol
from keyturn.wire.models import OperationModel
from keyturn.wire.redact import request_parameters, response_elements

# What policies are asked about where there is no resource, or none yet: "*", "...:secret:db-??????", "...:user/".
_PATTERN = re.compile(r"[*?]|/\Z")
_RESOURCE_TYPES = {
    "secretsmanager": "AWS::SecretsManager::Secret",
    "lambda": "AWS::Lambda::Function",
    "sts": "AWS::IAM::Role",
    "kms": "AWS::KMS::Key",
}


def call_events(
    call: Call,
    model: OperationModel,
    parameters: Mapping[str, Any],
    subject: Subject[Any],
    *,
    read_only: bool,
    response: Mapping[str, Any] | None = None,
    error: AwsError | None = None,
) -> list[Event]:
    """Return the event of a call, and the same for the account whose resource it was about if that is another.

    Args:
        call: Who, from where, when.
        model: What was called.
        parameters: The request.
        subject: What it was about.
        read_only: Whether it only reads; no response is recorded then.
        response: What was answered.
        error: What was told instead.
    """
    arn = _made_by(response or {}) or (None if _PATTERN.search(subject.arn) else subject.arn)
    owner = _other_owner(subject.arn, call)
    hidden: Event | None = None
    if owner is not None and isinstance(error, Refused):
        # Their own trail must not tell callers what the reply does not: that it exists, and its whole name.
        hidden = resource_entry(subject.arn, owner, _resource_type(model.service.name, subject.arn))
        arn = subject.asked if subject.asked.startswith("arn:") else None
    refused = error if isinstance(error, Refused) else None
    answered = error is None and not read_only
    event = api_event(
        call,
        event_id=new_event_id(call.at),
        event_source=model.service.event_source,
        event_name=event_name_of(model.service.name, model.name),
        read_only=read_only,
        request_parameters=request_parameters(model, parameters),
        response_elements=response_elements(model, response) if answered and response is not None else None,
        error_code=protocol(model.service).told_as(model.service, error).code if error else None,
        error_message=error.message if error else None,
        resource_arn=arn,
        resource_type=_resource_type(model.service.name, subject.arn),
        decision=refused.decision_seen_by(call.place.account_id) if refused else None,
        encoded_message=refused.encoded_messages.get(call.place.account_id) if refused else None,
    )
    events = [event]
    # An ARN of nobody's making must not write into the trail of the account that it names.
    if owner is not None and subject.record is not None:
        why = authorization_of(refused, owner) if refused else None
        shared_id = new_shared_id()
        events.append(shared_with(event, new_event_id(call.at), owner, shared_id, hidden=hidden, authorization=why))
    return events


def _made_by(response: Mapping[str, Any]) -> str | None:
    """Return the ARN of what a call has made, which was not known when it was authorised."""
    made = response.get("ARN") or (response.get("KeyMetadata") or {}).get("Arn")
    return made if isinstance(made, str) else None


def authorization_of(refused: Refused, account_id: str) -> Event:
    """Return what the event of a refused call says of it in the trail of an account."""
    return authorization_data(refused.decision_seen_by(account_id), refused.encoded_messages.get(account_id))


def _other_owner(arn: str, call: Call) -> str | None:
    """Return the account of a resource if it is an account of this partition other than the caller's."""
    try:
        account_id = Arn.parse(arn).account_id
    except InvalidArn:
        return None
    return account_id if account_id not in ("", call.place.account_id) else None


def _resource_type(service_name: str, arn: str) -> str | None:
    # KMS is asked about principals too.
    if service_name == "iam" or ":iam:" in arn:
        return "AWS::IAM::User" if ":user/" in arn else "AWS::IAM::Role"
    return _RESOURCE_TYPES.get(service_name)
