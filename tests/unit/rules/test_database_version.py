"""Which version the database has, out of steps: what is known, what may be, and what nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyturn.rules.database_version import DatabaseVersion, VersionRun, database_version
from keyturn.storage.rotations import StepRecord

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LABELS = {"AWSCURRENT": "current", "AWSPREVIOUS": "previous", "AWSPENDING": "pending"}


def ran(
    step: str, minute: int, outcome: str | None = "succeeded", version: str = "pending", said: str = ""
) -> VersionRun:
    began = AT + minute * MINUTE
    ended = None if outcome is None else began + MINUTE
    return VersionRun(version, StepRecord(minute, 1, step, "r", began, ended, outcome, None, said or None))


def known(*runs: VersionRun, changed_at: datetime = AT, stored_at: datetime | None = AT) -> DatabaseVersion:
    return database_version(runs, LABELS, changed_at, stored_at)


def test_what_has_logged_in_is_known_until_another_password_is_set() -> None:
    tested = ran("testSecret", 1, version="current")

    assert known(tested) == DatabaseVersion("current", AT + 2 * MINUTE)
    assert known(tested, ran("createSecret", 3)).maybe == {}
    assert known(tested, ran("setSecret", 3)) == DatabaseVersion(
        "current", AT + 2 * MINUTE, maybe={"pending": AT + 3 * MINUTE}
    )
    assert known(tested, ran("setSecret", 3), ran("testSecret", 5)) == DatabaseVersion("pending", AT + 6 * MINUTE)
    assert known(ran("setSecret", 0), ran("testSecret", 1), ran("setSecret", 3)).maybe == {}


@pytest.mark.parametrize("outcome", [None, "succeeded", "functionError", "timeout"])
def test_a_step_that_has_begun_may_have_set_the_password(outcome: str | None) -> None:
    assert known(ran("setSecret", 0, outcome), ran("testSecret", 1, "functionError")).maybe == {"pending": AT}


@pytest.mark.parametrize("outcome", ["throttled", "notInvoked", "refused"])
def test_a_function_that_was_not_invoked_has_set_nothing(outcome: str) -> None:
    assert known(ran("setSecret", 0, outcome)) == DatabaseVersion()


@pytest.mark.parametrize(
    ("said", "changed", "version"),
    [
        ("pending accepted, current refused", 9, "pending"),
        ("pending refused, current accepted", 0, "current"),
        ("pending refused, current accepted", 2, "current"),
        ("pending refused, current accepted", 9, None),
        ("pending refused, current refused, previous accepted", 0, "previous"),
        # The labels have followed the answer.
        ("pending refused, current refused, previous accepted", 2, "current"),
        ("unlabelled accepted", 2, "current"),
        ("unlabelled accepted", 0, None),
    ],
)
def test_an_answer_is_of_labels_as_they_were_then(said: str, changed: int, version: str | None) -> None:
    found = known(ran("setSecret", 0), ran("probeSecret", 1, said=said), changed_at=AT + changed * MINUTE)

    assert found == DatabaseVersion(version, AT + 2 * MINUTE)


def test_that_all_are_refused_is_known_and_no_answer_tells_nothing() -> None:
    refused = known(ran("setSecret", 0), ran("probeSecret", 1, said="pending refused, current refused"))
    silent = known(ran("setSecret", 0), ran("probeSecret", 1, said="pending refused, current no answer"))

    assert refused == DatabaseVersion(None, AT + 2 * MINUTE, is_refused=True)
    assert silent == DatabaseVersion(maybe={"pending": AT})


@pytest.mark.parametrize(("minute", "is_overtaken"), [(0, False), (2, False), (3, True)])
def test_a_value_that_was_stored_after_all_were_refused_is_not_refused(minute: int, is_overtaken: bool) -> None:
    probed = ran("probeSecret", 1, said="pending refused, current refused")

    found = known(probed, changed_at=AT + 9 * MINUTE, stored_at=AT + minute * MINUTE)

    assert (found.is_refused, found.is_overtaken) == (not is_overtaken, is_overtaken)
    assert known(probed, stored_at=None).is_refused
