from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from keyturn.errors.lambda_ import TooManyRequestsException
from keyturn.scheduler.events import EventInvocations

DEADLINE_SECONDS = 10


@pytest.fixture
def events() -> Iterator[EventInvocations]:
    opened = EventInvocations(threads=1, limit=2, retry_seconds=(0, 0), throttled_seconds=0)
    yield opened
    opened.close()


class Attempts:
    """Fails as often as it is told to, and says when it has been run often enough."""

    def __init__(self, outcomes: list[bool | Exception]) -> None:
        self.outcomes = outcomes
        self.number = 0
        self.all_run = threading.Event()

    def __call__(self) -> bool:
        outcome = self.outcomes[self.number]
        self.number += 1
        if self.number == len(self.outcomes):
            self.all_run.set()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def run_next(events: EventInvocations) -> None:
    """Return when everything submitted before has been run."""
    marker = Attempts([True])
    events.submit(marker)
    assert marker.all_run.wait(DEADLINE_SECONDS)


def test_an_event_that_succeeds_runs_once(events: EventInvocations) -> None:
    attempts = Attempts([True])

    events.submit(attempts)

    assert attempts.all_run.wait(DEADLINE_SECONDS)
    run_next(events)
    assert attempts.number == 1


@pytest.mark.parametrize("failure", [False, RuntimeError("broken")])
def test_an_event_that_fails_is_tried_twice_more(events: EventInvocations, failure: bool | Exception) -> None:
    attempts = Attempts([failure, failure, failure])

    events.submit(attempts)

    assert attempts.all_run.wait(DEADLINE_SECONDS)
    run_next(events)
    assert attempts.number == 3


def test_an_event_that_recovers_is_done(events: EventInvocations) -> None:
    attempts = Attempts([False, True])

    events.submit(attempts)

    assert attempts.all_run.wait(DEADLINE_SECONDS)
    run_next(events)
    assert attempts.number == 2


def test_an_event_that_is_throttled_waits_for_room_and_keeps_its_attempts(events: EventInvocations) -> None:
    throttled = TooManyRequestsException()
    attempts = Attempts([throttled, throttled, throttled, False, throttled, False, False])

    events.submit(attempts)

    assert attempts.all_run.wait(DEADLINE_SECONDS)
    run_next(events)
    assert attempts.number == 7


def test_an_event_that_would_wait_for_more_than_six_hours_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    events = EventInvocations(threads=1, limit=2, age_seconds=0, throttled_seconds=1)
    attempts = Attempts([TooManyRequestsException(), True])
    events.submit(attempts)
    run_next(events)

    events.close()

    assert attempts.number == 1
    assert "an accepted event was throttled for too long and is dropped" in caplog.text


def test_no_more_events_are_accepted_than_may_wait(events: EventInvocations) -> None:
    started, release = threading.Event(), threading.Event()

    def busy() -> bool:
        started.set()
        return release.wait(DEADLINE_SECONDS)

    events.submit(busy)
    assert started.wait(DEADLINE_SECONDS)
    events.submit(Attempts([True]))
    last = Attempts([True])
    events.submit(last)

    with pytest.raises(TooManyRequestsException):
        events.submit(Attempts([True]))
    release.set()
    assert last.all_run.wait(DEADLINE_SECONDS)
    run_next(events)


def test_closing_drops_what_waits_for_its_next_attempt() -> None:
    events = EventInvocations(threads=1, limit=2, retry_seconds=(3600,))
    attempts = Attempts([False, True])
    events.submit(attempts)
    run_next(events)

    events.close()

    assert attempts.number == 1
    with pytest.raises(TooManyRequestsException):
        events.submit(attempts)
