"""Templates: what every page can use, and how moments, durations and sizes are written.

Everything is escaped. A moment is written in UTC, which ``console.js`` turns into the viewer's zone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context, select_autoescape
from jinja2.runtime import Context
from markupsafe import Markup, escape

from keyturn.client.rotation_cause import cause_in_words, cause_name, preflight_cause_in_words
from keyturn.client.shown import shown
from keyturn.console.arn_places import place_of, section_of
from keyturn.console.replies import address
from keyturn.console.visit import Form
from keyturn.doctor.remedies import line_with
from keyturn.rules.distance import distance
from keyturn.rules.rotation_cause import refused_call

HERE = Path(__file__).parent
STATIC = HERE / "static"
_KIB = 1024
_MOMENT = re.compile(r"\b([0-9]{4}-[0-9]{2}-[0-9]{2}) ([0-9]{2}:[0-9]{2}(?::[0-9]{2})?) UTC\b")


def moment(at: datetime | str | None, now: datetime | None = None) -> Markup:
    """Return a moment as ``<time>``; with ``now``, how long ago or ahead it is."""
    if at is None or at == "":
        return Markup("–")
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    at = at.astimezone(UTC)
    shown = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    text = shown if now is None else distance(at, now)
    kind = "full" if now is None else "distance"
    return Markup('<time datetime="{}" title="{}" data-kind="{}">{}</time>').format(at.isoformat(), shown, kind, text)


def with_moments(text: str) -> Markup:
    """Return a sentence whose moments, written in UTC, are in the viewer's zone like all others of a page."""
    told, end = list[Markup](), 0
    for found in _MOMENT.finditer(text):
        try:
            at = moment(f"{found[1]}T{found[2]}+00:00")
        except ValueError:
            # The day is none, whoever wrote it.
            continue
        told += [escape(text[end : found.start()]), at]
        end = found.end()
    return Markup().join([*told, escape(text[end:])])


def time_of_day(at: datetime) -> Markup:
    """Return a moment of a known day, to the millisecond."""
    at = at.astimezone(UTC)
    time = f"{at:%H:%M:%S}.{at.microsecond // 1000:03}"
    shown = f"{at:%Y-%m-%d} {time} UTC"
    return Markup('<time datetime="{}" title="{}" data-kind="time">{}</time>').format(at.isoformat(), shown, time)


def in_utc(at: datetime) -> str:
    """Return a moment in UTC, for what stands beside days and hours of UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def day(at: datetime) -> Markup:
    """Return the day of a moment that is known to the day only, in UTC as it was counted."""
    shown = f"{at.astimezone(UTC):%Y-%m-%d}"
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(shown, shown, shown)


@pass_context
def here(context: Context, lines: str) -> str:
    """Return lines of a shell whose commands lead to this server: the AWS CLI's would lead to AWS."""
    target = context["visit"].clients.target
    return "\n".join(line_with(line, target) for line in lines.splitlines())


def milliseconds(value: float | None) -> str:
    """Return a duration that was measured in milliseconds."""
    if value is None:
        return "–"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.2f} s"


def size(count: int) -> str:
    """Return a number of bytes for people."""
    if count < _KIB:
        return f"{count} B"
    return f"{count / _KIB:.1f} KB" if count < _KIB**2 else f"{count / _KIB**2:.1f} MB"


def plural(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def pretty_json(value: Any) -> str:
    """Return a document as it is edited; text that is none stays as it is."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return str(value)
    return json.dumps(value, indent=2, ensure_ascii=False)


@cache
def static(name: str) -> str:
    """Return the address of a file that may be kept for ever, because another content has another address."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/console/static/{name}?{digest}"


class Renderer:
    """Writes pages."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(
            static=static,
            at=lambda path, **query: f"/console/{address(path, **query)}",
            empty_form=Form(),
            place_of=place_of,
            section_of=section_of,
            refused_call=refused_call,
        )
        self._environment.filters.update(
            moment=moment,
            with_moments=with_moments,
            in_utc=in_utc,
            here=here,
            day=day,
            time_of_day=time_of_day,
            milliseconds=milliseconds,
            size=size,
            plural=plural,
            pretty_json=pretty_json,
            harmless=shown,
            cause_in_words=cause_in_words,
            cause_name=cause_name,
            preflight_cause_in_words=preflight_cause_in_words,
        )

    def render(self, template: str, shown: Mapping[str, Any]) -> str:
        """Return a template, filled in."""
        return self._environment.get_template(template).render(shown)
