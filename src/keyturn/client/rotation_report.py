"""One rotation for people: what GetRotation answers, laid out as header, attempts, timeline and what to do next.

What is printed to a screen (``rotation_text.py``) and pasted into a ticket (``rotation_markdown.py``) is the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import groupby
from typing import Any

from keyturn.client.log_lines import log_event, without_traceback
from keyturn.client.rotation_next import NextStep, next_steps
from keyturn.client.rotation_password import maybe_versions, password_of
from keyturn.client.rotation_status import ENDED_BY_OTHERS, duration, error_of, members, moment, status_of
from keyturn.client.shown import shown
from keyturn.rules.invocation_log import is_platform_event

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
PROBE = "probeSecret"
_TEST = "testSecret"
_MARKS = {"succeeded": "✓", "running": "…", "interrupted": "!"}
_KINDS = {"rotation": "rotation to", "test": "test of the function, with", "resolution": "resolution of"}
# So many refusals are worth a command each; more of them are mostly the same one again.
_EXPLAINED = 3
_SHORT_ID = 8
_DENIED = " was denied: "
_NUMBERS = re.compile(r"\d+(?:\.\d+)? (?:ms|s|min|h)\b|\d+")

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One run through the steps: which of how many, when it began, and each step's outcome and duration by name.

    Without cells it tells that a fresh set of attempts begins, because somebody retried it or its next window opened.
    ``request_ids`` are those of the invocations, by step.
    """

    attempt: str
    began_at: datetime
    cells: Mapping[str, str]
    request_ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing of the timeline.

    Attributes:
        time: Of day, to the millisecond; a line that begins a day has the date as text and nothing else.
        text: What is printed; further lines belong below it.
        style: As Rich has them.
        event_id: Of a refusal that can be explained.
    """

    time: str
    text: Sequence[str]
    style: str = ""
    event_id: str | None = None


class Report:
    """What GetRotation has answered.

    Args:
        answer: The response.
        now: Aware.
        is_verbose: Show every call, every line of the log, stack traces and whole version ids.
        all_by: What does so.
    """

    def __init__(self, answer: Json, now: datetime, *, is_verbose: bool = False, all_by: str = "-v") -> None:
        self._answer = answer
        self._rotation: Json = answer["Rotation"]
        self._now = now
        self._is_verbose = is_verbose
        self._all_by = all_by
        self._short_ids = {} if is_verbose else _short_ids([self.version_id, *answer.get("VersionIdsToStages", {})])

    @property
    def name(self) -> str:
        """The secret's name."""
        return shown(self._answer["Name"])

    @property
    def version_id(self) -> str:
        """The version that the rotation makes."""
        return shown(self._rotation["VersionId"])

    @property
    def title(self) -> str:
        """What it is about."""
        return f"{self.name}: {_KINDS[self._rotation['Kind']]} version {self.version_id}"

    @property
    def _has_days(self) -> bool:
        """Whether it went on for longer than a day."""
        return len({step["StartedAt"].astimezone(UTC).date() for step in self._answer.get("Steps", [])}) > 1

    @property
    def is_truncated(self) -> bool:
        """Whether something was left out."""
        return bool(self._answer.get("Truncated"))

    def header(self) -> list[tuple[str, str]]:
        """Return names and values, the most important first."""
        rotation = self._rotation
        rows = [("status", self._status())]
        if rotation.get("Cause"):
            rows.append(("cause", shown(rotation["Cause"])))
        if error_of(rotation):
            rows.append(("reason" if rotation["Status"] in ENDED_BY_OTHERS else "error", error_of(rotation)))
        if rotation.get("LastError"):
            # Not what ended it.
            rows.append(("last try", shown(rotation["LastError"])))
        if password_of(self._answer):
            rows.append(("password", password_of(self._answer)))
        if self.answers:
            said = ", ".join(f"{label} {answer}" for label, answer in self.answers.items())
            rows.append(("database", f"{shown(said)} {self._asked_at()}".rstrip()))
        if rotation.get("RotationLambdaARN"):
            rows.append(("function", shown(rotation["RotationLambdaARN"])))
        rows.append(("began", moment(rotation["RequestedAt"])))
        if rotation.get("EndedAt"):
            took = duration(rotation["EndedAt"] - rotation["RequestedAt"])
            rows.append(("ended", f"{moment(rotation['EndedAt'])}, after {took}"))
        stages: Mapping[str, list[str]] = self._answer.get("VersionIdsToStages", {})
        for version_id, labels in sorted(stages.items(), key=lambda each: sorted(each[1])):
            rows.append(("version", f"{shown(version_id)}  {shown(', '.join(labels))}"))
        without = [f"{shown(one['VersionId'])}  no label, {self._use_of(one)}" for one in self.unlabelled]
        return [*rows, *(("version", text) for text in without)]

    @property
    def answers(self) -> Mapping[str, str]:
        """What the database said last, by staging label; empty if it said nothing, or has let a version in since."""
        decided = (
            step
            for step in reversed(self._answer.get("Steps", []))
            if step["Step"] == PROBE or (step["Step"] == _TEST and step["Outcome"] == "succeeded")
        )
        last: Json = next(decided, {})
        answers: Mapping[str, str] = last.get("Answers", {})
        return answers

    @property
    def unlabelled(self) -> Sequence[Json]:
        """Versions without a label that hold a value and may be of use, newest first.

        All of them if nothing labelled is of use; else those that the database may have.
        """
        found: Sequence[Json] = self._answer.get("UnlabelledVersions", [])
        return found if self.is_refused else [one for one in found if one["VersionId"] in self._set_at]

    @property
    def _set_at(self) -> Mapping[str, datetime]:
        """When setSecret ran for versions that the database may have."""
        return {one["VersionId"]: one["SetAt"] for one in maybe_versions(self._answer)}

    def _use_of(self, version: Json) -> str:
        set_at = self._set_at.get(version["VersionId"])
        return f"made {moment(version['CreatedDate'])}" + (f", setSecret ran at {moment(set_at)}" if set_at else "")

    @property
    def is_refused(self) -> bool:
        """Whether the database refuses every labelled version: no label helps, and no further attempt."""
        is_overtaken = self._answer.get("DatabaseVersion", {}).get("RefusalOvertaken", False)
        return bool(self.answers) and {*self.answers.values()} == {"refused"} and not is_overtaken

    def runs(self) -> list[Run]:
        """Return the runs through the steps, oldest first."""
        groups: list[list[Json]] = []
        for step in self._answer.get("Steps", []):
            if groups and _goes_on(groups[-1][-1], step):
                groups[-1].append(step)
            else:
                groups.append([step])
        runs: list[Run] = []
        for before, group in zip([None, *groups], groups, strict=False):
            first = group[0]
            if before is not None and before[-1]["Attempt"] >= first["Attempt"]:
                runs.append(Run(*self._fresh_set(before[-1]["StartedAt"], first["StartedAt"]), {}))
            # A step that was interrupted has run again: how it ended then counts.
            cells = {step["Step"]: _cell(step) for step in group}
            request_ids = {step["Step"]: step["RequestId"] for step in group if step.get("RequestId")}
            runs.append(Run(self._attempt(first["Attempt"]), first["StartedAt"], cells, request_ids))
        return runs

    def _fresh_set(self, after: datetime, until: datetime) -> tuple[str, datetime]:
        """Return why attempts are counted from 1 again, in a word, and when."""
        for entry in self._answer.get("Timeline", []):
            if entry["Kind"] == "event" and after < entry["At"] <= until and " retried " in entry["Message"]:
                return "retried", entry["At"]
        return "again", until

    def _asked_at(self) -> str:
        """Return when the database was asked last: labels may have moved since."""
        asked = [step for step in self._answer.get("Steps", []) if step["Step"] == PROBE and step.get("EndedAt")]
        return f"(of labels as they were at {moment(asked[-1]['EndedAt'])})" if asked else ""

    def clock(self, at: datetime) -> str:
        """Return a moment of it, with its day if there are several."""
        return f"{at.astimezone(UTC):{'%Y-%m-%d %H:%M:%S' if self._has_days else '%H:%M:%S'}}"

    def _attempt(self, number: int) -> str:
        """Return which attempt of how many; beyond them only the database is asked."""
        most = self._rotation.get("Attempts")
        return f"{number} of {most}" if most is not None and number <= most else str(number)

    def steps(self) -> list[str]:
        """Return the names of the steps, in order: all four of a rotation, and others that were run."""
        seen = [step["Step"] for step in self._answer.get("Steps", [])]
        return list(dict.fromkeys([*(STEPS if self._rotation["Kind"] == "rotation" else ()), *seen]))

    def entries(self) -> Iterator[tuple[Json, Line]]:
        """Yield what is told of the timeline: each entry and its line; attempts like the one before are one line."""
        told = [(entry, line) for entry in self._answer.get("Timeline", []) if (line := self._line(entry)) is not None]
        yield from told if self._is_verbose else _without_repeats(told, self._all_by)

    def timeline(self) -> Iterator[Line]:
        """Yield the lines of the timeline, with one for each day that begins."""
        date = None
        for entry, line in self.entries():
            at = entry["At"].astimezone(UTC)
            if at.date() != date:
                date = at.date()
                yield Line("", [f"{date} (UTC)"])
            yield line

    def diagnosis(self, options: str = "") -> str | None:
        """Return the command that says why it failed; None if it has not, or its name cannot be shown.

        Args:
            options: Of the server, as ``as_given`` returns them.
        """
        command = f"keyturn doctor {self._answer['Name']}{options}"
        has_failed = self._rotation["Status"] in ("pending", "parked", "failed")
        return command if has_failed and shown(command) == command else None

    def next_steps(self, options: str = "") -> list[NextStep]:
        """Return what can be done.

        Args:
            options: Of the server, as ``as_given`` returns them.
        """
        explained = [
            NextStep(f"keyturn audit explain {event_id}{options}", f"why {called} was denied, and what would allow it")
            for event_id, called in self._denials()
        ]
        steps = [*explained, *next_steps(self._answer, self.unlabelled, options, is_refused=self.is_refused)]
        return [step for step in steps if shown(step.command) == step.command]

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        answer = self._answer
        return {
            "secret": answer["Name"],
            "arn": answer["ARN"],
            "rotation": members(self._rotation),
            "versions": answer.get("VersionIdsToStages", {}),
            "unlabelled_versions": [members(version) for version in answer.get("UnlabelledVersions", [])],
            "can_be_resolved": answer.get("CanBeResolved", False),
            "every_version_refused": self.is_refused,
            "rotation_enabled": answer.get("RotationEnabled"),
            "password": password_of(answer),
            "steps": [members(step) for step in answer.get("Steps", [])],
            "timeline": [members(entry) for entry in answer.get("Timeline", [])],
            "truncated": self.is_truncated,
        }

    def _status(self) -> str:
        return status_of(self._rotation, self._now)

    def _denials(self) -> list[tuple[str, str]]:
        """Return the newest refusals, by event id, with what was called; the same refusal once."""
        found: dict[str, tuple[str, str]] = {}
        for entry in self._answer.get("Timeline", []):
            if entry["Kind"] == "denied" and entry.get("EventId"):
                found[entry["Message"]] = (entry["EventId"], shown(entry["Message"].partition(" ")[0]))
        return list(found.values())[-_EXPLAINED:]

    def _line(self, entry: Json) -> Line | None:
        kind, message = entry["Kind"], entry["Message"]
        time = entry["At"].astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]
        if kind == "log":
            return self._log_line(time, message)
        if kind == "call" and entry.get("Severity", "info") == "info" and not self._is_verbose:
            return None
        text, style = self._told(entry)
        return Line(time, [shown(text)], style, entry.get("EventId") if kind == "denied" else None)

    def _log_line(self, time: str, message: str) -> Line | None:
        folded: list[str] = []
        if not self._is_verbose:
            # What a refusal has just told, and where in the function it was.
            if is_platform_event(message) or any(denied in message for denied in self._denied):
                return None
            message, count = without_traceback(message)
            folded = [f"({self._all_by} shows the traceback, {count} lines)"] if count else []
        told = log_event(message)
        first, *rest = [*(told.lines or [""]), *folded]
        level = f"{told.level:7} " if told.level else ""
        return Line(time, [f"    {level}{first}", *(f"    {line}" for line in rest)], told.style)

    @cached_property
    def _denied(self) -> set[str]:
        """What callers were told of refusals."""
        entries = self._answer.get("Timeline", [])
        return {why for entry in entries if (why := entry["Message"].partition(_DENIED)[2])}

    def _told(self, entry: Json) -> tuple[str, str]:
        kind, severity = entry["Kind"], entry.get("Severity", "info")
        message: str = entry["Message"]
        for version_id, short in self._short_ids.items():
            message = message.replace(version_id, short)
        if "DurationMilliseconds" in entry:
            message = f"{message} ({duration(timedelta(milliseconds=entry['DurationMilliseconds']))})"
        style = {"error": "red", "warning": "yellow"}.get(severity, "")
        if kind == "step-started":
            attempt = entry.get("Attempt", 1)
            return f"▸ {message}{f', in attempt {self._attempt(attempt)}' if attempt > 1 else ''}", "bold"
        if kind == "step-ended":
            mark = {"info": "✓", "warning": "!"}.get(severity, "✗")
            return f"{mark} {message}", style or "green"
        if kind == "note":
            return f"note: {message}", "dim"
        return (f"✗ {message}" if kind == "denied" else f"  {message}"), style


def _without_repeats(told: Sequence[tuple[Json, Line]], all_by: str) -> Iterator[tuple[Json, Line]]:
    """Yield entries and their lines; attempts that went as the one before only once, with how many they were."""
    attempts: list[list[tuple[Json, Line]]] = [[]]
    for each in told:
        if each[0]["Kind"] == "step-started" and each[0].get("Attempt") != _attempt_of(attempts[-1]):
            attempts.append([])
        attempts[-1].append(each)
    alike = [list(group) for _, group in groupby(attempts, key=_course)]
    for first, *repeated in alike:
        yield from first
        if repeated:
            entry, line = repeated[0][0]
            count = f"{len(repeated)} further attempts" if len(repeated) > 1 else "Another attempt"
            yield entry, Line(line.time, [f"  {count} went as this one ({all_by} shows all)"], "dim")


def _attempt_of(told: Sequence[tuple[Json, Line]]) -> int | None:
    """Return the number of the attempt that entries are of; None for those before the first."""
    return next((entry["Attempt"] for entry, _ in told if entry["Kind"] == "step-started" and "Attempt" in entry), None)


def _course(told: Sequence[tuple[Json, Line]]) -> list[str]:
    """Return what attempts that are alike have in common: all but moments, durations and numbers."""
    # The first attempt does not say which one it is.
    texts = ([entry["Message"]] if entry["Kind"] == "step-started" else line.text for entry, line in told)
    return [_NUMBERS.sub("#", text) for each in texts for text in each]


def _goes_on(before: Json, step: Json) -> bool:
    """Whether a step belongs to the run of the one before."""
    if before["Attempt"] != step["Attempt"]:
        return False
    if before["Outcome"] == "interrupted":
        return True
    # Behind a failure the database may be asked, and nothing else.
    is_next = _order(before) < _order(step)
    return is_next and (before["Outcome"] == "succeeded" or step["Step"] == PROBE)


def _order(step: Json) -> int:
    name = step["Step"]
    return STEPS.index(name) if name in STEPS else len(STEPS)


def _cell(step: Json) -> str:
    outcome: str = step["Outcome"]
    if step.get("Answers"):
        said: Mapping[str, str] = step["Answers"]
        accepted = next((label.removeprefix("AWS").lower() for label in said if said[label] == "accepted"), None)
        return f"✓ {accepted}" if accepted else "✗ all refused" if {*said.values()} == {"refused"} else "✗ no answer"
    mark = _MARKS.get(outcome, "✗")
    words = "" if outcome in ("succeeded", "functionError") else f" {outcome}"
    took = step.get("DurationMilliseconds")
    return mark + words + ("" if took is None else f" {duration(timedelta(milliseconds=took))}")


def _short_ids(version_ids: Sequence[str]) -> dict[str, str]:
    """Return ids with what they can be called where they are told apart by their beginnings."""
    shorts = {version_id: version_id[:_SHORT_ID] for version_id in version_ids}
    is_clear = len(set(shorts.values())) == len(shorts)
    return {version_id: f"{short}…" for version_id, short in shorts.items()} if is_clear else {}
