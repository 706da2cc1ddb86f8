"""Which audit records belong to a rotation, and what they are told as."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.clock import to_milliseconds
from keyturn.rules.audit_record import AuditRecord
from keyturn.rules.timeline_calls import Calls, Question, calls_of
from keyturn.rules.timeline_entry import EntryKind, Severity

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ARN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-abcdef"
OTHER = ARN.replace("db", "superuser")
QUESTION = Question(ARN, "v2", "rotate", [(AT, AT + SECOND)])
FUNCTION, ALICE = "assumed-role/rotate/rotate", "user/alice"

_numbers = itertools.count()


def record(
    name: str,
    *,
    who: str = FUNCTION,
    key: str = "ASIA1",
    about: str | None = ARN,
    at: datetime = AT,
    reads: bool = False,
    error: str | None = None,
    request_id: str = "r",
    **event: Any,
) -> AuditRecord:
    identity = {"arn": f"arn:aws:sts::000000000000:{who}"}
    said = {"eventName": name, "userIdentity": identity, "eventType": "AwsApiCall", **event}
    if error is not None:
        said |= {"errorCode": error, "errorMessage": "no"}
    return AuditRecord(
        account_id="000000000000",
        region="us-east-1",
        event_id=f"e{next(_numbers)}",
        event_time=to_milliseconds(at),
        event_source="secretsmanager.amazonaws.com",
        event_name=name,
        username=who.rpartition("/")[2],
        access_key_id=key,
        read_only=reads,
        resource_name=about,
        resource_type=None,
        error_code=error,
        request_id=request_id,
        event=json.dumps(said),
    )


def told(*records: AuditRecord) -> list[str]:
    return [entry.message for entry in calls_of(QUESTION, records).entries]


def test_what_the_function_asked_of_other_secrets_is_known_by_the_key_that_it_used_on_this_one() -> None:
    records = [
        record("DescribeSecret", reads=True),
        record("GetSecretValue", about=OTHER, reads=True, requestParameters={"versionStage": "AWSCURRENT"}),
        record("GetRandomPassword", about=None, reads=True),
    ]

    calls = calls_of(QUESTION, records)

    assert [entry.message for entry in calls.entries] == [
        "DescribeSecret by the function",
        f"GetSecretValue (AWSCURRENT) by the function on {OTHER}",
        "GetRandomPassword by the function",
    ]
    assert calls.of_function == {each.event_id for each in records}


@pytest.mark.parametrize(
    "other",
    [
        record("GetSecretValue", about=OTHER, reads=True, key="ASIA2"),
        record("GetSecretValue", about=OTHER, reads=True, at=AT + 2 * SECOND),
        record("GetSecretValue", reads=True, who=ALICE, key="AKIA1"),
        record("PutSecretValue", about=OTHER, who=ALICE, key="AKIA1"),
        record("GetSecretValue", reads=True, who=ALICE, key="AKIA1", error="AccessDenied"),
    ],
    ids=["another environment", "another time", "somebody's read", "another secret", "somebody's refused read"],
)
def test_what_has_nothing_to_do_with_it_is_left_out(other: AuditRecord) -> None:
    assert told(record("DescribeSecret", reads=True), other) == ["DescribeSecret by the function"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"versionStage": "AWSCURRENT", "moveToVersionId": "v2", "removeFromVersionId": "v1"},
            "AWSCURRENT moved from v1 to v2, by user/alice",
        ),
        ({"versionStage": "MINE", "moveToVersionId": "v2"}, "MINE was put on v2, by user/alice"),
        ({"versionStage": "AWSPENDING", "removeFromVersionId": "v2"}, "AWSPENDING was taken off v2, by user/alice"),
    ],
)
def test_labels_that_anybody_moves_are_told_in_words(parameters: dict[str, str], message: str) -> None:
    moved = record("UpdateSecretVersionStage", who=ALICE, key="AKIA1", requestParameters=parameters)

    (entry,) = calls_of(QUESTION, [moved]).entries

    assert (entry.kind, entry.message) == (EntryKind.LABEL, message)


def test_a_value_that_is_stored_is_told_with_its_labels() -> None:
    put = record("PutSecretValue", responseElements={"versionId": "v2", "versionStages": ["AWSPENDING", "MINE"]})
    update = record("UpdateSecret", who=ALICE, key="AKIA1", responseElements={"versionId": "v3"})
    described = record("UpdateSecret", who=ALICE, key="AKIA1", responseElements={"arn": ARN})

    assert told(put, update, described) == [
        "a value was stored in v2 (AWSPENDING, MINE), by the function",
        "a value was stored in v3 (AWSCURRENT), by user/alice",
        "UpdateSecret by user/alice",
    ]


def test_refusals_are_errors_and_a_look_in_vain_of_the_function_is_none() -> None:
    denied = record("PutSecretValue", error="AccessDenied")
    vain = record("GetSecretValue", reads=True, error="ResourceNotFoundException")
    wrong = record("RotateSecret", who=ALICE, key="AKIA1", error="InvalidRequestException")

    first, second, third = calls_of(QUESTION, [denied, vain, wrong]).entries

    assert (first.kind, first.severity) == (EntryKind.DENIED, Severity.ERROR)
    assert (first.message, first.event_id) == ("PutSecretValue by the function was denied: no", denied.event_id)
    assert (second.kind, second.severity) == (EntryKind.CALL, Severity.INFO)
    assert (third.kind, third.severity) == (EntryKind.CALL, Severity.WARNING)
    assert third.message == "RotateSecret by user/alice was refused: no"


def test_who_began_it_is_known_by_the_version_that_was_answered() -> None:
    begun = record("RotateSecret", who=ALICE, key="AKIA1", responseElements={"versionId": "v2"})
    another = record("RotateSecret", who=ALICE, key="AKIA1", responseElements={"versionId": "v3"})

    calls = calls_of(QUESTION, [begun, another])

    assert calls.asked_by is not None
    assert (calls.asked_by.event_id, calls.asked_by.who) == (begun.event_id, "user/alice")
    assert [entry.event_id for entry in calls.entries] == [another.event_id]


def service(name: str, version_id: str = "v2", **more: Any) -> AuditRecord:
    return record(
        name, who="secretsmanager.amazonaws.com", key="", eventType="AwsServiceEvent",
        request_id=f"Rotation-{ARN}-{version_id}", **more,
    )  # fmt: skip


def test_the_services_own_events_of_the_rotation_are_no_entries() -> None:
    ended = service("RotationSucceeded")
    records = [service("RotationStarted"), service("RotationFailed"), ended, service("RotationStarted", "v3")]

    calls = calls_of(QUESTION, records)

    assert calls.entries == []
    assert calls.ended_by is not None
    assert calls.ended_by.event_id == ended.event_id


def test_other_things_that_the_service_did_meanwhile_are() -> None:
    failed = record(
        "ReplicationFailed", eventType="AwsServiceEvent", request_id=f"Replication-{ARN}", errorMessage="no"
    )

    (entry,) = calls_of(QUESTION, [failed]).entries

    assert (entry.message, entry.severity) == ("Secrets Manager recorded ReplicationFailed: no", Severity.ERROR)


def test_invocations_are_known_by_their_request_ids() -> None:
    invoked = record(
        "Invoke", request_id="r7", error="AccessDenied",
        userIdentity={"type": "AWSService", "invokedBy": "secretsmanager.amazonaws.com"},
    )  # fmt: skip

    calls: Calls = calls_of(QUESTION, [invoked])

    assert calls.entries == []
    assert (calls.invocations["r7"].event_id, calls.invocations["r7"].is_denied) == (invoked.event_id, True)


@pytest.mark.parametrize(
    ("repair", "message", "severity"),
    [
        ("forward", "The database accepts v2: AWSCURRENT was moved to it", Severity.INFO),
        ("allRefused", "The database refuses every version that is stored: no label would help", Severity.ERROR),
        ("something new", "The database was asked which version it accepts", Severity.INFO),
    ],
)
def test_what_the_database_said_is_told_in_words(repair: str, message: str, severity: Severity) -> None:
    resolved = service("RotationResolved", additionalEventData={"Repair": repair, "SecretVersionId": "v2"})

    (entry,) = calls_of(QUESTION, [resolved]).entries

    assert (entry.kind, entry.message, entry.severity) == (EntryKind.LABEL, message, severity)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("RetryRotation", "user/alice retried the rotation: it is due at once, with a fresh set of attempts"),
        ("ResolveRotation", "user/alice had the database asked which version it accepts (ResolveRotation)"),
        ("CancelRotateSecret", "user/alice switched rotation off (CancelRotateSecret)"),
    ],
)
def test_what_somebody_did_about_an_unfinished_rotation_is_told_with_who_it_was(name: str, message: str) -> None:
    done = record(name, who=ALICE, key="AKIA1", responseElements={"versionId": "v2"})
    refused = record(name, who=ALICE, key="AKIA1", error="InvalidRequestException")

    calls = calls_of(QUESTION, [done, refused])

    first, second = calls.entries
    assert (first.kind, first.message, first.event_id) == (EntryKind.EVENT, message, done.event_id)
    assert (second.kind, second.severity) == (EntryKind.CALL, Severity.WARNING)
    assert calls.asked_by is None
    assert (calls.cancelled_by and calls.cancelled_by.who) == ("user/alice" if name == "CancelRotateSecret" else None)


@pytest.mark.parametrize("name", ["ResolveRotation", "CancelRotateSecret"])
def test_the_database_is_asked_by_who_resolves_or_cancels(name: str) -> None:
    asked = record(name, who=ALICE, key="AKIA1", responseElements={"versionId": "v2"})

    calls = calls_of(replace(QUESTION, kind="resolution"), [asked])

    assert (calls.asked_by and calls.asked_by.who, calls.entries) == ("user/alice", [])
