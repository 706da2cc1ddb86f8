"""The newest failed invocations of a function, and the rotation step that each was."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from keyturn.clock import to_milliseconds
from keyturn.console.failures import newest_failures
from keyturn.console.visit import Look, Visit

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
SECRET_ARN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/hr/db-aaaaaa"
REQUEST_ID = "6cfc0276-b76e-4c13-bdc3-ad77932dc2fe"


class TimedOut:
    """What log and trail tell of one invocation that ran out of time: the step is recorded when that is over."""

    def __init__(self, began_at: datetime, duration_ms: int | None) -> None:
        took = timedelta(milliseconds=duration_ms or 60_000)
        self.recorded_at = began_at + took + timedelta(seconds=1.5)
        self.lines = [
            (began_at, f"START RequestId: {REQUEST_ID} Version: $LATEST"),
            (began_at + took, f"2026-11-28T09:00:00.000Z {REQUEST_ID} Task timed out after 2.00 seconds"),
        ]
        if duration_ms is not None:
            report = f"REPORT RequestId: {REQUEST_ID}\tDuration: {duration_ms}.00 ms\tStatus: timeout"
            self.lines.append((began_at + took, report))

    def look(self, service: str, operation: str, **asked: Any) -> Look:
        """Answer FilterLogEvents and LookupEvents."""
        if service == "logs":
            assert operation == "filter_log_events"
            events = [
                {"eventId": str(number), "timestamp": to_milliseconds(at), "logStreamName": "s", "message": text}
                for number, (at, text) in enumerate(self.lines)
                if asked["startTime"] <= to_milliseconds(at) <= asked["endTime"]
            ]
            return Look({"events": events})
        assert (service, operation) == ("cloudtrail", "lookup_events")
        data = {"SecretId": SECRET_ARN, "ClientRequestToken": "v", "Step": "setSecret"}
        event = {"requestID": REQUEST_ID, "additionalEventData": data}
        is_asked = asked["StartTime"] <= self.recorded_at <= asked["EndTime"]
        return Look({"Events": [{"CloudTrailEvent": json.dumps(event)}] if is_asked else []})


@pytest.mark.parametrize("duration_ms", [20, 2_000, 900_000, None])
def test_the_newest_leads_to_its_rotation_however_long_it_took(duration_ms: int | None) -> None:
    told = TimedOut(NOW, duration_ms)

    found = newest_failures(cast("Visit", told), "/group", NOW - timedelta(hours=1), NOW + timedelta(hours=1))

    assert [failed.request_id for failed in found.newest] == [REQUEST_ID]
    assert found.steps[REQUEST_ID].secret_name == "prod/hr/db"
