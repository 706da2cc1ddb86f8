"""Staging labels as a state machine: whatever callers do in whatever order, the invariants hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from keyturn.errors.base import AwsError
from keyturn.rules.staging import (
    LABEL_LIMIT,
    MINIMUM_AGE,
    VERSION_LIMIT,
    Change,
    Staging,
    abandon_pending,
    begin_rotation,
    clean_up,
    move_label,
    put_version,
)

LABELS = st.sampled_from(["AWSCURRENT", "AWSPENDING", "AWSPREVIOUS", "ONE", "TWO"])
PICK = st.integers(0, 10_000)


class StagingMachine(RuleBasedStateMachine):
    """A secret in the hands of clumsy callers."""

    def __init__(self) -> None:
        super().__init__()
        self.state = Staging({}, {})
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.made = 0
        self.had_value = False

    def _new_id(self) -> str:
        self.made += 1
        return f"v{self.made:05}"

    def _pick(self, number: int) -> str | None:
        known = sorted(self.state.created_at)
        return known[number % len(known)] if known else None

    def _apply(self, change: Change) -> None:
        """Write the difference as storage would, and see that it leads to the new state."""
        assert change.before == self.state
        labels = {**change.before.labels, **change.moved_labels}
        assert {label: holder for label, holder in labels.items() if holder} == dict(change.after.labels)
        created = {*change.before.created_at, *change.added_versions} - set(change.removed_versions)
        assert created == change.after.created_at.keys()
        self.state = change.after

    @rule(stages=st.none() | st.sets(LABELS, min_size=1))
    def put(self, stages: set[str] | None) -> None:
        previous = self.state.labels.get("AWSCURRENT")
        version_id = self._new_id()
        self._apply(put_version(self.state, version_id, stages, self.now))
        self.had_value = True
        assert set(self.state.stages_of(version_id)) >= (stages or {"AWSCURRENT"}) - {"AWSPREVIOUS"}
        if previous and self.state.labels["AWSCURRENT"] != previous:
            assert self.state.labels["AWSPREVIOUS"] == previous

    @rule(stage=LABELS, to=st.none() | PICK, away=st.none() | PICK)
    def move(self, stage: str, to: int | None, away: int | None) -> None:
        move_to = None if to is None else self._pick(to)
        remove_from = None if away is None else self._pick(away)
        holder = self.state.labels.get(stage)
        try:
            change = move_label(self.state, stage, move_to, remove_from)
        except AwsError:
            return
        # Nobody takes a label from a version without naming it.
        assert holder in (None, remove_from, move_to)
        assert change.after.labels.get(stage) == move_to
        self._apply(change)

    @rule(stage=LABELS, to=PICK)
    def move_as_told(self, stage: str, to: int) -> None:
        move_to = self._pick(to)
        if move_to is not None:
            self._apply(move_label(self.state, stage, move_to, self.state.labels.get(stage)))

    @rule()
    def rotate(self) -> None:
        token = self._new_id()
        unfinished = self.state.unfinished_rotation
        try:
            change = begin_rotation(self.state, token, self.now)
        except AwsError:
            assert unfinished is not None
            return
        assert unfinished is None
        self._apply(change)
        assert self.state.stages_of(token) == ("AWSPENDING",)
        assert begin_rotation(self.state, token, self.now).after == self.state

    @rule(remove=st.booleans())
    def abandon(self, remove: bool) -> None:
        self._apply(abandon_pending(self.state, remove_version=remove))
        assert "AWSPENDING" not in self.state.labels

    @rule(hours=st.integers(0, 100), burst=st.integers(0, 60))
    def time_passes(self, hours: int, burst: int) -> None:
        for _ in range(burst):
            self._apply(put_version(self.state, self._new_id(), ["ONE"], self.now))
            self.had_value = True
        self.now += timedelta(hours=hours)
        before = self.state
        change = clean_up(self.state, self.now)
        self._apply(change)
        for version_id in change.removed_versions:
            assert version_id not in before.labels.values()
            assert self.now - before.created_at[version_id] >= MINIMUM_AGE
        assert not change.removed_versions or len(self.state.created_at) >= VERSION_LIMIT

    @invariant()
    def labels_sit_on_versions_that_are_there(self) -> None:
        assert set(self.state.labels.values()) <= self.state.created_at.keys()
        assert len(self.state.labels) <= LABEL_LIMIT

    @invariant()
    def a_secret_that_had_a_value_has_a_current_one(self) -> None:
        assert not self.had_value or "AWSCURRENT" in self.state.labels


TestStaging = StagingMachine.TestCase
