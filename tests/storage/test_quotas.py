"""The quota of secrets holds also where many are created at the same moment, each in a transaction of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from keyturn.errors.secretsmanager import LimitExceededException
from keyturn.operations.secretsmanager import secrets as operations
from keyturn.quotas import Quotas
from keyturn.storage import secrets
from keyturn.testing.handlers import PLACE

from .desk import Desk

_QUOTA = 10


@pytest.fixture
def limited(desk: Desk) -> Desk:
    desk.bench.kit = replace(desk.kit, quotas=Quotas(secrets=_QUOTA))
    return desk


def _count(desk: Desk) -> int:
    with desk.kit.state.read() as connection:
        return secrets.count(connection, PLACE)


def test_no_more_are_made_than_there_may_be_by_many_at_once(limited: Desk) -> None:
    def is_made(number: int) -> bool:
        try:
            limited.call("CreateSecret", Name=f"n{number}")
        except LimitExceededException:
            return False
        return True

    with ThreadPoolExecutor(8) as crowd:
        made = list(crowd.map(is_made, range(24)))

    assert sum(made) == _count(limited) == _QUOTA


def test_far_below_the_quota_nobody_takes_turns(limited: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []
    monkeypatch.setattr(limited.kit.state.dialect, "lock_count", lambda _connection, owner: turns.append(owner))
    monkeypatch.setattr(operations, "_NEAR_QUOTA", 2)

    for number in range(9):
        limited.call("CreateSecret", Name=f"n{number}")

    assert turns == ["000000000000:us-east-1"]


def test_what_is_deleted_by_force_makes_room_before_the_scheduler_comes(limited: Desk) -> None:
    for number in range(_QUOTA):
        limited.call("CreateSecret", Name=f"n{number}")
    limited.call("DeleteSecret", SecretId="n0", RecoveryWindowInDays=7)
    with pytest.raises(LimitExceededException):
        limited.call("CreateSecret", Name="more")

    limited.call("DeleteSecret", SecretId="n1", ForceDeleteWithoutRecovery=True)

    limited.call("CreateSecret", Name="more")
    assert _count(limited) == _QUOTA
