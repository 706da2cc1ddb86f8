from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.errors.common import Throttled
from keyturn.ids import RequestId
from keyturn.quotas import parse_rate_limits
from keyturn.server.throttle import Throttle
from keyturn.testing.handlers import PLACE, user

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def call(seconds: float = 0, place: Place = PLACE) -> Call:
    return Call(
        principal=user("ada"),
        place=place,
        source_address="127.0.0.1",
        user_agent="",
        request_id=RequestId("r"),
        at=NOW + timedelta(seconds=seconds),
    )


@pytest.fixture
def throttle() -> Throttle:
    return Throttle(parse_rate_limits("PutSecretValue=2"))


def test_a_seconds_worth_is_taken_at_once_and_no_more(throttle: Throttle) -> None:
    throttle.count(call(), "PutSecretValue")
    throttle.count(call(), "UpdateSecret")

    with pytest.raises(Throttled, match=r"^Rate exceeded$"):
        throttle.count(call(), "PutSecretValue")


def test_it_fills_at_the_limits_rate_and_never_beyond_a_second(throttle: Throttle) -> None:
    for moment in (0, 0, 0.5, 100, 100):
        throttle.count(call(moment), "PutSecretValue")
    with pytest.raises(Throttled):
        throttle.count(call(100), "PutSecretValue")


def test_a_clock_that_is_set_back_locks_nobody_out(throttle: Throttle) -> None:
    throttle.count(call(1000), "PutSecretValue")
    throttle.count(call(0), "PutSecretValue")
    throttle.count(call(1), "PutSecretValue")


def test_accounts_regions_and_other_operations_do_not_share_it(throttle: Throttle) -> None:
    for _ in range(2):
        throttle.count(call(), "PutSecretValue")

    throttle.count(call(place=Place("aws", "eu-west-1", PLACE.account_id)), "PutSecretValue")
    throttle.count(call(place=Place("aws", PLACE.region, "111111111111")), "PutSecretValue")
    for _ in range(9):
        throttle.count(call(), "GetSecretValue")
