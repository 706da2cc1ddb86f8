from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from keyturn.arn import Place
from keyturn.call import Call, Principal, PrincipalKind
from keyturn.entrance import Entrance
from keyturn.ids import RequestId
from keyturn.operations import registry
from keyturn.rules.audit_event import (
    Event,
    ServiceEventName,
    api_event,
    deletion_request_id,
    event_name_of,
    rotation_request_id,
    service_event,
    unauthenticated_event,
)
from keyturn.rules.policy.evaluate import Decision, Outcome, PolicyType

ACCOUNT = "000000000000"
AT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
ARN = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:db-a1b2c3"
USER = Principal(PrincipalKind.USER, f"arn:aws:iam::{ACCOUNT}:user/alice", "AIDAALICE", ACCOUNT, "alice", "AKIA1")
SESSION = Principal(
    PrincipalKind.ASSUMED_ROLE,
    f"arn:aws:sts::{ACCOUNT}:assumed-role/app/one",
    "AROAAPP:one",
    ACCOUNT,
    "app",
    "ASIA1",
    f"arn:aws:iam::{ACCOUNT}:role/app",
    "one",
    AT,
)


def _call(principal: Principal = USER, *, secure: bool = False) -> Call:
    return Call(
        principal=principal,
        place=Place("aws", "us-east-1", ACCOUNT),
        source_address="127.0.0.1",
        user_agent="a" * 2000,
        request_id=RequestId("r"),
        at=AT,
        secure_transport=secure,
        endpoint="https://localhost:8443",
    )


def _event(call: Call, *, error: str | None = None, decision: Decision | None = None, read_only: bool = True) -> Event:
    return api_event(
        call,
        event_id="e",
        event_source="secretsmanager.amazonaws.com",
        event_name="GetSecretValue",
        read_only=read_only,
        request_parameters={"secretId": "db"},
        response_elements={"arn": ARN},
        error_code=error,
        error_message=error and "m" * 2000,
        resource_arn=ARN,
        resource_type="AWS::SecretsManager::Secret",
        decision=decision,
    )


def test_a_call_becomes_a_cloudtrail_record() -> None:
    event = _event(_call())
    assert json.loads(json.dumps(event)) == {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": "AIDAALICE",
            "arn": f"arn:aws:iam::{ACCOUNT}:user/alice",
            "accountId": ACCOUNT,
            "accessKeyId": "AKIA1",
            "userName": "alice",
        },
        "eventTime": "2026-01-02T03:04:05Z",
        "eventSource": "secretsmanager.amazonaws.com",
        "eventName": "GetSecretValue",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "127.0.0.1",
        "userAgent": "a" * 1024,
        "requestParameters": {"secretId": "db"},
        "responseElements": None,
        "requestID": "r",
        "eventID": "e",
        "readOnly": True,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
        "resources": [{"ARN": ARN, "accountId": ACCOUNT, "type": "AWS::SecretsManager::Secret"}],
    }


def test_a_role_session_shows_its_role() -> None:
    identity = _event(_call(SESSION))["userIdentity"]
    assert isinstance(identity, dict)
    assert identity["principalId"] == "AROAAPP:one"
    assert identity["sessionContext"] == {
        "sessionIssuer": {
            "type": "Role",
            "principalId": "AROAAPP",
            "arn": f"arn:aws:iam::{ACCOUNT}:role/app",
            "accountId": ACCOUNT,
            "userName": "app",
        },
        "attributes": {"mfaAuthenticated": "false", "creationDate": "2026-01-02T03:04:05Z"},
    }


def test_a_write_shows_its_response_unless_it_failed() -> None:
    assert _event(_call(), read_only=False)["responseElements"] == {"arn": ARN}
    assert _event(_call(), read_only=False, error="ResourceExistsException")["responseElements"] is None


def test_a_refusal_shows_which_statement_decided() -> None:
    decision = Decision(Outcome.EXPLICIT_DENY, PolicyType.IDENTITY, "inline", 2, "Never")
    event = _event(_call(), error="AccessDeniedException", decision=decision)
    assert event["errorCode"] == "AccessDenied"
    assert event["errorMessage"] == "m" * 1024
    assert event["additionalEventData"] == {
        "authorization": {
            "outcome": "explicitDeny",
            "policyType": "identity-based policy",
            "policyName": "inline",
            "statementIndex": 2,
            "sid": "Never",
        }
    }


def test_tls_is_shown_where_it_was_used() -> None:
    assert _event(_call(secure=True))["tlsDetails"] == {"clientProvidedHostHeader": "localhost:8443"}
    assert "tlsDetails" not in _event(_call())


def test_a_caller_without_valid_signature_is_unknown() -> None:
    event = unauthenticated_event(
        event_id="e",
        event_source="secretsmanager.amazonaws.com",
        event_name="GetSecretValue",
        at=AT,
        place=Place("aws", "us-east-1", ACCOUNT),
        source_address="127.0.0.1",
        user_agent="x",
        request_id="r",
        access_key_id="AKIAGONE",
        error_code="UnrecognizedClientException",
        error_message="The security token included in the request is invalid.",
    )
    assert event["userIdentity"] == {"type": "Unknown", "accountId": ACCOUNT, "accessKeyId": "AKIAGONE"}
    assert event["errorCode"] == "UnrecognizedClientException"
    assert event.keys() >= _event(_call()).keys() - {"resources"}


def test_a_rotation_leaves_service_events() -> None:
    event = service_event(
        ServiceEventName.ROTATION_FAILED,
        event_id="e",
        secret_arn=ARN,
        at=AT,
        place=Place("aws", "us-east-1", ACCOUNT),
        request_id=rotation_request_id(ARN, "token"),
        error_message="Error when executing lambda x during setSecret step",
    )
    assert event["userIdentity"] == {"accountId": ACCOUNT, "invokedBy": "secretsmanager.amazonaws.com"}
    assert (event["eventName"], event["eventType"]) == ("RotationFailed", "AwsServiceEvent")
    assert event["requestID"] == f"Rotation-{ARN}-token"
    assert event["additionalEventData"] == {"SecretId": ARN}
    assert event["errorMessage"] == "Error when executing lambda x during setSecret step"
    assert event["readOnly"] is False


def test_what_becomes_of_a_version_names_it() -> None:
    event = service_event(
        ServiceEventName.END_SECRET_VERSION_DELETE,
        event_id="e",
        secret_arn=ARN,
        at=AT,
        place=Place("aws", "us-east-1", ACCOUNT),
        request_id=deletion_request_id(ARN, "v"),
        version_id="v",
    )
    assert (event["eventName"], event["eventType"]) == ("EndSecretVersionDelete", "AwsServiceEvent")
    assert event["requestID"] == f"Deletion-{ARN}-v"
    assert event["additionalEventData"] == {"SecretId": ARN, "SecretVersionId": "v"}
    assert event["serviceEventDetails"] == {"secretId": ARN, "secretVersionId": "v"}
    assert "errorMessage" not in event


def test_lambdas_operations_are_called_as_in_aws() -> None:
    registry.discover()
    names = {
        operation.name: event_name_of(operation.service, operation.name)
        for operation in registry.all_operations()
        if operation.service == "lambda"
    }
    assert names["Invoke"] == "Invoke"
    assert all(re.fullmatch(rf"{name}20\d{{6}}(v2)?", named) for name, named in names.items() if name != "Invoke")
    assert event_name_of("secretsmanager", "TagResource") == "TagResource"


def test_an_invocation_is_a_data_event_and_everything_else_is_management() -> None:
    made = api_event(
        _call(),
        event_id="e",
        event_source="lambda.amazonaws.com",
        event_name="Invoke",
        read_only=False,
        request_parameters=None,
        response_elements=None,
    )
    assert (made["eventCategory"], made["managementEvent"]) == ("Data", False)
    assert (_event(_call())["eventCategory"], _event(_call())["managementEvent"]) == ("Management", True)


def test_a_call_through_an_endpoint_has_the_endpoint_and_whose_it_is() -> None:
    way = Entrance("vpce-1", "vpc-1", "10.0.1.5", Place("aws", "us-east-1", "111111111111"))

    event = _event(_call()._replace(entrance=way, source_address=way.source_address))

    assert (event["sourceIPAddress"], event["vpcEndpointId"]) == ("10.0.1.5", "vpce-1")
    assert event["vpcEndpointAccountId"] == "111111111111"


def test_a_call_by_a_nat_gateway_has_none() -> None:
    way = Entrance("", "vpc-1", "203.0.113.99", Place("aws", "us-east-1", ACCOUNT))

    event = _event(_call()._replace(entrance=way, source_address=way.source_address))

    assert event["sourceIPAddress"] == "203.0.113.99"
    assert not {"vpcEndpointId", "vpcEndpointAccountId"} & event.keys()
