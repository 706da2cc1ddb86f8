"""Staging labels as a state machine: whatever callers do in whatever order, the invariants hold."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from keyturn.errors.base import AwsError
from keyturn.errors.secretsmanager import LimitExceededException
from keyturn.rules.staging import (
    MINIMUM_AGE,
    Change,
    Staging,
    begin_rotation,
    clean_up,
    end_test,
    move_label,
    put_version,
)
from keyturn.testing.clock import FakeClock

from .histories import histories

LABELS = st.sampled_from(["AWSCURRENT", "AWSPENDING", "AWSPREVIOUS", "ONE", "TWO", "THREE"])
PICK = st.integers(0, 10_000)


class StagingMachine(RuleBasedStateMachine):
    """A secret in the hands of clumsy callers."""

    def __init__(self) -> None:
        super().__init__()
        self.state = Staging({}, {})
        self.clock = FakeClock()
        self.made = 0
        self.had_value = False
        self.label_limit = self.version_limit = 0

    @initialize(labels=st.sampled_from([5, 20]), versions=st.sampled_from([8, 100]), token=st.booleans())
    def begin(self, labels: int, versions: int, token: bool) -> None:
        self.label_limit, self.version_limit = labels, versions
        if token:
            # CreateSecret without a value.
            version_id = self._new_id()
            self.state = Staging({version_id: self.clock.now()}, {}, frozenset({version_id}))

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

    def _put(self, version_id: str, stages: set[str] | None) -> bool:
        """Put a value; say whether that was possible."""
        previous = self.state.labels.get("AWSCURRENT")
        try:
            change = put_version(self.state, version_id, stages, self.clock.now(), label_limit=self.label_limit)
        except LimitExceededException:
            assert stages is not None
            assert stages - self.state.labels.keys()
            return False
        self._apply(change)
        self.had_value = True
        assert version_id not in self.state.without_value
        assert self.state.created_at[version_id] == self.clock.now()
        assert set(self.state.stages_of(version_id)) >= (stages or {"AWSCURRENT"}) - {"AWSPREVIOUS"}
        if previous and self.state.labels["AWSCURRENT"] != previous:
            assert self.state.labels["AWSPREVIOUS"] == previous
            assert "AWSPENDING" not in self.state.labels or "AWSPENDING" in (stages or ())
        return True

    @rule(stages=st.none() | st.sets(LABELS, min_size=1))
    def put(self, stages: set[str] | None) -> None:
        self._put(self._new_id(), stages)

    @rule(pick=PICK, stages=st.none() | st.sets(LABELS, min_size=1))
    def fill(self, pick: int, stages: set[str] | None) -> None:
        waiting = sorted(self.state.without_value)
        if waiting:
            self._put(waiting[pick % len(waiting)], stages)

    @rule(stage=LABELS, to=st.none() | PICK, away=st.none() | PICK)
    def move(self, stage: str, to: int | None, away: int | None) -> None:
        move_to = None if to is None else self._pick(to)
        remove_from = None if away is None else self._pick(away)
        holder = self.state.labels.get(stage)
        try:
            change = move_label(self.state, stage, move_to, remove_from, label_limit=self.label_limit)
        except AwsError:
            return
        # Nobody takes a label from a version without naming it.
        assert holder in (None, remove_from, move_to)
        assert change.after.labels.get(stage) == move_to
        self._apply(change)

    @rule(stage=LABELS, to=PICK)
    def move_as_told(self, stage: str, to: int) -> None:
        move_to = self._pick(to)
        if move_to is None or not self.state.is_visible(move_to):
            return
        holder = self.state.labels.get(stage)
        try:
            self._apply(move_label(self.state, stage, move_to, holder, label_limit=self.label_limit))
        except LimitExceededException:
            assert holder is None
            assert len(self.state.labels) >= self.label_limit
        except AwsError:
            assert stage == "AWSCURRENT"
            assert move_to in self.state.without_value

    @rule()
    def rotate(self) -> None:
        token = self._new_id()
        unfinished = self.state.unfinished_rotation
        try:
            change = begin_rotation(self.state, token, self.clock.now())
        except AwsError:
            assert unfinished is not None
            return
        assert unfinished is None
        self._apply(change)
        assert self.state.stages_of(token) == ("AWSPENDING",)
        assert token in self.state.without_value
        assert begin_rotation(self.state, token, self.clock.now()).after == self.state

    @rule()
    def test_ends(self) -> None:
        version_id = self.state.labels.get("AWSPENDING")
        if version_id is None:
            return
        self._apply(end_test(self.state, version_id))
        assert "AWSPENDING" not in self.state.labels
        assert (version_id in self.state.created_at) == bool(self.state.stages_of(version_id))

    @rule(minutes=st.integers(0, 100 * 60), burst=st.integers(0, 60))
    def time_passes(self, minutes: int, burst: int) -> None:
        for _ in range(burst):
            self._put(self._new_id(), {"AWSCURRENT"})
        now = self.clock.advance(timedelta(minutes=minutes))
        before = self.state
        change = clean_up(self.state, now, version_limit=self.version_limit)
        self._apply(change)
        removed = change.removed_versions
        for version_id in removed:
            assert version_id not in before.labels.values()
            assert now - before.created_at[version_id] >= MINIMUM_AGE
        visible = [version_id for version_id in self.state.created_at if self.state.is_visible(version_id)]
        assert not removed or len(visible) >= self.version_limit
        left = [
            version_id
            for version_id in visible
            if not self.state.stages_of(version_id) and now - self.state.created_at[version_id] >= MINIMUM_AGE
        ]
        # What could go is still there only if there was no need, and the oldest went first.
        assert len(visible) <= self.version_limit or not left
        assert all(
            before.created_at[gone] <= self.state.created_at[version_id] for gone in removed for version_id in left
        )

    @invariant()
    def labels_sit_on_versions_that_are_there(self) -> None:
        assert set(self.state.labels.values()) <= self.state.created_at.keys()
        # AWSPREVIOUS and AWSPENDING may come on top.
        assert len(self.state.labels) <= self.label_limit + 2

    @invariant()
    def a_secret_that_had_a_value_has_a_current_one(self) -> None:
        current = self.state.labels.get("AWSCURRENT")
        assert (current is not None) == self.had_value
        assert current not in self.state.without_value

    @invariant()
    def what_has_neither_value_nor_label_is_the_token_of_creation(self) -> None:
        assert self.state.without_value <= self.state.created_at.keys()
        hidden = {version_id for version_id in self.state.created_at if not self.state.is_visible(version_id)}
        assert hidden <= {"v00001"}


TestStaging = StagingMachine.TestCase
TestStaging.settings = histories(100, 50)
