"""Moments as people and links write them, and the times that charts are of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.console.moments import TITLES, asked_period, read_moment
from keyturn.console.visit import Visit
from keyturn.errors.base import KeyturnError

NOW = datetime(2026, 11, 28, 12, 34, 56, tzinfo=UTC)


@dataclass
class _Asked:
    query: dict[str, str] = field(default_factory=dict)
    now: datetime = NOW

    def asked(self, name: str) -> str:
        return self.query.get(name, "")


def _visit(**query: str) -> Visit:
    return cast("Visit", _Asked({name.rstrip("_"): value for name, value in query.items()}))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-28T12:34", NOW.replace(second=0)),
        ("2026-11-28T12:34:56", NOW),
        ("2026-11-28T13:34:56+01:00", NOW),
        ("2026-11-28T12:34:56Z", NOW),
        ("1795869296000", NOW),
        (" 2026-11-28 ", NOW.replace(hour=0, minute=0, second=0)),
        ("1066-01-01T00:00", datetime(1970, 1, 1, tzinfo=UTC)),
        ("999999999999999", datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read(text: str, at: datetime) -> None:
    assert read_moment(text) == at


@pytest.mark.parametrize("text", ["yesterday", "<script>", "2026-13-01", "-1", "9" * 16])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(KeyturnError, match="is no moment"):
        read_moment(text)


@given(st.text(max_size=40))
def test_whatever_else_is_written_is_refused_or_a_moment(text: str) -> None:
    try:
        at = read_moment(text)
    except KeyturnError:
        return
    assert at is None or at.utcoffset() == timedelta(0)
    assert (at is None) == (not text.strip())


@pytest.mark.parametrize("name", TITLES)
def test_a_chosen_time_ends_with_the_step_that_has_begun(name: str) -> None:
    period = asked_period(_visit(over=name))

    assert period.begin < NOW < period.end
    assert period.end - NOW <= period.step
    assert 30 <= len(period.slots) <= 60
    assert period.slots[-1] + period.step == period.end


@given(st.integers(1, 400 * 86_400), st.integers(0, 10**9))
def test_a_time_by_its_ends_has_as_many_steps_as_can_be_drawn(seconds: int, begin: int) -> None:
    start = datetime.fromtimestamp(begin, UTC)
    end = start + timedelta(seconds=seconds)

    period = asked_period(_visit(from_=start.isoformat(), to=end.isoformat()))

    assert period.step % timedelta(minutes=1) == timedelta(0)
    assert period.begin <= start
    assert 1 <= len(period.slots) <= 61 + 7
    assert period.slots[-1] < end <= period.slots[-1] + period.step


def test_a_time_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(KeyturnError, match="ends before it begins"):
        asked_period(_visit(from_="2026-11-28T12:00", to="2026-11-28T11:00"))
