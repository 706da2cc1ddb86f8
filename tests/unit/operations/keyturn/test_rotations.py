"""ListRotations and GetRotation over rows as the scheduler writes them, a log, and a trail."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyturn.arn import Place
from keyturn.errors.secretsmanager import InvalidNextTokenException, ResourceNotFoundException
from keyturn.operations.keyturn import rotations as operations
from keyturn.operations.keyturn import timeline_audit, timeline_logs
from keyturn.storage import rotation_leases, rotations, secrets
from keyturn.storage.rotations import RotationKind, RotationStatus
from keyturn.testing.handlers import ALLOW_ALL, PLACE

from .conftest import GROUP, SECOND, Desk


def lines_of(answer: Any) -> list[str]:
    return [entry["Message"] for entry in answer["Timeline"] if entry["Kind"] == "log"]


def test_a_secret_that_never_rotated_has_no_rotation(desk: Desk) -> None:
    with pytest.raises(ResourceNotFoundException, match=r"The secret has not been rotated\."):
        desk.get()
    with pytest.raises(ResourceNotFoundException, match=r"The secret has no rotation to version v7\."):
        desk.get(VersionId="v7")


def test_the_newest_rotation_is_meant_unless_a_version_is_named(desk: Desk) -> None:
    for version_id in ("v2", "v3"):
        desk.begin(version_id)
        desk.end(RotationStatus.CANCELLED, "Cancelled.")

    assert desk.get()["Rotation"]["VersionId"] == "v3"
    assert desk.get(VersionId="v2")["Rotation"]["VersionId"] == "v2"
    assert desk.get()["Timeline"][-1]["Message"] == "The rotation was cancelled: Cancelled."


def test_a_rotation_runs_as_long_as_its_lease_is_held(desk: Desk) -> None:
    desk.begin()
    assert desk.get()["Rotation"]["Status"] == "pending"
    assert desk.get()["Rotation"]["DueAt"] == desk.clock.now()

    desk.step(desk.claim(), "createSecret", "r1", outcome=None)
    assert desk.get()["Rotation"]["Status"] == "running"
    assert desk.get()["Steps"][0]["Outcome"] == "running"

    desk.clock.advance(timedelta(minutes=2))
    assert desk.get()["Rotation"]["Status"] == "pending"
    assert desk.get()["Steps"][0]["Outcome"] == "interrupted"


def test_a_parked_rotation_says_when_its_next_window_is(desk: Desk) -> None:
    desk.begin()
    claimed, opens_at = desk.claim(), desk.clock.now() + timedelta(days=1)
    desk.step(claimed, "createSecret", "r1", "functionError", "E: no")
    with desk.kit.state.write() as transaction:
        rotation_leases.write_under_lease(
            transaction, claimed, desk.clock.now(), status=RotationStatus.PARKED, error="E: no", lease_owner=None
        )
        assert desk.secret is not None
        secrets.update_secret(
            transaction, desk.secret, next_rotation_at=opens_at, next_rotation_closes_at=opens_at + timedelta(hours=3)
        )

    rotation = desk.get()["Rotation"]

    assert (rotation["Status"], rotation["Error"]) == ("parked", "E: no")
    assert (rotation["DueAt"], rotation["WindowClosesAt"]) == (opens_at, opens_at + timedelta(hours=3))


def test_lines_of_an_invocation_are_those_between_its_start_and_its_report(desk: Desk) -> None:
    claimed = (desk.begin(), desk.claim())[1]
    start = desk.clock.now()
    desk.step(claimed, "createSecret", "r1")
    desk.log(
        "START RequestId: r0 Version: $LATEST\n", "of another\n", "REPORT RequestId: r0\tx\n", "between\n", at=start
    )
    desk.log("START RequestId: r1 Version: $LATEST\n", "mine\n", at=start)
    desk.log("of another environment\n", stream="t", at=start)
    desk.log("is hunter22\n", "REPORT RequestId: r1\tx\n", "later\n", at=start + SECOND)

    assert lines_of(desk.get()) == ["START RequestId: r1 Version: $LATEST", "mine", "is ***", "REPORT RequestId: r1\tx"]


def test_a_log_without_report_ends_where_the_next_invocation_begins(desk: Desk) -> None:
    claimed = (desk.begin(), desk.claim())[1]
    desk.log("START RequestId: r1 Version\n", "mine\n", "START RequestId: r2 Version\n", "not mine\n")
    desk.step(claimed, "createSecret", "r1")

    assert lines_of(desk.get()) == ["START RequestId: r1 Version", "mine"]


def test_a_log_that_is_gone_is_noted(desk: Desk) -> None:
    claimed = (desk.begin(), desk.claim())[1]
    for number in (1, 2):
        desk.log(f"START RequestId: r{number} Version\n")
        desk.step(claimed, "createSecret", f"r{number}")
    desk.record("DescribeSecret", desk.clock.now() - timedelta(days=1), reads=True)
    assert desk.notes() == []

    desk.step(claimed, "setSecret", "r3")
    assert desk.notes() == ["The log of 1 of 3 invocations is gone, or was never written."]


def test_a_log_is_read_only_where_its_streams_may_be(desk: Desk) -> None:
    claimed = (desk.begin(), desk.claim())[1]
    for number in (1, 2):
        desk.log(f"START RequestId: r{number} Version\n", stream=f"stream{number}")
        desk.step(claimed, "createSecret", f"r{number}")
    group = PLACE.log_group_arn(GROUP)
    deny = {"Effect": "Deny", "Action": "logs:GetLogEvents", "Resource": f"{group}:log-stream:stream2"}
    desk.allow(*json.loads(ALLOW_ALL)["Statement"], deny)

    answer = desk.get()

    assert lines_of(answer) == ["START RequestId: r1 Version"]
    assert f"logs:GetLogEvents on {group}." in answer["Timeline"][1]["Message"]


def test_a_very_long_log_is_read_from_its_end_and_that_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_logs, "_MOST_LINES", 3)
    claimed = (desk.begin(), desk.claim())[1]
    for number in (1, 2):
        desk.log(f"START RequestId: r{number} Version\n", "one\n", f"REPORT RequestId: r{number}\n")
        desk.step(claimed, "createSecret", f"r{number}")

    answer = desk.get()

    assert answer["Truncated"]
    assert lines_of(answer) == ["START RequestId: r2 Version", "one", "REPORT RequestId: r2"]
    assert desk.notes()[-1] == "The function logged more than is shown: the log lines of earlier steps are left out."


def test_of_very_many_steps_the_newest_are_shown(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "_MOST_STEPS", 2)
    claimed = (desk.begin(), desk.claim())[1]
    for number in range(3):
        desk.step(claimed, "createSecret", f"r{number}")

    assert [step["RequestId"] for step in desk.get()["Steps"]] == ["r1", "r2"]
    assert desk.get()["Truncated"]


def test_the_trail_is_searched_around_the_rotation_and_not_beyond(desk: Desk) -> None:
    before = desk.record("TagResource", desk.clock.now() - SECOND, who="alice")
    claimed = (desk.begin(), desk.claim())[1]
    during = desk.record("TagResource", desk.clock.now(), who="alice")
    desk.record("GetSecretValue", desk.clock.now(), who="alice", reads=True)
    desk.step(claimed, "createSecret", "r1", "functionError")
    desk.clock.advance(timedelta(hours=3))
    long_after = desk.record("TagResource", desk.clock.now(), who="alice")
    desk.clock.advance(timedelta(hours=3))

    told = {entry["EventId"] for entry in desk.get()["Timeline"] if entry["Kind"] == "call"}

    assert during in told
    assert not told & {before, long_after}


def test_a_trail_with_too_much_in_it_is_cut_and_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_audit, "_MOST_RECORDS", 2)
    claimed = (desk.begin(), desk.claim())[1]
    for _ in range(3):
        desk.record("TagResource", desk.clock.now(), who="alice")
    desk.step(claimed, "createSecret", "r1")

    assert desk.get()["Truncated"]
    assert "The audit trail has more of this time than is shown: earlier calls are left out." in desk.notes()


def test_a_trail_that_does_not_reach_back_is_noted(desk: Desk) -> None:
    desk.begin()
    assert desk.notes() == ["The audit trail is empty: of the time before only the rotation's own record is left."]

    desk.clock.advance(SECOND)
    desk.record("TagResource", desk.clock.now(), who="alice")
    (note,) = desk.notes()
    assert note.startswith(f"The audit trail begins at {desk.clock.now():%Y-%m-%dT%H:%M:%SZ}: ")


def test_a_function_of_nowhere_has_no_log(desk: Desk) -> None:
    desk.record("TagResource", desk.clock.now() - SECOND, who="alice")
    elsewhere = Place("aws", "us-east-1", "111111111111").function_arn("rotate")
    desk.step((desk.begin(function_arn=elsewhere), desk.claim())[1], "createSecret", "r1")

    assert lines_of(desk.get()) == []
    assert desk.notes() == []


def test_a_list_goes_on_where_it_ended_and_its_tokens_serve_one_secret(desk: Desk) -> None:
    for number in range(5):
        desk.begin(f"v{number}", RotationKind.TEST)
        desk.end(RotationStatus.FAILED, "no")
    desk.bench.call("secretsmanager", "CreateSecret", Name="other", ClientRequestToken="o" * 32)

    def page(**request: Any) -> Any:
        return desk.bench.call("keyturn", "ListRotations", **{"SecretId": "db", "MaxResults": 2, **request})

    first = page()
    second = page(NextToken=first["NextToken"])
    third = page(NextToken=second["NextToken"])

    assert [[each["VersionId"] for each in found["Rotations"]] for found in (first, second, third)] == [
        ["v4", "v3"], ["v2", "v1"], ["v0"]
    ]  # fmt: skip
    assert "NextToken" not in third
    assert {(each["Kind"], each["Status"]) for each in first["Rotations"]} == {("test", "failed")}
    with pytest.raises(InvalidNextTokenException):
        page(SecretId="other", NextToken=first["NextToken"])


def put_by_hand(desk: Desk, version_id: str) -> str:
    """Store a value, and the event that the pipeline would store; return its id."""
    desk.bench.call(
        "secretsmanager", "PutSecretValue", SecretId="db", SecretString="kx93-value", ClientRequestToken=version_id
    )
    event_id = desk.record(
        "PutSecretValue", desk.clock.now(), who="alice", key="AKIA1", responseElements={"versionId": version_id}
    )
    desk.clock.advance(SECOND)
    return event_id


def test_a_value_that_was_changed_by_hand_since_the_last_rotation_is_told_before_the_first_step(desk: Desk) -> None:
    desk.clock.advance(SECOND)
    put_by_hand(desk, "b" * 32)
    desk.begin("v1")
    desk.end(RotationStatus.SUCCEEDED)
    desk.clock.advance(SECOND)
    at, event_id = desk.clock.now(), put_by_hand(desk, "h" * 32)
    desk.step((desk.begin(), desk.claim())[1], "createSecret", "r1")

    (changed, *_), who = desk.get()["Timeline"], "assumed-role/rotate/alice"

    assert changed["Message"] == f"Before this rotation the value was changed by hand, by {who}: version {'h' * 32}"
    assert (changed["At"], changed["EventId"], changed["Severity"]) == (at, event_id, "warning")
    assert len([entry for entry in desk.get()["Timeline"] if "by hand" in entry["Message"]]) == 1
    # Who may not read the trail is not told who it was.
    desk.allow({"Effect": "Allow", "Action": "keyturn:*", "Resource": "*"})
    (unnamed,) = [entry for entry in desk.get()["Timeline"] if entry["Message"].startswith("Before this")]
    assert unnamed["Message"] == f"Before this rotation the value was changed by hand: version {'h' * 32}"
    assert "EventId" not in unnamed


def test_versions_without_a_label_that_hold_a_value_are_named(desk: Desk) -> None:
    made = desk.clock.advance(SECOND)
    for letter in "abc":
        put_by_hand(desk, letter * 32)
    desk.begin()

    newest, oldest = desk.get()["UnlabelledVersions"]

    assert (newest["VersionId"], oldest["VersionId"]) == ("a" * 32, "v" * 32)
    assert newest["CreatedDate"] == made


def test_one_that_was_cancelled_says_why_it_ended_and_beside_it_why_its_last_attempt_failed(desk: Desk) -> None:
    claimed = (desk.begin(), desk.claim())[1]
    desk.step(claimed, "setSecret", "r1", "functionError", "E: no")
    desk.record("CancelRotateSecret", desk.clock.now(), who="alice", responseElements={"versionId": "v2"})
    desk.end(RotationStatus.CANCELLED, "Rotation was cancelled.")

    answer = desk.get()

    rotation = answer["Rotation"]
    assert (rotation["Error"], rotation["LastError"]) == ("Rotation was cancelled.", "E: no")
    assert (rotation["EndedBy"], "Cause" in rotation) == ("assumed-role/rotate/alice", False)
    assert answer["Timeline"][-1]["Message"] == "The rotation was cancelled by assumed-role/rotate/alice"


def test_why_the_last_attempt_failed_is_told_also_if_the_database_was_asked_very_often_since(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "_MOST_STEPS", 2)
    claimed = (desk.begin(), desk.claim())[1]
    desk.step(claimed, "createSecret", "r1", "functionError", "E: first")
    desk.step(claimed, "setSecret", "r2", "functionError", "E: last")
    for number in range(3, 6):
        desk.step(claimed, "probeSecret", f"r{number}", "functionError", "no answer")
    desk.end(RotationStatus.CANCELLED, "Rotation was cancelled.")

    answer = desk.get()

    assert answer["Rotation"]["LastError"] == "E: last"
    assert [step["RequestId"] for step in answer["Steps"]] == ["r4", "r5"]


def test_one_that_was_cancelled_before_anything_but_asking_failed_says_what_was_said_last(desk: Desk) -> None:
    claimed = (desk.begin(), desk.claim())[1]
    desk.step(claimed, "createSecret", "r1")
    for number in (2, 3):
        desk.step(claimed, "probeSecret", f"r{number}", "functionError", f"no answer {number}")
    desk.end(RotationStatus.CANCELLED, "Rotation was cancelled.")

    assert desk.get()["Rotation"]["LastError"] == "no answer 3"


def test_whether_the_database_can_be_asked_and_what_it_said_is_told(desk: Desk) -> None:
    claimed = (desk.begin(), desk.claim())[1]
    assert not desk.get()["CanBeResolved"]
    with desk.kit.state.write() as transaction:
        rotation_leases.write_under_lease(transaction, claimed, desk.clock.now(), offers_probe=True)
        position = rotations.next_position(transaction, claimed)
        rotations.insert_step(transaction, replace(claimed, step="probeSecret"), position, "r1", desk.clock.now())
        said = "pending refused, current accepted"
        rotations.end_step(
            transaction, claimed, position, desk.clock.now(), outcome="succeeded", error=None, cause=said
        )

    answer = desk.get()

    assert answer["CanBeResolved"]
    assert answer["Rotation"]["Attempts"] == 5
    (probe,) = answer["Steps"]
    assert probe["Answers"] == {"AWSPENDING": "refused", "AWSCURRENT": "accepted"}
    assert "Cause" not in probe


def test_what_the_database_may_have_is_told_whether_or_not_the_version_has_a_label(desk: Desk) -> None:
    claimed = (desk.begin("v2"), desk.claim())[1]
    desk.step(claimed, "testSecret", "r1")
    tested_at = desk.clock.now()
    desk.end(RotationStatus.SUCCEEDED)
    assert desk.get()["DatabaseVersion"] == {
        "VersionId": "v2", "At": tested_at, "EveryVersionRefused": False, "RefusalOvertaken": False,
        "MaybeVersions": [],
    }  # fmt: skip

    claimed, began = (desk.begin("v3"), desk.claim())[1], desk.clock.now()
    desk.step(claimed, "setSecret", "r2", "functionError", "E: no")
    # However long the database is asked in vain.
    for number in range(205):
        desk.step(claimed, "probeSecret", f"p{number}", "functionError", "E: no")
    desk.end(RotationStatus.ABANDONED, "no")
    desk.begin("v4")

    answer = desk.get()

    assert answer["DatabaseVersion"]["VersionId"] == "v2"
    assert answer["DatabaseVersion"]["MaybeVersions"] == [{"VersionId": "v3", "SetAt": began}]
    assert answer["RotationEnabled"]


def test_what_has_ended_last_is_shown_and_a_rotation_before_a_question_about_its_version(desk: Desk) -> None:
    desk.begin("v2")
    waiting = desk.rotation("v2")
    desk.end(RotationStatus.CANCELLED, "asked instead")
    desk.begin("v2", RotationKind.RESOLUTION)
    desk.end(RotationStatus.FAILED, "E: no")
    with desk.kit.state.write() as transaction:
        rotations.take_up_again(transaction, waiting, RotationStatus.PENDING, desk.clock.now(), None)
    assert desk.get()["Rotation"]["Status"] == "pending"
    desk.clock.advance(SECOND)
    desk.end(RotationStatus.SUCCEEDED)

    assert desk.get()["Rotation"]["Status"] == "succeeded"
    by_version = desk.get(VersionId="v2")
    assert (by_version["Rotation"]["Kind"], by_version["OtherKinds"]) == ("rotation", ["resolution"])
    assert desk.get(VersionId="v2", Kind="resolution")["OtherKinds"] == ["rotation"]
