"""The table at the end."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from keyturn.storage.rotations import RotationStatus

from .bench import Outcome, Report

_HEADINGS = (
    "series", "points", "succeeded", "rolled back", "parked", "abandoned", "other",
    "attempts, median / max", "seconds to end, median / max", "seconds to take over", "violations",
)  # fmt: skip
# One that failed for good has its labels where the database is.
_NAMED = (RotationStatus.SUCCEEDED, RotationStatus.FAILED, RotationStatus.PARKED, RotationStatus.ABANDONED)


def table(reports: Sequence[Report]) -> str:
    """Return a Markdown table with a line for each series."""
    lines = ["| " + " | ".join(_HEADINGS) + " |", "|" + "---|" * len(_HEADINGS)]
    return "\n".join([*lines, *(_line(report) for report in reports)])


def _line(report: Report) -> str:
    if report.skipped:
        cells = [report.series, f"skipped: {report.skipped}", *[""] * (len(_HEADINGS) - 2)]
        return "| " + " | ".join(cells) + " |"
    reached = report.reached
    ends = Counter(outcome.status for outcome in reached)
    cells = [
        report.series,
        str(len(reached)),
        *(str(ends[status]) for status in _NAMED),
        str(len(reached) - sum(ends[status] for status in _NAMED)),
        _spread([outcome.attempts for outcome in reached], "d"),
        _spread([outcome.seconds for outcome in reached], ".1f"),
        _spread([o.takeover_seconds for o in reached if o.takeover_seconds is not None], ".1f"),
        str(len(report.violating)),
    ]
    return "| " + " | ".join(cells) + " |"


def _spread(values: Sequence[float], form: str) -> str:
    if not values:
        return ""
    middle = statistics.median_high(values)
    return f"{middle:{form}} / {max(values):{form}}"


def listing(outcomes: Sequence[Outcome]) -> str:
    """Return what was wrong, alike things together: what, how often, and the points."""
    by_kind: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        for violation in outcome.violations:
            by_kind.setdefault(violation, []).append(outcome)
    return "\n".join(
        f"{len(alike)} x {kind}\n    at {', '.join(f'{o.point} {o.where[:160]}' for o in alike[:4])}"
        for kind, alike in sorted(by_kind.items(), key=lambda item: -len(item[1]))
    )
