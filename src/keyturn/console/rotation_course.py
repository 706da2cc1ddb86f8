"""One rotation as pages show it: what the command line tells of it, with links into the log and the trail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from keyturn.arn import Arn
from keyturn.client.rotation_report import Report
from keyturn.console.visit import Visit

_KINDS = {
    "succeeded": "good",
    "resolved": "good",
    "running": "warn",
    "pending": "warn",
    "parked": "bad",
    "failed": "bad",
}
_STYLES = {"red": "bad", "yellow": "warn", "green": "good", "bold": "step", "dim": "faint"}
_CELLS = {"✓": "good", "✗": "bad", "…": "warn", "!": "warn"}
# What has a place of its own on the page.
_ELSEWHERE = ("status", "function", "began", "ended", "version")

Json = Mapping[str, Any]


def kind_of(status: str) -> str:
    """Return the colour of a rotation's status."""
    return _KINDS.get(status, "")


@dataclass(frozen=True, slots=True)
class Cell:
    """A step of a run: how it came out, and the request id of its invocation."""

    step: str
    text: str
    kind: str
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """A run through the steps; without cells it says that attempts are counted anew."""

    attempt: str
    began_at: datetime
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """A line of the timeline; with the first of a day (UTC) the date is told."""

    entry: Json
    text: str
    more: str
    kind: str
    event_id: str | None
    is_new_day: bool


class Course:
    """One rotation.

    Args:
        answer: Of GetRotation.
        visit: Whose page it is on.
        log_group: Of the secret's function; empty if it may not be read.
    """

    def __init__(self, answer: Json, visit: Visit, log_group: str) -> None:
        self.answer = answer
        self.rotation: Json = answer["Rotation"]
        self.log_group = log_group
        self.report = Report(answer, visit.now, is_verbose=visit.asked("all") == "1", all_by="“Every line”")

    @property
    def status(self) -> str:
        """Its status."""
        return str(self.rotation["Status"])

    @property
    def more(self) -> str:
        """What follows by itself, or who ended it; empty if the status says it all."""
        if self.status == "abandoned":
            return "given up: it is not tried again by itself"
        return str(self.report.header()[0][1]).removeprefix(self.status).lstrip(": ")

    @property
    def kind(self) -> str:
        """The colour of its status."""
        return kind_of(self.status)

    @property
    def is_under_way(self) -> bool:
        """Whether it goes on by itself, within the hour."""
        return self.status in ("pending", "running")

    @property
    def is_stuck(self) -> bool:
        """Whether somebody may want to help it on."""
        return self.status in ("pending", "parked")

    @property
    def is_refused(self) -> bool:
        """Whether the database refuses every stored version, as far as is known: no label helps, and no attempt."""
        return bool(self.answer.get("DatabaseVersion", {}).get("EveryVersionRefused"))

    @property
    def is_untried(self) -> bool:
        """Whether the current value was stored after the database had refused all the others."""
        return bool(self.answer.get("DatabaseVersion", {}).get("RefusalOvertaken"))

    def facts(self) -> list[tuple[str, str]]:
        """Return names and values of what is known of it."""
        return [(name, value) for name, value in self.report.header() if name not in _ELSEWHERE]

    def rows(self) -> list[Row]:
        """Return the runs through the steps, oldest first."""
        steps = self.report.steps()
        return [
            Row(
                run.attempt,
                run.began_at,
                tuple(_cell(step, run.cells.get(step, "–"), run.request_ids.get(step)) for step in steps)
                if run.cells
                else (),
            )
            for run in self.report.runs()
        ]

    def lines(self) -> Iterator[Told]:
        """Yield the timeline."""
        day = None
        for entry, line in self.report.entries():
            first, *rest = line.text
            before, day = day, entry["At"].astimezone(UTC).date()
            kind = _STYLES.get(line.style, "")
            yield Told(entry, first.strip(), "\n".join(rest), kind, line.event_id, before != day)

    def versions(self) -> list[tuple[str, list[str]]]:
        """Return the secret's labelled versions, with the labels that they have now."""
        stages: Mapping[str, list[str]] = self.answer.get("VersionIdsToStages", {})
        return sorted(stages.items(), key=lambda each: sorted(each[1]))


def log_group_of(visit: Visit, function_arn: str | None) -> str:
    """Return the log group of a function, its own name's if nobody may say; empty if its lines may not be read."""
    if not function_arn:
        return ""
    name = function_name(function_arn)
    configured = visit.look("lambda", "get_function_configuration", FunctionName=function_arn)
    group = str(configured.get("LoggingConfig", {}).get("LogGroup", f"/aws/lambda/{name}"))
    return group if visit.clients.allow("logs", "filter_log_events", logGroupName=group) else ""


def function_name(function_arn: str) -> str:
    """Return the name that an ARN, qualified or not, ends with."""
    return Arn.parse(function_arn).resource.split(":")[1] if function_arn.startswith("arn:") else function_arn


def _cell(step: str, text: str, request_id: str | None) -> Cell:
    return Cell(step, text, _CELLS.get(text[:1], ""), request_id)
