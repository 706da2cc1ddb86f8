"""One refused call of the audit trail, with what decided: two calls, whoever asks."""

from __future__ import annotations

import json

from keyturn.errors.base import KeyturnError
from keyturn.rules.policy.denial import Denial, Json

from .asking import ClientsByName


def explain_event(clients: ClientsByName, event_id: str) -> Denial:
    """Return the refused call that an event is about.

    Raises:
        KeyturnError: There is no such event, or as :func:`denial_of`.
    """
    found = clients["cloudtrail"].lookup_events(
        LookupAttributes=[{"AttributeKey": "EventId", "AttributeValue": event_id}]
    )["Events"]
    if not found:
        raise KeyturnError(
            f"There is no event {event_id} in this account and region.",
            "aws cloudtrail lookup-events shows what there is; each event has its EventId.",
            "The trail is one of an account's region: check --profile and --region.",
        )
    return denial_of(clients, json.loads(found[0]["CloudTrailEvent"]))


def denial_of(clients: ClientsByName, event: Json) -> Denial:
    """Return the refused call that a record is about.

    Raises:
        KeyturnError: It is not about a refused call, or it says no more than its message.
    """
    authorization = (event.get("additionalEventData") or {}).get("authorization")
    if authorization is None:
        told = event.get("errorMessage") or event.get("errorCode") or "it succeeded"
        raise KeyturnError(
            f"No policy refused this {event['eventName']}: {told}.", "Only calls that were refused can be explained."
        )
    if "encodedMessage" not in authorization:
        raise KeyturnError(
            f"{event.get('errorMessage', 'The call was refused')}",
            "Why is told to the account whose resource it was: its administrators find the event in their own trail.",
        )
    encoded = authorization["encodedMessage"]
    decoded = clients["sts"].decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"]
    return Denial(event, json.loads(decoded))
