"""One secret's case: what has become of its rotations, beside what they consist of (``subject.py``).

A property that holds an :class:`~keyturn.doctor.facts.Answer` may be blind; its ``value`` then raises, and the check
that asked is blind, too. Nothing here judges.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from .cached import cached
from .database import Address, Database, address_in
from .documents import Json, statements_of, texts
from .facts import Answer, Facts, Kind, Unseen
from .log import LogRun, runs_in
from .network import Network
from .redaction import readable
from .secret_arns import is_namesake
from .subject import READ, Options, Subject, own_key, utc
from .told_address import ToldAddress, told_address
from .trail import TrailEvent, events_in
from .value import read_parts

_Value = TypeVar("_Value")

IN_PROGRESS = timedelta(minutes=15)
"""An attempt that began less long ago is under way: what it has left behind is no fault yet. The threshold is ours: AWS
documents that it tries again, not when."""
_TRAIL_DAYS = timedelta(days=90)
_BEFORE = timedelta(hours=1)
_NEAR = timedelta(minutes=5)
_REPORTED_WITHIN = timedelta(minutes=1)
_MOST_CHARACTERS = 2_000_000
PROBE = "probeSecret"
"""What Keyturn's rotation functions are asked beside the four steps: which version the database accepts."""
TEST_FAILED = "TestRotationFailed"
"""Of RotateSecret without RotateImmediately: the function only logs in with a copy of the current value."""
ROTATION_EVENTS = ("RotationStarted", "RotationSucceeded", "RotationFailed", "RotationAbandoned", TEST_FAILED)
CALLS_ABOUT_SECRETS = (
    "RotateSecret",
    "CancelRotateSecret",
    "PutSecretValue",
    "UpdateSecret",
    "DeleteSecret",
    "PutResourcePolicy",
)
FUNCTION_DELETED = "DeleteFunction20150331"
_DENIED_READ = re.compile(r"GetSecretValue on resource: (arn:\S+?)[.,]?(?:\s|$)")
_OF_SUPERUSER = re.compile(r"credentials in (?:master|admin) secret (arn:[^\s:]+(?::[^\s:]+){4}:[\w/+=.@-]+)")


class Case(Subject):
    """What is known of one secret.

    Args:
        facts: Answers.
        secret_id: As the operator named it.
        now: Aware UTC.
        options: How it is looked at.
    """

    def __init__(self, facts: Facts, secret_id: str, now: datetime, options: Options | None = None) -> None:
        super().__init__(facts, secret_id, now, options)
        self._worked_out: dict[Callable[[Case], Any], Any] = {}
        self._events: dict[str, tuple[TrailEvent, ...]] = {}

    def once(self, work_out: Callable[[Case], _Value]) -> _Value:
        """Return what a function makes of the case, worked out once: what the checks of one family share."""
        if work_out not in self._worked_out:
            self._worked_out[work_out] = work_out(self)
        found: _Value = self._worked_out[work_out]
        return found

    # The window.

    @cached
    def opens_at(self) -> datetime:
        """Since when lines and events tell of the present fault: behind the last good rotation."""
        moments = [moment for moment in (self.last_rotated_at, self._last_succeeded_at) if moment]
        moments.append(self.options.since or self.now - _TRAIL_DAYS)
        return max(moments)

    @property
    def _last_succeeded_at(self) -> datetime | None:
        events = self.events_if_seen("RotationSucceeded")
        return events[-1].at if events else None

    # The superuser secret, which AWS's guide calls the "master" secret.

    @cached
    def superuser_arn(self) -> str:
        """The superuser secret, by the value, the log, a denied call or the role's policies; empty if none is known."""
        return self._named_superuser or self._denied_superuser or self._superuser_in_policies

    @property
    def _named_superuser(self) -> str:
        if self.value_answer is None or self.value_answer.kind is not Kind.OK:
            return ""
        return read_parts(self.value_answer.found).text("masterarn")

    @property
    def _denied_superuser(self) -> str:
        for run in reversed(self.facts.once(runs_in, self.log_events)):
            for line in reversed(run.lines):
                match = _DENIED_READ.search(line.text) or _OF_SUPERUSER.search(line.text)
                if not match or is_namesake(match[1], self.arn):
                    continue
                # The run speaks of this secret as well, or is one of its attempts by its time.
                if self.arn in run.text or self.is_near_failure(run.ended_at):
                    return match[1]
        if self.function_arn:
            for event in reversed(self.facts.once(events_in, self.calls_of_function)):
                match = _DENIED_READ.search(event.error_message)
                if match and not is_namesake(match[1], self.arn) and self.is_near_failure(event.at):
                    return match[1]
        return ""

    @property
    def _superuser_in_policies(self) -> str:
        if self.configuration.kind is not Kind.OK:
            return ""
        for policy in self.role_policies.policies:
            for statement in statements_of(policy.document):
                resources = texts(statement.get("Resource"))
                is_read = texts(statement.get("Action")) == ["secretsmanager:GetSecretValue"]
                if is_read and statement.get("Effect") == "Allow" and len(resources) == 1:
                    arn = resources[0]
                    is_one = arn.startswith("arn:") and ":secret:" in arn and "*" not in arn
                    # What was meant to be this secret itself is no superuser secret.
                    if is_one and not is_namesake(arn, self.arn):
                        return arn
        return ""

    @cached
    def superuser(self) -> Answer | None:
        """DescribeSecret of the superuser secret; None if none is known."""
        return (
            self.facts.ask("secretsmanager", "DescribeSecret", SecretId=self.superuser_arn)
            if self.superuser_arn
            else None
        )

    @property
    def simulation_of_superuser(self) -> Answer | None:
        """SimulatePrincipalPolicy of reading the superuser secret; None if none is known."""
        if not self.superuser_arn:
            return None
        found = self.superuser.found if self.superuser is not None else {}
        return self._simulation((READ,), self.superuser_arn, str(found.get("RotationLambdaARN") or ""))

    @cached
    def superuser_policy(self) -> Answer | None:
        """GetResourcePolicy of the superuser secret."""
        if not self.superuser_arn:
            return None
        return self.facts.ask("secretsmanager", "GetResourcePolicy", SecretId=self.superuser_arn)

    @property
    def superuser_key_id(self) -> str:
        """The customer managed key of the superuser secret; empty if it has none, or if that is not known."""
        seen = self.superuser
        return own_key(seen.found) if seen is not None and seen.kind is Kind.OK else ""

    @property
    def superuser_is_named_by_value(self) -> bool:
        """Whether the value names it, and not the words of a function alone, which may say anything."""
        return bool(self.superuser_arn) and self.superuser_arn == self._named_superuser

    @property
    def superuser_is_certain(self) -> bool:
        """Whether the superuser secret is named by the value or a denied call, and not by the role's policies alone."""
        return bool(self.superuser_arn) and self.superuser_arn in (self._named_superuser, self._denied_superuser)

    @property
    def superuser_key(self) -> Answer | None:
        """DescribeKey of it; None if it has none."""
        return self.facts.ask("kms", "DescribeKey", KeyId=self.superuser_key_id) if self.superuser_key_id else None

    # The network and the database.

    @cached
    def database(self) -> Database | None:
        """The database by its address (``--db-host``, else the value's, else the log's); None if none of them tells it.

        ``database.instance``, ``.cluster`` and ``.proxy`` are RDS' answers, as far as the host's name calls for them;
        ``database.kind`` says what the name stands for.

        Raises:
            Unseen: The value was to be read, and may not be.
        """
        if self.options.database_address is not None:
            return Database(self.facts, Address(*self.options.database_address), self.place.region)
        told = self.told_address
        if told is not None:
            return Database(self.facts, told.address, self.place.region)
        address = None if self.value is None else address_in(self.value)
        return None if address is None else Database(self.facts, address, self.place.region)

    @cached
    def told_address(self) -> ToldAddress | None:
        """The database's address as a failed invocation names it: where neither ``--db-host`` nor the value tells it.

        What was logged before the present value was stored tells of another one.
        """
        answer = self.value_answer
        is_read = answer is not None and answer.kind is Kind.OK and address_in(read_parts(answer.found)) is not None
        if self.options.database_address is not None or is_read:
            return None
        try:
            told = told_address(self.failed_runs)
        except Unseen:
            return None
        stored_at = self.value_stored_at
        is_old = told is not None and stored_at is not None and stored_at > told.line.at
        return None if is_old else told

    @cached
    def network(self) -> Network:
        """The function's network: EC2 is asked only if the function is in a VPC, or its database has a known address.

        ``network.may_stop_login`` says whether the network may be what stops a login: say nothing of credentials then.

        Raises:
            Unseen: The function's configuration may not be looked at.
        """
        try:
            database = self.database
        except Unseen:
            database = None
        return Network(self.facts, self.configuration.value, self.place.region, database)

    # The log.

    @property
    def log_group(self) -> str:
        """Where the function writes."""
        logging: Json = {}
        if self.configuration.kind is Kind.OK:
            logging = self.configuration.found.get("LoggingConfig") or {}
        return str(logging.get("LogGroup") or f"/aws/lambda/{self.function_name}")

    @cached
    def log_groups(self) -> Answer:
        """DescribeLogGroups."""
        return self._of_function("logs", "DescribeLogGroups", logGroupNamePrefix=self.log_group)

    @cached
    def log_events(self) -> Answer:
        """FilterLogEvents since the window opened, with the end of the last good rotation: whether that was logged.

        Texts are matched here, for endpoints differ in their filters.
        """
        begin = int((self.opens_at - _NEAR).timestamp() * 1000)
        # The interval is open at its end for some and closed for others.
        end = int(self.now.timestamp() * 1000) + 1
        return self._of_function(
            "logs", "FilterLogEvents", keep=_redacted_events, logGroupName=self.log_group, startTime=begin, endTime=end
        )

    @cached
    def runs(self) -> tuple[LogRun, ...]:
        """This secret's invocations in the window, oldest first.

        Raises:
            Unseen: The log may not be looked at.
        """
        if self.log_events.kind is Kind.GONE:
            return ()
        if self.log_events.kind is not Kind.OK:
            raise Unseen(self.log_events)
        found = [run for run in self.facts.once(runs_in, self.log_events) if run.ended_at >= self.opens_at]
        others = {arn for run in found for arn in run.secret_arns} - self._own_arns
        return tuple(run for run in found if self._is_own(run, is_shared=bool(others)))

    @property
    def _own_arns(self) -> set[str]:
        return {arn for arn in (self.arn, self.superuser_arn) if arn}

    def _is_own(self, run: LogRun, *, is_shared: bool) -> bool:
        """Say whether an invocation was about this secret; one function often serves many."""
        if self.arn in run.secret_arns:
            return True
        if run.secret_arns - self._own_arns:
            return False
        # It names nobody, or the superuser only.
        closest = self._closest_failure(run.ended_at)
        return not is_shared if closest is None else self.is_about(closest)

    def is_near_failure(self, moment: datetime) -> bool:
        """Whether of all rotations by the function it is one of this secret that failed at that moment."""
        closest = self._closest_failure(moment)
        return closest is not None and self.is_about(closest)

    def _closest_failure(self, moment: datetime) -> TrailEvent | None:
        everybodys = [
            event for name in ("RotationFailed", TEST_FAILED) for event in self.facts.once(events_in, self.trail(name))
        ]
        near = [event for event in everybodys if abs(event.at - moment) <= _NEAR and self._is_of_function(event)]
        return min(near, key=lambda event: abs(event.at - moment), default=None)

    def _is_of_function(self, event: TrailEvent) -> bool:
        arn = event.function_arn
        return arn is None or arn.split(":")[6:7] == [self.function_name]

    @cached
    def step_runs(self) -> tuple[LogRun, ...]:
        """Those of :attr:`runs` that are steps; Keyturn's rotation functions are asked about their database as well."""
        return tuple(run for run in self.runs if f"{PROBE}:" not in run.text)

    def is_test(self, run: LogRun) -> bool:
        """Whether a failed invocation was one that tests the function, by the trail: nothing was to be rotated."""
        closest = self._closest_failure(run.ended_at)
        return closest is not None and closest.name == TEST_FAILED and self.is_about(closest)

    @cached
    def failed_runs(self) -> tuple[LogRun, ...]:
        """Those of :attr:`step_runs` that failed: behind them no run has finished the rotation.

        The newest counts when its report is there, as those of others are: until then it has not said everything.
        """
        failed = tuple(run for run in self.step_runs if run.has_failed)
        if failed and not failed[-1].is_reported and self.now - failed[-1].ended_at < _REPORTED_WITHIN:
            before = failed[:-1]
            return before if any(run.is_reported for run in before) else failed
        return failed

    @cached
    def silent_failure(self) -> TrailEvent | None:
        """The newest RotationFailed if the log has no line of it; None if it has one, or if either may not be seen.

        Steps that went well just before it, or are still running, tell nothing of it.
        """
        if not self.failures_if_seen or self.log_events.kind not in (Kind.OK, Kind.GONE):
            return None
        newest = self.failures_if_seen[-1]
        is_told = any(abs(newest.at - run.ended_at) <= _NEAR and run.has_failed for run in self.step_runs)
        return None if is_told else newest

    def metric(self, name: str) -> Answer:
        """GetMetricStatistics of the function, by the minute around :attr:`silent_failure`; of the last day without."""
        around = self.silent_failure
        begin, end = (around.at - _NEAR, around.at + _NEAR) if around else (self.now - timedelta(days=1), self.now)
        return self._of_function(
            "cloudwatch",
            "GetMetricStatistics",
            Namespace="AWS/Lambda",
            MetricName=name,
            Dimensions=[{"Name": "FunctionName", "Value": self.function_name}],
            StartTime=begin.replace(second=0, microsecond=0),
            EndTime=end.replace(second=0, microsecond=0),
            Period=60,
            Statistics=["Sum"],
        )

    # The trail.

    def trail(self, event_name: str) -> Answer:
        """LookupEvents by the name of an event."""
        return self.facts.ask(
            "cloudtrail",
            "LookupEvents",
            LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": event_name}],
            StartTime=self._trail_since,
        )

    @property
    def function_deletions(self) -> list[TrailEvent]:
        """Who has deleted functions, as far as that may be seen; asked only of a function that is gone."""
        return self.facts.once(events_in, self.trail(FUNCTION_DELETED))

    @cached
    def calls_of_function(self) -> Answer:
        """LookupEvents by the name of the function's session, which is the function's."""
        return self.facts.ask(
            "cloudtrail",
            "LookupEvents",
            LookupAttributes=[{"AttributeKey": "Username", "AttributeValue": self.function_name}],
            StartTime=self._trail_since,
        )

    @property
    def _trail_since(self) -> datetime:
        """Since when events are asked for: the service answers two calls a second, so that fewer pages count."""
        begin = self.options.since or self.now - _TRAIL_DAYS
        if self.last_rotated_at is not None and not self.options.is_one_of_many:
            begin = max(begin, self.last_rotated_at - _BEFORE)
        # A whole hour: what many secrets ask is the same.
        return begin.replace(minute=0, second=0, microsecond=0)

    def events(self, event_name: str) -> tuple[TrailEvent, ...]:
        """This secret's events of a name, oldest first.

        Raises:
            Unseen: The trail may not be looked at.
        """
        answer = self.trail(event_name)
        if answer.kind is not Kind.OK:
            raise Unseen(answer)
        if event_name not in self._events:
            self._events[event_name] = tuple(filter(self.is_about, self.facts.once(events_in, answer)))
        return self._events[event_name]

    def events_if_seen(self, event_name: str) -> tuple[TrailEvent, ...]:
        """The same, empty if the trail may not be looked at."""
        return self.events(event_name) if self.trail(event_name).kind is Kind.OK else ()

    def is_about(self, event: TrailEvent) -> bool:
        """Say whether an event is about this secret, however it names it."""
        if event.secret_id not in self._names:
            return False
        # Under its name there may have been another secret before.
        return event.secret_id == self.arn or event.at >= self._began_at

    @cached
    def _began_at(self) -> datetime:
        created_at = self.secret.get("CreatedDate")
        return _floor(created_at) if isinstance(created_at, datetime) else datetime.min.replace(tzinfo=UTC)

    @cached
    def _names(self) -> frozenset[str]:
        """What events may call the secret: its ARN, that without the last six characters, its name."""
        return frozenset((self.arn, self.arn.rpartition("-")[0], self.name, self.secret_id)) - {""}

    @cached
    def failures(self) -> tuple[TrailEvent, ...]:
        """This secret's RotationFailed events in the window, oldest first.

        Raises:
            Unseen: The trail may not be looked at.
        """
        return tuple(event for event in self.events("RotationFailed") if self.is_in_window(event))

    def is_in_window(self, event: TrailEvent) -> bool:
        """Whether an event tells of the present fault."""
        # Events have whole seconds. One of the second in which the window opened belongs into it if it left something.
        begin = self.opens_at.replace(microsecond=0)
        return event.at > begin or (event.at == begin and self.pending_version is not None)

    @property
    def failures_if_seen(self) -> tuple[TrailEvent, ...]:
        """The same, empty if the trail may not be looked at."""
        return self.failures if self.trail("RotationFailed").kind is Kind.OK else ()

    @property
    def failed_step(self) -> str | None:
        """The step in which the newest attempt failed, by the trail, else by the log."""
        if self.failures_if_seen and self.failures_if_seen[-1].step:
            return self.failures_if_seen[-1].step
        try:
            failed = self.failed_runs
        except Unseen:
            return None
        return failed[-1].step if failed else None

    @property
    def attempt_began_at(self) -> datetime | None:
        """When the newest attempt in the window began, by the trail, or by its version."""
        started = [event.at for event in self.events_if_seen("RotationStarted") if self.is_in_window(event)]
        if started:
            return started[-1]
        if self.pending_version and self.versions.kind is Kind.OK:
            for version in self.versions.found.get("Versions", []):
                if version.get("VersionId") == self.pending_version:
                    return utc(version.get("CreatedDate"))
        return None

    @property
    def is_in_progress(self) -> bool:
        """Whether an attempt runs, or is so young that it may still be running, and nothing says that it failed."""
        if self.waiting is not None and self.waiting.runs:
            return True
        # One that waits for a place has no RotationStarted yet, and its call has set the label. And while this was
        # collected it may have ended well: then its beginning lies before the window now.
        begun = [*self.events_if_seen("RotationStarted"), *self.events_if_seen("RotateSecret")]
        moments = [self.attempt_began_at, *(event.at for event in begun if not event.error_code)]
        began_at = max(filter(None, moments), default=None)
        if began_at is None or self.now - began_at >= IN_PROGRESS:
            return False
        return not any(event.at >= began_at for event in self.failures_if_seen)

    @property
    def has_failed(self) -> bool:
        """Whether anything that may be seen says that rotation has failed since it last went well."""
        if self.failures_if_seen:
            return True
        try:
            return bool(self.failed_runs)
        except Unseen:
            return False


def _floor(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _redacted_events(reply: Json) -> Json:
    """Return the newest events, each as it is kept, as many as can be read in some seconds."""
    events: list[Json] = []
    left = _MOST_CHARACTERS
    for event in sorted(reply.get("events", []), key=lambda each: each.get("timestamp", 0), reverse=True):
        message = readable(str(event.get("message", "")))
        left -= len(message)
        if left < 0:
            break
        events.append({**event, "message": message})
    return {**reply, "events": events[::-1]}
