"""A schedule before it is used, on a terminal."""

from __future__ import annotations

from datetime import timedelta

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keyturn.cli.moments import in_local_time, is_utc_here
from keyturn.client.schedule_preview import Preview, span_in_words
from keyturn.client.shown import shown
from keyturn.rules.schedule import RotationWindow

_DAY = timedelta(days=1)


def print_preview(console: Console, shown_preview: Preview) -> None:
    """Print it for people."""
    windows = shown_preview.windows
    is_utc = all(is_utc_here(window.opens_at) for window in windows)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Opens (UTC)", no_wrap=True)
    table.add_column("Closes (UTC)", no_wrap=True)
    if not is_utc:
        table.add_column("Local time", no_wrap=True)
    table.add_column("After", no_wrap=True)
    before = None
    for window in windows:
        local = [] if is_utc else [_local(window)]
        after = "" if before is None else span_in_words(window.opens_at - before.opens_at)
        table.add_row(f"{window.opens_at:%a %Y-%m-%d %H:%M}", _closing(window), *local, after)
        before = window
    console.print(" ".join(f"[bold]{name}[/]={escape(shown(value))}" for name, value in shown_preview.members.items()))
    console.print(table)
    console.print(shown_preview.apart)
    console.print(shown_preview.inside)
    for note in shown_preview.notes:
        console.print(f"[bold]note:[/] {escape(note)}")


def _closing(window: RotationWindow) -> str:
    if window.closes_at == window.opens_at.replace(hour=0) + _DAY:
        return "24:00"
    is_same_day = window.closes_at.date() == window.opens_at.date()
    return f"{window.closes_at:%H:%M}" if is_same_day else f"{window.closes_at:%a %Y-%m-%d %H:%M}"


def _local(window: RotationWindow) -> str:
    opens_at, closes_at = in_local_time(window.opens_at), in_local_time(window.closes_at)
    return f"{opens_at:%a %H:%M} to {closes_at:%a %H:%M %Z}"
