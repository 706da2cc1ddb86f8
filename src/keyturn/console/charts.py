"""Charts of counted things over time, as numbers for SVG: bars, the lines behind them, and what stands at the sides."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from keyturn.console.moments import Period

WIDTH: Final = 360
HEIGHT: Final = 120
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 4, 10, 16
_GAP: Final = 0.2
_LABELS: Final = 5
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Bar:
    """What was counted in one step of time; ``link`` leads to more, empty if nowhere."""

    x: float
    y: float
    width: float
    height: float
    title: str
    at: datetime
    link: str = ""
    is_behind: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    """A text beside the chart; at a height if it is at the side, at a width if it is below."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    Attributes:
        title: What is counted.
        total: In one sentence, for who does not see the chart.
        kind: ``bad`` for what should not be.
        bars: Those of steps in which something was counted.
        heights: What the lines across mean.
        times: What is written below.
    """

    title: str
    total: str
    kind: str
    bars: Sequence[Bar]
    heights: Sequence[Label]
    times: Sequence[Label]


@dataclass(frozen=True, slots=True)
class Series:
    """Values.

    Attributes:
        values: By the beginning of their step.
        told: Writes one.
        short: Writes one beside the chart; nothing for what cannot be, as half an error.
        link: Where a step leads to, by its beginning; None if nowhere.
    """

    values: Mapping[datetime, float]
    told: Callable[[float], str]
    short: Callable[[float], str] = lambda value: f"{value:.0f}" if value == int(value) else ""
    link: Callable[[datetime], str] | None = None


def chart(
    title: str, total: str, period: Period, series: Series, *, behind: Series | None = None, kind: str = ""
) -> Chart:
    """Return a chart.

    Args:
        title: What is counted.
        total: Of all of it.
        period: The time.
        series: What is counted.
        behind: What else, never less, stands behind it.
        kind: How it is drawn.
    """
    every = [*series.values.values(), *(behind.values.values() if behind else ())]
    top = ceiling(max(every, default=0))
    slots = period.slots
    slot_width = (WIDTH - _LEFT - _RIGHT) / len(slots)

    def bars(of: Series, *, is_behind: bool) -> list[Bar]:
        found = []
        for number, at in enumerate(slots):
            value = of.values.get(at, 0)
            if value <= 0:
                continue
            # What there is is seen, however little it is beside the rest.
            height = max(2.0, (HEIGHT - _TOP - _BOTTOM) * value / top)
            x = _LEFT + (number + _GAP / 2) * slot_width
            link = of.link(at) if of.link else ""
            where = (round(x, 1), round(HEIGHT - _BOTTOM - height, 1))
            width = round(slot_width * (1 - _GAP), 1)
            title = f"{of.told(value)}, {at:%Y-%m-%d %H:%M} UTC"
            found.append(Bar(*where, width, round(height, 1), title, at, link, is_behind))
        return found

    drawn = [*(bars(behind, is_behind=True) if behind else ()), *bars(series, is_behind=False)]
    sides = ((part, series.short(top * part)) for part in (0, 0.5, 1))
    heights = [Label(_height(part), text) for part, text in sides if text]
    return Chart(title, total, kind, drawn, heights, _times(period, slots, slot_width))


def ceiling(value: float) -> float:
    """Return the least round number that is not less: 1, 2 or 5 and noughts; at least 1."""
    if value <= 1:
        return 1
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value)


def _height(part: float) -> float:
    return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * part, 1)


def _times(period: Period, slots: Sequence[datetime], slot_width: float) -> list[Label]:
    length_seconds = (period.end - period.begin).total_seconds()
    form = "%m-%d" if length_seconds > 2 * _DAY_SECONDS else "%H:%M"
    every = max(1, math.ceil(len(slots) / _LABELS))
    return [
        Label(round(_LEFT + number * slot_width, 1), f"{slots[number]:{form}}")
        for number in range(0, len(slots), every)
    ]
