"""How far a moment is, in one way wherever it is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyturn.rules.distance import distance

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        (timedelta(days=3, hours=5), "in 3 days"),
        (timedelta(days=30, seconds=-1), "in 29 days"),
        (timedelta(hours=1), "in 1 hour"),
        (timedelta(seconds=1), "in 1 second"),
        (timedelta(seconds=-90), "1 minute ago"),
        (timedelta(seconds=-7), "7 seconds ago"),
        (timedelta(0), "0 seconds ago"),
    ],
)
def test_a_distance_is_told_in_its_largest_unit(ahead: timedelta, told: str) -> None:
    assert distance(NOW + ahead, NOW) == told
