"""When rotations are planned, over many of them: hours alike, the top of the hour heavier, and no crowd anywhere.

The source of chance is seeded, so these are the same numbers in every run; what they are compared with holds for any.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from keyturn.rules.schedule import RotationWindow, choose_hour, choose_moment

DAY = RotationWindow(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC))
BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
SECRETS = 10_000
# Of chi-square with 23 degrees of freedom: one in a thousand is beyond.
CHI_SQUARE_23 = 49.7


class Dice:
    """Repeatable chance."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def randbelow(self, exclusive_upper_bound: int, /) -> int:
        return self._random.randrange(exclusive_upper_bound)


def _plan(seed: int, count: int) -> Counter[datetime]:
    """Plan rotations one after the other, each knowing those before it; return how many there are in each minute."""
    dice, load = Dice(seed), Counter[datetime]()
    for _ in range(count):
        hour = choose_hour(DAY, dice, now=BEFORE)
        top = hour.opens_at.replace(minute=0)
        in_hour = {minute: load[minute] for minute in (top + number * timedelta(minutes=1) for number in range(60))}
        load[choose_moment(hour, in_hour, dice).replace(second=0)] += 1
    return load


def _by_hour(load: Counter[datetime]) -> list[int]:
    return [sum(count for minute, count in load.items() if minute.hour == hour) for hour in range(24)]


def _by_quarter(load: Counter[datetime]) -> list[int]:
    return [sum(count for minute, count in load.items() if minute.minute // 15 == quarter) for quarter in range(4)]


@pytest.mark.parametrize("seed", range(3))
def test_hours_are_uniform(seed: int) -> None:
    dice = Dice(seed)
    hours = Counter(choose_hour(DAY, dice, now=BEFORE).opens_at.hour for _ in range(24_000))
    assert sum((hours[hour] - 1_000) ** 2 / 1_000 for hour in range(24)) < CHI_SQUARE_23


@pytest.mark.parametrize("seed", range(3))
def test_minutes_of_an_hour_in_which_nothing_is_planned_weigh_what_they_are_away_from_its_end(seed: int) -> None:
    dice = Dice(seed)
    hour = RotationWindow(DAY.opens_at, DAY.opens_at + timedelta(hours=1))
    minutes = Counter(choose_moment(hour, {}, dice).minute for _ in range(36_600))
    expected = [(60 - minute) * 20 for minute in range(60)]
    # Of chi-square with 59 degrees of freedom: one in a thousand is beyond.
    assert sum((minutes[minute] - expected[minute]) ** 2 / expected[minute] for minute in range(60)) < 98.4


@pytest.mark.parametrize("seed", range(3))
def test_ten_thousand_on_one_day_give_no_minute_more_than_fifteen_in_ten_thousand(seed: int) -> None:
    load = _plan(seed, SECRETS)
    mean = SECRETS / (24 * 60)
    assert max(load.values()) <= 15 < 2.2 * mean
    # Every minute has its share but the day's last ten, which are for retries.
    assert len(load) == 24 * 60 - 10
    assert sum((count - SECRETS / 24) ** 2 / (SECRETS / 24) for count in _by_hour(load)) < CHI_SQUARE_23
    first, second, third, fourth = _by_quarter(load)
    assert first > second > third > fourth
    # The top of the hour stays heavier: 31 in a hundred in its first quarter, 17 in its last.
    assert 0.29 < first / SECRETS < 0.33
    assert 0.15 < fourth / SECRETS < 0.19


def test_a_few_on_one_day_are_near_the_top_of_the_hour() -> None:
    quarters = Counter[int]()
    for seed in range(40):
        quarters.update(dict(enumerate(_by_quarter(_plan(seed, 24)))))
    assert quarters[0] > 0.38 * quarters.total()
    assert quarters[3] < 0.1 * quarters.total()
