"""Secrets that rotate on a schedule, as many as one likes, and the same ones each time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from benchmarks.stored_secrets import NewSecret

_FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:rotate-postgresql"
_PERIODS_DAYS = (30, 60, 90)
# Of a hundred secrets so many have rotated before, and have two versions.
_ROTATED_PERCENT = 20
# Of a thousand so many are planned into one hour by the same expression.
_BUSY_PERMILLE = 14


def scheduled_secrets(count: int, now: datetime, busy_hour: datetime) -> Iterator[NewSecret]:
    """Make secrets whose rotations are spread over days, hours and minutes like Keyturn's, but for one busy hour."""
    chance = random.Random(count)  # The same ones each time.
    for number in range(count):
        name = f"team-{number % 997:03}/database-{number:07}"
        value = {"engine": "postgres", "host": f"db{number % 500}.example", "port": 5432, "username": f"app{number}"}
        value |= {"password": f"{chance.getrandbits(192):048x}"}
        if number % 1000 < _BUSY_PERMILLE:
            rules: dict[str, object] = {"ScheduleExpression": "cron(0 3 * * ? *)", "Duration": "1h"}
            opens_at, closes_at = busy_hour, busy_hour + timedelta(hours=1)
            last_minute = 49
            days = 1
        else:
            days = chance.choice(_PERIODS_DAYS)
            rules = {"AutomaticallyAfterDays": days}
            midnight = (now + timedelta(days=1 + chance.randrange(days))).replace(
                hour=0, minute=0, second=0, microsecond=0
            )
            opens_at, closes_at = midnight + timedelta(hours=chance.randrange(24)), midnight + timedelta(days=1)
            last_minute = 59
        minute = min(chance.randrange(last_minute + 1), chance.randrange(last_minute + 1))
        planned_at = opens_at + timedelta(minutes=minute, seconds=chance.randrange(60))
        rotated_at = (planned_at - timedelta(days=2 * days), planned_at - timedelta(days=days))
        is_rotated = chance.randrange(100) < _ROTATED_PERCENT
        yield NewSecret(
            name, value, _FUNCTION, rules, planned_at, closes_at, rotated_at=rotated_at[1:] if is_rotated else ()
        )
