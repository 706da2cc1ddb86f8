"""Watch one rotation through the API: each step as it ends, with the function's log lines, then the outcome.

What is seen comes from DescribeSecret, from the audit trail (CloudTrail: the service's Invoke of each step, and how the
rotation ended) and from the function's log.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import chain
from typing import Any, ClassVar

from keyturn.cli.clients import SERVER_FAULT, Clients
from keyturn.client.rotation_status import ENDED_BY_OTHERS, status_of
from keyturn.errors.base import KeyturnError
from keyturn.rules.invocation_log import names, of_invocation

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
_POLL_SECONDS = 0.2
_CURRENT = "AWSCURRENT"
_TESTED = {"TestRotationSucceeded", "TestRotationFailed"}
_ENDED = {"RotationSucceeded", "RotationFailed", "RotationAbandoned", "RotationResolved", *_TESTED}
_SWITCHED_OFF = "Rotation of this secret is off: it was cancelled."
# Whoever starts a rotation and whoever serves it may have clocks that differ a little.
_CLOCKS_DIFFER = timedelta(seconds=5)
_EVENTS_AT_ONCE = 50
_FIRST_FAULT = 500
_COLONS_OF_FUNCTION = 6
# What a function may take, and a little.
_LONGEST_TEST_SECONDS = 960
# AWS shows audit events minutes later. A rotation that is over while its event is not to be seen is not waited for.
_POLLS_FOR_EVENTS = 10


class StillUnderWay(KeyturnError):
    """What was watched is not watched any more and goes on by itself: nobody knows how it ends."""

    exit_status: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class StepSeen:
    """A step that has ended.

    Attributes:
        error: The function's error, None if the step succeeded.
        lines: What the function logged in it.
    """

    step: str
    error: str | None
    lines: list[str]


@dataclass(frozen=True, slots=True)
class Ending:
    """How the rotation ended, or its attempt.

    Attributes:
        error: None if it succeeded.
        answer: What GetRotation tells of it afterwards, or of the question that has taken its place; None if that is
            not known.
        current: The version that had AWSCURRENT when it began, and the one that has it now.
    """

    error: str | None
    answer: Mapping[str, Any] | None = None
    current: tuple[str | None, str | None] = (None, None)


@dataclass(frozen=True, slots=True)
class Started:
    """A rotation that was started, or taken up again.

    Attributes:
        seen: Audit events that there were before: a rotation taken up again has failed, maybe a moment ago.
        was_off: Whether rotation of the secret was off, and this has switched it on.
        under_way: The attempt that ran already when this was asked for, by its number, and when it had begun; None if
            none ran, as far as is known.
    """

    version_id: str
    started_at: datetime
    seen: frozenset[str] = frozenset()
    was_off: bool = False
    under_way: tuple[int, datetime] | None = None


class Rotation:
    """One rotation, told apart by the secret and the version it makes.

    Args:
        clients: Of the server.
        secret: Name or ARN.
        started: What :func:`start_rotation` has returned.
        options: Of the server, for hints, as ``as_given`` returns them.
    """

    def __init__(self, clients: Clients, secret: str, started: Started, options: str = "") -> None:
        self._clients = clients
        self._look = f"keyturn rotation show {secret}{options} shows how far it is."
        self._described = clients["secretsmanager"].describe_secret(SecretId=secret)
        self._version_id = started.version_id
        self._since = started.started_at - _CLOCKS_DIFFER
        self._seen = set(started.seen)

    def follow(self, timeout_seconds: float, waiting: Callable[[str], None]) -> Iterator[StepSeen | Ending]:
        """Yield each step when it has ended, and at last how the rotation ended.

        Args:
            timeout_seconds: How long to watch.
            waiting: Called now and then with the step that is under way.

        Raises:
            StillUnderWay: The time is over, or the server has gone away.
        """
        with self._watched():
            yield from self._follow(timeout_seconds, waiting)

    def _follow(self, timeout_seconds: float, waiting: Callable[[str], None]) -> Iterator[StepSeen | Ending]:
        deadline = time.monotonic() + timeout_seconds
        done = polls_since_rotated = 0
        while time.monotonic() < deadline:
            for event in self._new_events():
                if event["eventName"] == "Invoke":
                    yield self._step(event)
                    done += 1
                else:
                    yield self._ending(event, deadline, waiting)
                    return
            described = self._clients["secretsmanager"].describe_secret(SecretId=self._described["ARN"])
            if described.get("RotationEnabled") is False:
                yield self._failed(_SWITCHED_OFF, self._settled(deadline, waiting))
                return
            polls_since_rotated += self._has_rotated(described)
            if polls_since_rotated > _POLLS_FOR_EVENTS:
                yield Ending(None)
                return
            waiting(STEPS[min(done, len(STEPS) - 1)])
            time.sleep(_POLL_SECONDS)
        raise StillUnderWay(
            f"The rotation has not ended within {timeout_seconds:.0f} seconds; it goes on without being watched.",
            self._look,
            f"aws logs tail {self._log_group} --follow shows what the function does.",
        )

    @cached_property
    def _log_group(self) -> str:
        return _log_group(self._clients, self._described.get("RotationLambdaARN", ""))

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Say what becomes of the rotation when its server is gone."""
        from botocore import exceptions  # noqa: PLC0415 - as boto3, it takes a while to import

        try:
            yield
        except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
            raise StillUnderWay(
                f"The server does not answer any more: {error}",
                "The rotation goes on by itself, from the step it was in, when the server is back.",
                self._look,
            ) from error
        except exceptions.ClientError as error:
            if not _is_fault(error):
                raise
            raise StillUnderWay(
                f"The server cannot tell how the rotation goes on just now: {error}",
                SERVER_FAULT,
                "The rotation goes on by itself, from the step it was in, when the server can work again.",
                self._look,
            ) from error

    def _new_events(self) -> list[Mapping[str, Any]]:
        """Return what the audit trail has newly recorded of this rotation, oldest first."""
        events = []
        for event in reversed(_newest_events(self._clients, self._described["ARN"], self._since)):
            if event["eventID"] not in self._seen and self._is_ours(event):
                self._seen.add(event["eventID"])
                events.append(event)
        return events

    def _is_ours(self, event: Mapping[str, Any]) -> bool:
        if event["eventName"] == "Invoke":
            return (event.get("additionalEventData") or {}).get("ClientRequestToken") == self._version_id
        return event["eventName"] in _ENDED and str(event.get("requestID", "")).endswith(self._version_id)

    def _ending(self, event: Mapping[str, Any], deadline: float, waiting: Callable[[str], None]) -> Ending:
        name = event["eventName"]
        if name == "RotationSucceeded":
            return Ending(None)
        if name == "RotationResolved":
            repair = (event.get("additionalEventData") or {}).get("Repair")
            return self._failed(
                "No rotation was started: the one before had been cancelled, and the database was asked which version"
                f" it accepts ({repair}). Start it again.",
                self._settled(deadline, waiting),
            )
        if name in _TESTED:
            return self._failed("No rotation was started: the function was being tested. Start it again.", None)
        answer = self._settled(deadline, waiting)
        own = {} if answer is None else answer["Rotation"]
        if name == "RotationFailed" and (own.get("Kind"), own.get("Status")) == ("rotation", "succeeded"):
            return Ending(None)
        said = "AWSPENDING was taken off its version." if name == "RotationAbandoned" else name
        return self._failed(event.get("errorMessage") or said, answer)

    def _failed(self, error: str, answer: Mapping[str, Any] | None) -> Ending:
        """Return an ending with where AWSCURRENT is now."""
        described = self._clients["secretsmanager"].describe_secret(SecretId=self._described["ARN"])
        return Ending(error, answer, (_version_of(self._described, _CURRENT), _version_of(described, _CURRENT)))

    def _settled(self, deadline: float, waiting: Callable[[str], None]) -> Mapping[str, Any] | None:
        """Return a rotation whose attempt has failed as it is when it waits, or has ended; None if nobody tells.

        It may have succeeded nevertheless, because the database had the new password. Of one that somebody has ended,
        the question that has taken its place, if the database is asked.
        """
        own = self._waited_for({"VersionId": self._version_id, "Kind": "rotation"}, deadline, waiting)
        if own is None or own["Rotation"]["Status"] not in ENDED_BY_OTHERS:
            return own
        newest = self._waited_for({}, deadline, waiting)
        is_question = newest is not None and newest["Rotation"]["Kind"] == "resolution"
        return newest if is_question else own

    def _waited_for(
        self, which: Mapping[str, str], deadline: float, waiting: Callable[[str], None]
    ) -> Mapping[str, Any] | None:
        """Return a rotation when it does not run any more, or as it is when the time is over."""
        while True:
            answer = look_up(self._clients, self._described["ARN"], **which)
            if answer is None:
                return None
            rotation = answer["Rotation"]
            # A question waits until nothing runs any more that may change the password.
            has_yet_to_begin = rotation["Kind"] == "resolution" and rotation["Status"] == "pending"
            is_under_way = rotation["Status"] == "running" or (has_yet_to_begin and rotation["Attempt"] == 1)
            if not is_under_way or time.monotonic() >= deadline:
                return answer
            waiting(f"{rotation['Step']}, {status_of(rotation, datetime.now(UTC))}")
            time.sleep(_POLL_SECONDS)

    def _has_rotated(self, described: Mapping[str, Any]) -> bool:
        rotated_at = described.get("LastRotatedDate")
        stages = described.get("VersionIdsToStages", {}).get(self._version_id, [])
        return "AWSCURRENT" in stages and rotated_at is not None and rotated_at >= self._since

    def _step(self, event: Mapping[str, Any]) -> StepSeen:
        step = event["additionalEventData"]["Step"]
        return StepSeen(step, event.get("errorMessage"), self._lines(event["requestID"]))

    def _lines(self, request_id: str) -> list[str]:
        """Return what the function logged while it served one request."""
        logs = self._clients["logs"]
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=self._log_group, startTime=int(self._since.timestamp() * 1000)
        )
        events = (event for page in pages for event in page["events"])
        first = next((event for event in events if names(event["message"], request_id)), None)
        if first is None:
            return []
        rest = (event for event in events if event["logStreamName"] == first["logStreamName"])
        lines = of_invocation(chain([first], rest), request_id, lambda event: str(event["message"]))
        return [str(event["message"]).rstrip("\n") for event in lines]


def _log_group(clients: Clients, function_arn: str) -> str:
    """Return where a function logs; where it would by itself if who asks may not look at it. Empty if it is none."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - as above

    if function_arn.count(":") < _COLONS_OF_FUNCTION:
        return ""
    try:
        shown = clients["lambda"].get_function_configuration(FunctionName=function_arn)
    except ClientError:
        return f"/aws/lambda/{function_arn.split(':')[6]}"
    return str(shown["LoggingConfig"]["LogGroup"])


def look_up(clients: Clients, secret: str, **which: str) -> Mapping[str, Any] | None:
    """Return what GetRotation tells of a secret's newest rotation, or of one; None where nobody tells."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - as above

    if "amazonaws.com" in clients["secretsmanager"].meta.endpoint_url:
        return None
    try:
        answer: Mapping[str, Any] = clients["keyturn"].get_rotation(SecretId=secret, **which)
    except ClientError as error:
        if _is_fault(error):
            raise
        # Who may rotate a secret may not be allowed to look at it.
        return None
    return answer


def start_rotation(clients: Clients, secret: str, **parameters: object) -> Started:
    """Start a rotation, or take up the one that has failed or is under way.

    A test of the function, as after RotateSecret that does not rotate at once, is waited for: it has one attempt.

    Raises:
        KeyturnError: The secret has no rotation function.
        StillUnderWay: The test has not ended in the time that a function has.
    """
    client = clients["secretsmanager"]
    started_at = datetime.now(UTC)
    described = client.describe_secret(SecretId=secret)
    was_off = described.get("RotationEnabled") is False
    before = _newest_events(clients, described["ARN"], started_at - _CLOCKS_DIFFER)
    seen = frozenset(str(event["eventID"]) for event in before)
    under_way = _under_way(clients, described["ARN"])
    try:
        return Started(client.rotate_secret(SecretId=secret, **parameters)["VersionId"], started_at, seen, was_off)
    except client.exceptions.InvalidRequestException as error:
        if "No Lambda rotation function ARN" in str(error):
            raise KeyturnError(
                f"RotateSecret: {error.response['Error']['Message']}",
                f"keyturn function create --for {secret} makes one, with all that it needs: docs/functions.md.",
            ) from error
        if "previous rotation" not in str(error):
            raise
        pending = _version_of(client.describe_secret(SecretId=secret), "AWSPENDING")
        if _was_test(clients, described["ARN"], pending):
            return start_rotation(clients, secret, **parameters)
        if pending is None:
            raise
        # AWS's answer to a rotation that failed before: it will be tried again, with the version it has made.
        return Started(pending, started_at, seen, under_way=under_way)


def _was_test(clients: Clients, secret_arn: str, pending: str | None) -> bool:
    """Return whether it was a test of the function that kept a rotation from being started, when it has ended.

    Args:
        clients: Of the server.
        secret_arn: The secret.
        pending: The version that was pending a moment after the refusal; None if the test had ended by then.
    """
    deadline = time.monotonic() + _LONGEST_TEST_SECONDS
    while True:
        rotation = (look_up(clients, secret_arn) or {}).get("Rotation", {})
        if rotation.get("Kind") != "test" or (pending is not None and rotation["VersionId"] != pending):
            return False
        if rotation["Status"] not in ("pending", "running"):
            return True
        if time.monotonic() >= deadline:
            raise StillUnderWay(
                "A test of the function has not ended, so that no rotation was started.",
                f"keyturn rotation show {secret_arn} shows how far it is.",
            )
        time.sleep(_POLL_SECONDS)


def _under_way(clients: Clients, secret_arn: str) -> tuple[int, datetime] | None:
    """Return the attempt that runs now, by its number, and when it has begun; None if there is none to be seen."""
    answer = look_up(clients, secret_arn) or {}
    rotation = answer.get("Rotation", {})
    if (rotation.get("Kind"), rotation.get("Status")) != ("rotation", "running"):
        return None
    own = (step for step in answer.get("Steps", ()) if step.get("Attempt") == rotation["Attempt"])
    first = next(own, None)
    return None if first is None else (rotation["Attempt"], first["StartedAt"])


def retry_rotation(clients: Clients, secret: str) -> Started:
    """Make an unfinished rotation due at once, with Keyturn's own operation."""
    started_at = datetime.now(UTC)
    arn = clients["secretsmanager"].describe_secret(SecretId=secret)["ARN"]
    before = _newest_events(clients, arn, started_at - _CLOCKS_DIFFER)
    version_id = clients["keyturn"].retry_rotation(SecretId=secret)["VersionId"]
    return Started(version_id, started_at, frozenset(str(event["eventID"]) for event in before))


def _newest_events(clients: Clients, secret_arn: str, since: datetime) -> list[Mapping[str, Any]]:
    found = clients["cloudtrail"].lookup_events(
        LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": secret_arn}],
        StartTime=since,
        MaxResults=_EVENTS_AT_ONCE,
    )
    return [json.loads(entry["CloudTrailEvent"]) for entry in found["Events"]]


def _version_of(described: Mapping[str, Any], label: str) -> str | None:
    stages: Mapping[str, list[str]] = described.get("VersionIdsToStages", {})
    return next((version for version, labels in stages.items() if label in labels), None)


def _is_fault(error: Any) -> bool:
    """Whether the server was at fault, and may not be for long."""
    return bool(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= _FIRST_FAULT)
