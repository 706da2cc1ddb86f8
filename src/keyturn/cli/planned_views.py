"""Planned rotations on a terminal: a table, reasons, a month's calendar, a histogram."""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from keyturn.cli.moments import in_local_time, is_utc_here, rough
from keyturn.client.planned import PlannedRotation
from keyturn.client.shown import shown

_CELL = 10
_BLOCKS = "▁▂▃▄▅▆▇█"
_SHADES = ("on grey11", "on grey15", "on grey19", "on grey23", "on grey30", "on grey37", "on grey42", "on grey50")
_EIGHTHS = " ▏▎▍▌▋▊▉"
_WIDEST_BAR = 80
_WIDE = 100
_FOLDED = ("Pre-flight", "Secret", "Rule")
_DAY = timedelta(days=1)
_VERDICTS = {"will fail": "red", "drift": "red", "unknown": "dim"}
_STATES = {"running": "yellow", "pending": "yellow", "parked": "red", "failed": "red", "off": "dim"}


def print_table(console: Console, rotations: Iterable[PlannedRotation], now: datetime) -> None:
    """Print secrets with when they rotate next; the window, which the rule tells too, and causes if there is room."""
    rotations, is_wide = list(rotations), console.width >= _WIDE
    columns: dict[str, Callable[[PlannedRotation], str]] = {
        "Next (UTC)": lambda rotation: f"{rotation.next_at:%Y-%m-%d %H:%M}" if rotation.next_at else "–",
        "Local": lambda rotation: _local(rotation.next_at) if rotation.next_at else "",
        "In": lambda rotation: _relative(rotation, now),
        "State": lambda rotation: _state(rotation, with_cause=is_wide),
        "Pre-flight": lambda rotation: _preflight(rotation, with_causes=is_wide),
        "Secret": lambda rotation: escape(shown(rotation.name)),
        "Window": _window,
        "Rule": lambda rotation: escape(shown(rotation.rule)),
    }
    if all(is_utc_here(rotation.next_at) for rotation in rotations if rotation.next_at):
        del columns["Local"]
    if not is_wide:
        del columns["Window"]
    if not any(_preflight(rotation) for rotation in rotations):
        del columns["Pre-flight"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, no_wrap=name not in _FOLDED, overflow="fold")
    for rotation in rotations:
        table.add_row(*(text_of(rotation) for text_of in columns.values()))
    console.print(table)


def print_reasons(console: Console, rotations: Iterable[PlannedRotation], now: datetime) -> None:
    """Print secrets, each with where it stands and why it is planned for then."""
    for rotation in rotations:
        at, name = rotation.next_at, escape(shown(rotation.name))
        if at is None:
            console.print(f"[bold]{name}[/]: {_state(rotation)}")
        else:
            local = "" if is_utc_here(at) else f" ({_local(at)} here)"
            console.print(f"[bold]{name}[/]: {at:%Y-%m-%d %H:%M:%S} UTC{local}, {_relative(rotation, now)}")
        console.print(Padding(Text(shown(rotation.why())), (0, 0, 0, 2)))


def print_calendar(console: Console, per_day: Mapping[date, int], month: date, following: date | None = None) -> None:
    """Print a month with the number of rotations that are planned on each day, busy days shaded.

    Args:
        console: Where to.
        per_day: How many there are.
        month: Its first day.
        following: The first day behind the month on which something is planned.
    """
    most = max(per_day.values(), default=0)
    console.print(Text(f"{month:%B %Y} (UTC)".center(7 * _CELL).rstrip(), "bold"))
    console.print(Text("".join(f"{name:>{_CELL}}" for name in calendar.day_abbr), "dim"))
    for week in calendar.Calendar().monthdatescalendar(month.year, month.month):
        days = [day if day.month == month.month else None for day in week]
        console.print(Text("".join(f"{'' if day is None else day.day:>{_CELL}}" for day in days).rstrip(), "dim"))
        console.print(Text.assemble(*(_cell(None if day is None else per_day.get(day, 0), most) for day in days)))
    total = sum(per_day.values())
    if not total:
        console.print("Nothing is planned." + (f" What is planned next is on {following}." if following else ""))
        return
    busiest = min(day for day, count in per_day.items() if count == most)
    mean = total / calendar.monthrange(month.year, month.month)[1]
    console.print(f"{_planned(total)}, {mean:.1f} a day on average; most on {busiest:%a %Y-%m-%d}: {most}.")


def print_histogram(console: Console, moments: Iterable[datetime], *, by_minute: bool) -> None:
    """Print how many rotations are planned in each hour of the day, or in each minute of the hour."""
    counts = Counter(moment.minute if by_minute else moment.hour for moment in moments)
    slots, most = 60 if by_minute else 24, max(counts.values(), default=0)
    digits = len(str(most))
    room = min(console.width - digits - 7, _WIDEST_BAR)
    for slot in range(slots):
        label = f":{slot:02}" if by_minute else f"{slot:02}:00"
        eighths = counts[slot] * room * 8 // most if most else 0
        bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8]
        line = Text.assemble((f"{label:>5} ", "dim"), f"{counts[slot]:>{digits}} ", (bar, "cyan"))
        line.rstrip()
        console.print(line)
    unit = "minute of the hour" if by_minute else "hour of the day (UTC)"
    console.print(
        f"{_planned(counts.total())}, {counts.total() / slots:.1f} in each {unit} on average, {most} at most."
    )


def _planned(count: int) -> str:
    """Say what is counted: a secret that rotates every four hours is there once, too."""
    return "Next rotation of 1 secret" if count == 1 else f"Next rotations of {count} secrets"


def _cell(count: int | None, most: int) -> tuple[str, str]:
    if not count:
        return (f"{'' if count is None else '·':>{_CELL}}", "dim")
    level = -(-count * len(_BLOCKS) // most) - 1
    return (f"{count} {_BLOCKS[level]}".rjust(_CELL), _SHADES[level])


def _relative(rotation: PlannedRotation, now: datetime) -> str:
    at = rotation.next_at
    if at is None or rotation.state == "running":
        return "[red]late[/]" if rotation.is_late(now) else ""
    if at <= now:
        return "at once" if rotation.state == "pending" else f"[red]late, {rough(now - at)}[/]"
    return f"[red]{rough(at - now)}, late[/]" if rotation.is_late(now) else rough(at - now)


def _state(rotation: PlannedRotation, *, with_cause: bool = False) -> str:
    """Return a secret's state, with the attempt and why the last one failed if there is room."""
    words = rotation.state
    if with_cause and rotation.attempt and rotation.state in ("running", "pending"):
        words = f"{words} ({rotation.attempt[0]} of {rotation.attempt[1]})"
    if with_cause and rotation.cause:
        words = f"{words}: {shown(rotation.cause)}"
    style = _STATES.get(rotation.state)
    return f"[{style}]{escape(words)}[/]" if style else escape(words)


def _preflight(rotation: PlannedRotation, *, with_causes: bool = False) -> str:
    """Return what is known of the next rotation, with the causes if there is room; empty if nobody has looked."""
    found = rotation.preflight
    if found is None:
        return ""
    if found.is_overtaken:
        return f"[dim]older than {found.overtaken_by}[/]"
    kind = words = "drift" if found.drifts and found.verdict != "will fail" else found.verdict
    if with_causes and found.causes and kind in ("will fail", "drift"):
        causes = ", ".join(cause.removeprefix("drift:") for cause in found.causes)
        words = f"{words}: {shown(causes)}"
    style = _VERDICTS.get(kind)
    return f"[{style}]{escape(words)}[/]" if style else escape(words)


def _local(moment: datetime) -> str:
    here = in_local_time(moment)
    return f"{here:%H:%M}" if moment.date() == here.date() else f"{here:%a %H:%M}"


def _window(rotation: PlannedRotation) -> str:
    window = rotation.window
    if window is None:
        return ""
    midnight = window.opens_at.replace(hour=0, minute=0, second=0, microsecond=0)
    if window.closes_at != midnight + _DAY:
        return f"{window.opens_at:%H:%M}-{window.closes_at:%H:%M}"
    return "all day" if window.opens_at == midnight else f"{window.opens_at:%H:%M}-24:00"
