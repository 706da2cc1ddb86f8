"""One rotation in Markdown, to be pasted into a ticket.

Whatever others wrote stands in a fenced block, whose fence is longer than any in it, or between backticks: it neither
becomes a link nor calls a person by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from keyturn.client.rotation_report import Report

_TICKS = re.compile("`+")


def markdown(report: Report) -> str:
    """Return the document."""
    return "\n".join([*_lines(report), ""])


def _lines(report: Report) -> Iterator[str]:
    yield f"## {code(report.title)}"
    yield ""
    yield from table(["", ""], [[name, code(value)] for name, value in report.header()])
    if report.runs():
        steps = report.steps()
        yield from ("", "### Attempts", "")
        rows = [
            [
                run.attempt,
                report.clock(run.began_at),
                *(run.cells.get(step, "–" if run.cells else "") for step in steps),
            ]
            for run in report.runs()
        ]
        yield from table(["", "began (UTC)", *steps], rows)
    yield from ("", "### Timeline", "")
    yield from _fenced(_timeline(report))
    if report.is_truncated:
        yield from ("", "Something was left out, because there is too much of it.")
    steps_next = report.next_steps()
    if steps_next:
        yield from ("", "### What next", "")
        yield from (f"- {code(step.command)}: {step.what}" for step in steps_next)


def _timeline(report: Report) -> Iterator[str]:
    for line in report.timeline():
        first, *rest = line.text
        yield f"{line.time}  {first}" if line.time else first
        yield from (f"{'':{len(line.time)}}  {text}" for text in rest)


def _fenced(lines: Iterable[str]) -> list[str]:
    inside = list(lines)
    longest = max((len(ticks) for line in inside for ticks in _TICKS.findall(line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", *inside, fence]


def table(names: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    """Yield the lines of a table."""
    for cells in (names, ["---"] * len(names), *rows):
        yield f"| {' | '.join(cells)} |"


def code(text: str) -> str:
    """Return a text as code, within a table or without; a backtick would end it, and a bar the cell."""
    return f"`{text.replace('`', chr(0x2018)).replace('|', chr(0xA6))}`"
