"""What the audit trail says of a call: its own, or one that it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyturn.arn import Arn, InvalidArn
from keyturn.call import Call
from keyturn.errors.base import AwsError
from keyturn.ids import new_event_id
from keyturn.operations.refusal import Refused
from keyturn.operations.subject import Subject
from keyturn.rules.audit_event import Event, api_event, authorization_data, resource_entry, shared_with
from keyturn.wire import protocol
from keyturn.wire.models import OperationModel
from keyturn.wire.redact import request_parameters, response_elements

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
    arn = None if subject.arn == "*" else subject.arn
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
        event_id=new_event_id(),
        event_source=f"{model.service.name}.amazonaws.com",
        event_name=model.name,
        read_only=read_only,
        request_parameters=request_parameters(model, parameters),
        response_elements=response_elements(model, response) if answered and response is not None else None,
        error_code=protocol(model.service).told_as(model.service, error).code if error else None,
        error_message=error.message if error else None,
        resource_arn=arn,
        resource_type=_resource_type(model.service.name, subject.arn),
        decision=refused.decision if refused else None,
        # It tells of the resource's own policy, which is its account's to know.
        encoded_message=refused.encoded_message if refused and owner is None else None,
    )
    events = [event]
    # An ARN of nobody's making must not write into the trail of the account that it names.
    if owner is not None and subject.record is not None:
        why = authorization_data(refused.decision, refused.encoded_message) if refused else None
        events.append(shared_with(event, new_event_id(), owner, new_event_id(), hidden=hidden, authorization=why))
    return events


def _other_owner(arn: str, call: Call) -> str | None:
    """Return the account of a resource if it is an account of this partition other than the caller's."""
    if f":{call.place.account_id}:" in arn:
        return None
    try:
        account_id = Arn.parse(arn).account_id
    except InvalidArn:
        return None
    return account_id or None


def _resource_type(service_name: str, arn: str) -> str | None:
    if service_name == "iam":
        return "AWS::IAM::User" if ":user/" in arn else "AWS::IAM::Role"
    return _RESOURCE_TYPES.get(service_name)
