"""Which version holds which staging label, and what a change does to the others.

The rules, numbered as in the comments below:

1. A label sits on at most one version; attaching it elsewhere takes it off.
2. The first value of a secret gets AWSCURRENT, whatever labels it was put with.
3. When AWSCURRENT moves, AWSPREVIOUS moves to the version it left, and AWSPENDING is taken off that version.
4. A new value with AWSCURRENT ends an unfinished rotation: AWSPENDING is dropped wherever it sits.
5. Moving AWSCURRENT onto the AWSPENDING version leaves both labels there.
6. AWSCURRENT can be moved, never removed. Custom labels stay where they are.
7. A version without labels is deprecated. When a secret has more than 100 versions, the oldest deprecated ones go,
   but none that is younger than 24 hours.

Whether a version has a value is not known here, and neither are clocks and rows: every function returns a
:class:`Change` whose difference storage writes.

Source: Secrets Manager API Reference, PutSecretValue and UpdateSecretVersionStage; User Guide, "What's in a secret";
recorded by localstack 2022-09 to 2025-03 (test_update_secret_version_stages_*) and by moto.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from keyturn.errors.secretsmanager import (
    InvalidParameterException,
    InvalidRequestException,
    LimitExceededException,
    ResourceNotFoundException,
)

AWSCURRENT = "AWSCURRENT"
AWSPREVIOUS = "AWSPREVIOUS"
AWSPENDING = "AWSPENDING"

LABEL_LIMIT = 20
VERSION_LIMIT = 100
MINIMUM_AGE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Staging:
    """The versions of one secret and their labels.

    Attributes:
        created_at: Version id to the moment of its creation; deprecated versions may be left out where nobody asks
            for them.
        labels: Staging label to version id; every version named here is in ``created_at``.
    """

    created_at: Mapping[str, datetime]
    labels: Mapping[str, str]

    def stages_of(self, version_id: str) -> tuple[str, ...]:
        """Labels of one version, sorted."""
        return tuple(sorted(label for label, holder in self.labels.items() if holder == version_id))

    @property
    def unfinished_rotation(self) -> str | None:
        """The version that a rotation has yet to finish: it holds AWSPENDING and is not current."""
        pending = self.labels.get(AWSPENDING)
        return None if pending == self.labels.get(AWSCURRENT) else pending


@dataclass(frozen=True, slots=True)
class Change:
    """Two states; the difference is what storage writes."""

    before: Staging
    after: Staging

    @property
    def moved_labels(self) -> dict[str, str | None]:
        """Labels that changed, with their new version; None for a label that is gone."""
        before, after = self.before.labels, self.after.labels
        return {
            label: after.get(label) for label in before.keys() | after.keys() if before.get(label) != after.get(label)
        }

    @property
    def added_versions(self) -> tuple[str, ...]:
        """Ids of new versions."""
        return tuple(self.after.created_at.keys() - self.before.created_at.keys())

    @property
    def removed_versions(self) -> tuple[str, ...]:
        """Ids of versions that are gone, oldest first."""
        removed = self.before.created_at.keys() - self.after.created_at.keys()
        return tuple(sorted(removed, key=lambda version_id: (self.before.created_at[version_id], version_id)))

    @property
    def abandoned_rotation(self) -> str | None:
        """The version of the unfinished rotation that this change ended without making it current, if any."""
        pending = self.before.unfinished_rotation
        if pending is None or self.after.labels.get(AWSPENDING) == pending:
            return None
        return None if self.after.labels.get(AWSCURRENT) == pending else pending


def put_version(state: Staging, version_id: str, stages: Collection[str] | None, at: datetime) -> Change:
    """Add a version with its value, or put the value into the version that a rotation made ready.

    Args:
        state: Before.
        version_id: The ClientRequestToken.
        stages: Labels the caller asks for; None means AWSCURRENT.
        at: When; an existing version keeps its moment.

    Raises:
        LimitExceededException: More than 20 labels on all versions together.
    """
    wanted = set(stages) if stages else {AWSCURRENT}
    if AWSCURRENT not in state.labels:
        wanted.add(AWSCURRENT)  # Rule 2.
    labels = dict(state.labels)
    if AWSCURRENT in wanted:
        labels.pop(AWSPENDING, None)  # Rule 4.
    for stage in wanted - {AWSCURRENT}:
        labels[stage] = version_id  # Rule 1.
    if AWSCURRENT in wanted:
        _make_current(labels, version_id)
    if len(labels) > LABEL_LIMIT:
        raise LimitExceededException(f"A secret can't have more than {LABEL_LIMIT} staging labels.")
    return Change(state, Staging({version_id: at, **state.created_at}, labels))


def move_label(state: Staging, stage: str, move_to: str | None, remove_from: str | None) -> Change:
    """Attach a label, move it, or take it off.

    Args:
        state: Before, with deprecated versions, as they may get a label back.
        stage: The label.
        move_to: The version that gets it; None to take it off.
        remove_from: The version that has it; None if no version has it.

    Raises:
        InvalidParameterException: ``remove_from`` is not the version that has the label, or AWSCURRENT would vanish.
        ResourceNotFoundException: No such version.
        LimitExceededException: More than 20 labels on all versions together.
    """
    if move_to is None and remove_from is None:
        raise InvalidParameterException("You must provide MoveToVersionId, RemoveFromVersionId, or both.")
    for version_id in (move_to, remove_from):
        if version_id is not None and version_id not in state.created_at:
            raise ResourceNotFoundException(
                f"Secrets Manager can't find the specified secret value for VersionId: {version_id}"
            )
    holder = state.labels.get(stage)
    if remove_from is not None and remove_from != holder:
        raise InvalidParameterException(
            f"When you move staging label {stage}, if you specify RemoveFromVersionId, it must be set to the version"
            f" that currently has the staging label {stage}."
        )
    labels = dict(state.labels)
    if move_to is None:
        if stage == AWSCURRENT:
            raise InvalidParameterException(  # Rule 6.
                "You can only move staging label AWSCURRENT to a different secret version."
                " It can’t be completely removed."
            )
        del labels[stage]
    elif move_to == holder:
        return Change(state, state)
    else:
        if holder is not None and remove_from is None:
            raise InvalidParameterException(
                f"The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to"
                f" version {holder}, so you must explicitly reference that version in RemoveFromVersionId."
            )
        if stage == AWSCURRENT:
            _make_current(labels, move_to)
        else:
            labels[stage] = move_to  # Rule 1.
    if len(labels) > LABEL_LIMIT:
        raise LimitExceededException(f"A secret can't have more than {LABEL_LIMIT} staging labels.")
    return Change(state, Staging(state.created_at, labels))


def begin_rotation(state: Staging, token: str, at: datetime) -> Change:
    """Label the version that a rotation is going to fill AWSPENDING.

    Beginning again with the token of the rotation under way changes nothing.

    Raises:
        InvalidRequestException: Another rotation has not been finished.
    """
    unfinished = state.unfinished_rotation
    if unfinished is not None and unfinished != token:
        raise InvalidRequestException("A previous rotation isn't complete. That rotation will be reattempted.")
    return Change(state, Staging({token: at, **state.created_at}, {**state.labels, AWSPENDING: token}))


def abandon_pending(state: Staging, *, remove_version: bool) -> Change:
    """Take AWSPENDING off.

    Args:
        state: Before.
        remove_version: Also remove the version if it has no other label: it never got a value, or was only a test.
    """
    pending = state.labels.get(AWSPENDING)
    if pending is None:
        return Change(state, state)
    labels = {label: version_id for label, version_id in state.labels.items() if label != AWSPENDING}
    if not remove_version or pending in labels.values():
        return Change(state, Staging(state.created_at, labels))
    return Change(state, Staging(_without(state.created_at, [pending]), labels))


def clean_up(state: Staging, now: datetime) -> Change:
    """Remove the oldest deprecated versions while there are more than 100 versions (rule 7).

    Args:
        state: Before, with all deprecated versions.
        now: Aware UTC.
    """
    excess = len(state.created_at) - VERSION_LIMIT
    if excess <= 0:
        return Change(state, state)
    labelled = set(state.labels.values())
    old_enough = sorted(
        (created_at, version_id)
        for version_id, created_at in state.created_at.items()
        if version_id not in labelled and now - created_at >= MINIMUM_AGE
    )
    return Change(
        state, Staging(_without(state.created_at, [version_id for _, version_id in old_enough[:excess]]), state.labels)
    )


def _make_current(labels: dict[str, str], version_id: str) -> None:
    left = labels.get(AWSCURRENT)
    labels[AWSCURRENT] = version_id
    if left is None or left == version_id:
        return
    labels[AWSPREVIOUS] = left  # Rule 3.
    if labels.get(AWSPENDING) == left:
        del labels[AWSPENDING]


def _without(created_at: Mapping[str, datetime], version_ids: Iterable[str]) -> dict[str, datetime]:
    gone = set(version_ids)
    return {version_id: moment for version_id, moment in created_at.items() if version_id not in gone}
