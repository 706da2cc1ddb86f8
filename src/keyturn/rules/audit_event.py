"""What an audit event says: a CloudTrail record as a plain dict, ready for JSON.

Requests and responses arrive here redacted; nothing in this module sees a secret value. Every call of every service
builds one event, so a dict is written out in one go and nothing is copied.

Source: CloudTrail User Guide, "CloudTrail record contents" (eventVersion 1.11); Secrets Manager User Guide, "CloudTrail
entries"; the shape of RotationSucceeded was recorded in 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from keyturn.arn import Place
from keyturn.call import Call, Principal, PrincipalKind
from keyturn.entrance import Entrance
from keyturn.rules.policy.evaluate import Decision

EVENT_VERSION = "1.11"
_SECRETS_MANAGER = "secretsmanager.amazonaws.com"
_TEXT_LIMIT = 1024
_ACCOUNT_FIELD = 4

Event = dict[str, object]


# What Lambda's operations are called in events. Sources: Lambda Developer Guide, "Lambda management events in
# CloudTrail"; those that only read are not listed there and were seen in published records.
_EVENT_NAMES = {
    ("lambda", "AddLayerVersionPermission"): "AddLayerVersionPermission20181031",
    ("lambda", "AddPermission"): "AddPermission20150331v2",
    ("lambda", "CreateAlias"): "CreateAlias20150331",
    ("lambda", "CreateFunction"): "CreateFunction20150331",
    ("lambda", "DeleteAlias"): "DeleteAlias20150331",
    ("lambda", "DeleteFunction"): "DeleteFunction20150331",
    ("lambda", "DeleteFunctionConcurrency"): "DeleteFunctionConcurrency20171031",
    ("lambda", "DeleteLayerVersion"): "DeleteLayerVersion20181031",
    ("lambda", "GetAccountSettings"): "GetAccountSettings20160819",
    ("lambda", "GetAlias"): "GetAlias20150331",
    ("lambda", "GetFunction"): "GetFunction20150331v2",
    ("lambda", "GetFunctionConcurrency"): "GetFunctionConcurrency20190930",
    ("lambda", "GetFunctionConfiguration"): "GetFunctionConfiguration20150331v2",
    ("lambda", "GetLayerVersion"): "GetLayerVersion20181031",
    ("lambda", "GetLayerVersionByArn"): "GetLayerVersionByArn20181031",
    ("lambda", "GetLayerVersionPolicy"): "GetLayerVersionPolicy20181031",
    ("lambda", "GetPolicy"): "GetPolicy20150331v2",
    ("lambda", "GetProvisionedConcurrencyConfig"): "GetProvisionedConcurrencyConfig20190930",
    ("lambda", "ListAliases"): "ListAliases20150331",
    ("lambda", "ListFunctions"): "ListFunctions20150331",
    ("lambda", "ListLayerVersions"): "ListLayerVersions20181031",
    ("lambda", "ListLayers"): "ListLayers20181031",
    ("lambda", "ListProvisionedConcurrencyConfigs"): "ListProvisionedConcurrencyConfigs20190930",
    ("lambda", "ListTags"): "ListTags20170331",
    ("lambda", "ListVersionsByFunction"): "ListVersionsByFunction20150331",
    ("lambda", "PublishLayerVersion"): "PublishLayerVersion20181031",
    ("lambda", "PublishVersion"): "PublishVersion20150331",
    ("lambda", "PutFunctionConcurrency"): "PutFunctionConcurrency20171031",
    ("lambda", "RemoveLayerVersionPermission"): "RemoveLayerVersionPermission20181031",
    ("lambda", "RemovePermission"): "RemovePermission20150331v2",
    ("lambda", "TagResource"): "TagResource20170331v2",
    ("lambda", "UntagResource"): "UntagResource20170331v2",
    ("lambda", "UpdateAlias"): "UpdateAlias20150331",
    ("lambda", "UpdateFunctionCode"): "UpdateFunctionCode20150331v2",
    ("lambda", "UpdateFunctionConfiguration"): "UpdateFunctionConfiguration20150331v2",
}
# What acts in a resource and not on it; management events are all others.
_DATA_EVENTS = frozenset({("lambda.amazonaws.com", "Invoke")})


def event_name_of(service: str, operation: str) -> str:
    """Return what an operation is called in events: its name, and for Lambda's the date of its API behind it."""
    return _EVENT_NAMES.get((service, operation), operation)


class ServiceEventName(StrEnum):
    """What Secrets Manager records about itself."""

    ROTATION_STARTED = "RotationStarted"
    ROTATION_SUCCEEDED = "RotationSucceeded"
    ROTATION_FAILED = "RotationFailed"
    ROTATION_ABANDONED = "RotationAbandoned"
    # Keyturn's own: the labels were brought in line with what the database accepts.
    ROTATION_RESOLVED = "RotationResolved"
    # Likewise: before it is due, a rotation was found to fail, or secret and database to have parted; and to be well.
    ROTATION_PREFLIGHT_FAILED = "RotationPreflightFailed"
    ROTATION_PREFLIGHT_SUCCEEDED = "RotationPreflightSucceeded"
    TEST_ROTATION_STARTED = "TestRotationStarted"
    TEST_ROTATION_SUCCEEDED = "TestRotationSucceeded"
    TEST_ROTATION_FAILED = "TestRotationFailed"
    REPLICATION_STARTED = "ReplicationStarted"
    REPLICATION_SUCCEEDED = "ReplicationSucceeded"
    REPLICATION_FAILED = "ReplicationFailed"
    START_SECRET_VERSION_DELETE = "StartSecretVersionDelete"  # noqa: S105 - an event, not a password
    END_SECRET_VERSION_DELETE = "EndSecretVersionDelete"  # noqa: S105 - an event, not a password
    CANCEL_SECRET_VERSION_DELETE = "CancelSecretVersionDelete"  # noqa: S105 - an event, not a password
    SECRET_VERSION_DELETION = "SecretVersionDeletion"  # noqa: S105 - an event, not a password


def event_time(at: datetime) -> str:
    """Return a moment as CloudTrail writes it; ``at`` is aware UTC."""
    # Cutting the text is twice as fast as asking isoformat for seconds.
    return at.isoformat()[:19] + "Z"


# A session signs many calls, all with the same moment of issue.
_session_time = lru_cache(maxsize=4096)(event_time)


def api_event(
    call: Call,
    *,
    event_id: str,
    event_source: str,
    event_name: str,
    read_only: bool,
    request_parameters: Mapping[str, object] | None,
    response_elements: Mapping[str, object] | None,
    error_code: str | None = None,
    error_message: str | None = None,
    resource_arn: str | None = None,
    resource_type: str | None = None,
    decision: Decision | None = None,
    encoded_message: str | None = None,
    invoked_by: str | None = None,
) -> Event:
    """Return the event of one call whose caller is known.

    Args:
        call: Who called, from where, when.
        event_id: A fresh UUID.
        event_source: ``secretsmanager.amazonaws.com``.
        event_name: From :func:`event_name_of`.
        read_only: Whether it only reads; AWS records no response elements then.
        request_parameters: Redacted; None if there are none.
        response_elements: Redacted.
        error_code: Wire code of the error, if it failed.
        error_message: What the caller was told.
        resource_arn: The secret, function or role, if there is one.
        resource_type: Its type, ``AWS::SecretsManager::Secret``.
        decision: Which policy refused the call; Keyturn's own addition.
        encoded_message: Why, sealed for those who may decode it; with a decision only.
        invoked_by: The service that made the call for the caller, if one did.
    """
    identity = user_identity(call.principal)
    is_data = (event_source, event_name) in _DATA_EVENTS
    if invoked_by is not None:
        identity["invokedBy"] = invoked_by
    event: Event = {
        "eventVersion": EVENT_VERSION,
        "userIdentity": identity,
        "eventTime": event_time(call.at),
        "eventSource": event_source,
        "eventName": event_name,
        "awsRegion": call.place.region,
        "sourceIPAddress": call.source_address,
        "userAgent": call.user_agent[:_TEXT_LIMIT],
        "requestParameters": request_parameters,
        "responseElements": None if read_only or error_code else response_elements,
        "requestID": call.request_id,
        "eventID": event_id,
        "readOnly": read_only,
        "eventType": "AwsApiCall",
        "managementEvent": not is_data,
        "recipientAccountId": call.place.account_id,
        "eventCategory": "Data" if is_data else "Management",
    }
    if error_code:
        _add_error(event, error_code, error_message)
    if resource_arn:
        event["resources"] = [resource_entry(resource_arn, _owner(resource_arn, call), resource_type)]
    if decision is not None:
        event["additionalEventData"] = authorization_data(decision, encoded_message)
    if call.secure_transport:
        event["tlsDetails"] = {"clientProvidedHostHeader": call.endpoint.partition("//")[2]}
    if call.entrance is not None:
        _add_endpoint(event, call.entrance)
    return event


def unauthenticated_event(
    *,
    event_id: str,
    event_source: str,
    event_name: str,
    at: datetime,
    place: Place,
    source_address: str,
    user_agent: str,
    request_id: str,
    access_key_id: str,
    error_code: str,
    error_message: str,
    entrance: Entrance | None = None,
) -> Event:
    """Return the event of a call that was refused before its caller was known.

    Args:
        event_id: A fresh UUID.
        event_source: The service that was addressed.
        event_name: The operation that was addressed, empty if there is none.
        at: Aware UTC.
        place: The server's own.
        source_address: Of the client.
        user_agent: As sent.
        request_id: As answered.
        access_key_id: The one that was claimed, empty if none was.
        error_code: Wire code.
        error_message: What the client was told.
        entrance: By which way out of a VPC it came, if by one.
    """
    identity: Event = {"type": "Unknown", "accountId": place.account_id}
    if access_key_id:
        identity["accessKeyId"] = access_key_id[:_TEXT_LIMIT]
    event: Event = {
        "eventVersion": EVENT_VERSION,
        "userIdentity": identity,
        "eventTime": event_time(at),
        "eventSource": event_source,
        "eventName": event_name[:_TEXT_LIMIT],
        "awsRegion": place.region,
        "sourceIPAddress": source_address,
        "userAgent": user_agent[:_TEXT_LIMIT],
        "requestParameters": None,
        "responseElements": None,
        "requestID": request_id,
        "eventID": event_id,
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": place.account_id,
        "eventCategory": "Management",
    }
    _add_error(event, error_code, error_message)
    if entrance is not None:
        _add_endpoint(event, entrance)
    return event


def service_event(
    name: ServiceEventName,
    *,
    event_id: str,
    secret_arn: str,
    at: datetime,
    place: Place,
    request_id: str,
    version_id: str | None = None,
    error_message: str | None = None,
) -> Event:
    """Return the event of something Secrets Manager did by itself.

    Args:
        name: What it did.
        event_id: A fresh UUID.
        secret_arn: The secret.
        at: Aware UTC.
        place: The secret's.
        request_id: :func:`rotation_request_id` for rotations, :func:`deletion_request_id` for versions that go,
            :func:`replication_request_id` for replications.
        version_id: The version that goes; under which name AWS says it has not been seen.
        error_message: Why it failed.
    """
    data, details = {"SecretId": secret_arn}, {"secretId": secret_arn}
    if version_id is not None:
        data["SecretVersionId"] = details["secretVersionId"] = version_id
    event: Event = {
        "eventVersion": EVENT_VERSION,
        "userIdentity": {"accountId": place.account_id, "invokedBy": _SECRETS_MANAGER},
        "eventTime": event_time(at),
        "eventSource": _SECRETS_MANAGER,
        "eventName": name.value,
        "awsRegion": place.region,
        "sourceIPAddress": _SECRETS_MANAGER,
        "userAgent": _SECRETS_MANAGER,
        "requestParameters": None,
        "responseElements": None,
        # One observer of AWS saw the ARN in one place, another in the other; readers of both are served.
        "additionalEventData": data,
        "serviceEventDetails": details,
        "requestID": request_id,
        "eventID": event_id,
        "readOnly": False,
        "eventType": "AwsServiceEvent",
        "managementEvent": True,
        "recipientAccountId": place.account_id,
        "eventCategory": "Management",
    }
    if error_message:
        event["errorMessage"] = error_message[:_TEXT_LIMIT]
    return event


def sign_in_event(
    *,
    event_id: str,
    at: datetime,
    place: Place,
    principal: Principal | None,
    source_address: str,
    user_agent: str,
    url: str,
) -> Event:
    """Return the event of a sign-in to the console.

    Args:
        event_id: A fresh UUID.
        at: Aware UTC.
        place: Of the server.
        principal: Who has signed in; None if it failed. Whose key was claimed is not told then, for what was typed into
            its field may be anything.
        source_address: Of the browser.
        user_agent: As sent.
        url: Where.

    Source: CloudTrail User Guide, "AWS Management Console sign-in events".
    """
    hidden: Event = {"type": "IAMUser", "accountId": place.account_id, "userName": "HIDDEN_DUE_TO_SECURITY_REASONS"}
    event: Event = {
        "eventVersion": EVENT_VERSION,
        "userIdentity": hidden if principal is None else user_identity(principal),
        "eventTime": event_time(at),
        "eventSource": "signin.amazonaws.com",
        "eventName": "ConsoleLogin",
        "awsRegion": place.region,
        "sourceIPAddress": source_address,
        "userAgent": user_agent[:_TEXT_LIMIT],
        "requestParameters": None,
        "responseElements": {"ConsoleLogin": "Failure" if principal is None else "Success"},
        "additionalEventData": {"LoginTo": url[:_TEXT_LIMIT], "MobileVersion": "No", "MFAUsed": "No"},
        "requestID": event_id,
        "eventID": event_id,
        "readOnly": False,
        "eventType": "AwsConsoleSignIn",
        "managementEvent": True,
        "recipientAccountId": place.account_id if principal is None else principal.account_id,
        "eventCategory": "Management",
    }
    if principal is None:
        event["errorMessage"] = "Failed authentication"
    return event


def rotation_request_id(secret_arn: str, token: str) -> str:
    """Return the request id under which the events of one rotation are found."""
    return f"Rotation-{secret_arn}-{token}"


def preflight_request_id(secret_arn: str) -> str:
    """Return the request id under which the events of a secret's pre-flights are found."""
    return f"Preflight-{secret_arn}"


def deletion_request_id(secret_arn: str, version_id: str) -> str:
    """Return the request id under which the events of one version's end are found."""
    return f"Deletion-{secret_arn}-{version_id}"


def replication_request_id(replica_arn: str) -> str:
    """Return the request id under which the events of one replica are found."""
    return f"Replication-{replica_arn}"


def shared_with(
    event: Event,
    event_id: str,
    account_id: str,
    shared_id: str,
    *,
    hidden: Event | None = None,
    authorization: Event | None = None,
) -> Event:
    """Return a call's event as the account sees it whose resource another account used.

    Args:
        event: What the caller's account records; it gets the shared id, too, unless it hides the resource.
        event_id: A fresh UUID.
        account_id: Whose resource it was.
        shared_id: A fresh UUID, the same in both.
        hidden: The resource of a caller who was refused: only its account is told that it exists.
        authorization: Why the caller was refused (:func:`authorization_data`), as only its account may know.
    """
    shared: Event = {"sharedEventID": shared_id}
    if authorization is not None:
        shared["additionalEventData"] = authorization
    if hidden is None:
        event["sharedEventID"] = shared_id
    else:
        shared["resources"] = [hidden]
    if "errorMessage" in event:
        shared["errorMessage"] = _told_outside(str(event["errorMessage"]), event["userIdentity"])
    return {
        **event,
        **shared,
        "userIdentity": _seen_from_outside(event["userIdentity"]),
        "eventID": event_id,
        "recipientAccountId": account_id,
    }


def resource_entry(arn: str, account_id: str, resource_type: str | None) -> Event:
    """Return a resource as events list it."""
    return {"ARN": arn, "accountId": account_id, "type": resource_type}


def authorization_data(decision: Decision, encoded_message: str | None) -> Event:
    """Return what Keyturn adds to the event of a refused call: the decision, and why, for those who may decode it."""
    data: Event = {
        "outcome": decision.outcome.value,
        "policyType": decision.policy_type.value,
        "policyName": decision.policy_name,
        "statementIndex": decision.statement_index,
        "sid": decision.sid,
    }
    if encoded_message is not None:
        data["encodedMessage"] = encoded_message
    return {"authorization": data}


def user_identity(principal: Principal) -> Event:
    """Return who called, as CloudTrail writes it."""
    if principal.kind is PrincipalKind.ASSUMED_ROLE:
        return {
            "type": "AssumedRole",
            "principalId": principal.unique_id,
            "arn": principal.arn,
            "accountId": principal.account_id,
            "accessKeyId": principal.access_key_id,
            "sessionContext": _session_context(principal),
        }
    if principal.kind is PrincipalKind.SERVICE:
        return {"type": "AWSService", "invokedBy": principal.name}
    identity: Event = {
        "type": "IAMUser",
        "principalId": principal.unique_id,
        "arn": principal.arn,
        "accountId": principal.account_id,
        "accessKeyId": principal.access_key_id,
        "userName": principal.name,
    }
    if principal.session_issued_at is not None:
        identity["sessionContext"] = {"attributes": _session_attributes(principal.session_issued_at)}
    return identity


def _told_outside(message: str, identity: object) -> str:
    """Return what a caller was told as another account's trail has it: with the caller's id in place of their name."""
    if not isinstance(identity, dict) or "arn" not in identity:
        return message
    return message.replace(str(identity["arn"]), str(identity["principalId"]))


def _seen_from_outside(identity: object) -> object:
    """Return a caller as another account's trail names them: whose they are, not by which name and key."""
    if not isinstance(identity, dict) or "principalId" not in identity:
        return identity
    shown = ("principalId", "accountId", "invokedBy")
    return {"type": "AWSAccount", **{name: identity[name] for name in shown if name in identity}}


def _session_context(principal: Principal) -> Event:
    context: Event = {
        "sessionIssuer": {
            "type": "Role",
            "principalId": principal.unique_id.partition(":")[0],
            "arn": principal.role_arn,
            "accountId": principal.account_id,
            "userName": principal.name,
        },
        "attributes": _session_attributes(principal.session_issued_at),
    }
    if principal.source_identity:
        context["sourceIdentity"] = principal.source_identity
    return context


def _session_attributes(issued_at: datetime | None) -> Event:
    attributes: Event = {"mfaAuthenticated": "false"}
    if issued_at is not None:
        attributes["creationDate"] = _session_time(issued_at)
    return attributes


def _owner(resource_arn: str, call: Call) -> str:
    """Return whose resource it is; the caller's, if what was asked for does not say."""
    fields = resource_arn.split(":", _ACCOUNT_FIELD + 1)
    return (fields[_ACCOUNT_FIELD] if len(fields) > _ACCOUNT_FIELD + 1 else "") or call.place.account_id


def _add_endpoint(event: Event, entrance: Entrance) -> None:
    if entrance.vpc_endpoint_id:
        event["vpcEndpointId"] = entrance.vpc_endpoint_id
        event["vpcEndpointAccountId"] = entrance.place.account_id


def _add_error(event: Event, code: str, message: str | None) -> None:
    # AWS logs this one code without its ending, for JSON services too.
    event["errorCode"] = "AccessDenied" if code == "AccessDeniedException" else code
    if message:
        event["errorMessage"] = message[:_TEXT_LIMIT]
