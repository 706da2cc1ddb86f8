"""Charts: what is drawn where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from keyturn.console.charts import HEIGHT, WIDTH, Series, ceiling, chart
from keyturn.console.moments import Period

BEGIN = datetime(2026, 11, 28, tzinfo=UTC)
HOUR = Period("1h", BEGIN, BEGIN + timedelta(hours=1), timedelta(minutes=1))


@given(st.floats(0, 1e12))
def test_the_top_of_a_chart_is_a_round_number_that_is_not_less(value: float) -> None:
    top = ceiling(value)

    assert top >= value
    assert top == 1 or top < value * 2.6
    assert f"{top:e}"[0] in "125"


@given(st.dictionaries(st.integers(0, 59), st.floats(0, 1e9), max_size=60))
def test_every_value_is_a_bar_within_the_chart_higher_for_more(values: dict[int, float]) -> None:
    series = Series({HOUR.slots[minute]: value for minute, value in values.items()}, "{:g}".format)

    drawn = chart("Things", "", HOUR, series)

    assert [bar.at for bar in drawn.bars] == [HOUR.slots[minute] for minute in sorted(values) if values[minute] > 0]
    for bar in drawn.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
        assert 0 <= bar.y <= bar.y + bar.height <= HEIGHT
    by_value = sorted(drawn.bars, key=lambda bar: series.values[bar.at])
    assert [bar.height for bar in by_value] == sorted(bar.height for bar in drawn.bars)


def test_half_an_error_is_not_written_beside_the_chart() -> None:
    drawn = chart("Errors", "", HOUR, Series({BEGIN: 3}, "{:g}".format))

    assert [label.text for label in drawn.heights] == ["0", "5"]


def test_what_stands_behind_is_drawn_first_and_what_leads_on_leads_on() -> None:
    front = Series({BEGIN: 1}, "{:g} on average".format, link=lambda at: f"/{at:%H%M}")
    behind = Series({BEGIN: 4}, "{:g} at most".format)

    first, second = chart("Duration", "", HOUR, front, behind=behind).bars

    assert (first.is_behind, first.link, first.title) == (True, "", "4 at most, 2026-11-28 00:00 UTC")
    assert (second.is_behind, second.link) == (False, "/0000")
    assert first.height > second.height
