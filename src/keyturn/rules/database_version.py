"""Which stored version the database has, as far as the steps that were run have shown it.

``testSecret`` that succeeds, and ``probeSecret`` that is answered, are known; ``setSecret`` that has begun may have
changed the password whether it failed or not. What others do in the database is not seen: what is known has a moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from keyturn.rules.repair import read_words
from keyturn.rules.rotation import Step, StepOutcome
from keyturn.rules.staging import AWSCURRENT, AWSPENDING, AWSPREVIOUS
from keyturn.rules.timeline import StepRun

_NOT_RUN = (StepOutcome.THROTTLED, StepOutcome.NOT_INVOKED, StepOutcome.REFUSED)
_ACCEPTED, _REFUSED = "accepted", "refused"


class VersionRun(NamedTuple):
    """One run of a step, and the version that its rotation makes."""

    version_id: str
    run: StepRun


@dataclass(slots=True)
class DatabaseVersion:
    """What is known.

    Attributes:
        version_id: That has logged in last; None if that is not known.
        at: When it has, or when every version was refused.
        is_refused: Whether the database has refused every version that is stored.
        is_overtaken: Whether it has refused all that were, and the current value was stored since.
        maybe: Versions for which ``setSecret`` has begun since, with when it last did.
    """

    version_id: str | None = None
    at: datetime | None = None
    is_refused: bool = False
    is_overtaken: bool = False
    maybe: dict[str, datetime] = field(default_factory=dict)


def _decides(each: VersionRun) -> bool:
    """Whether a run of a step has shown which version the database has: nothing before it counts."""
    run = each.run
    if run.outcome != StepOutcome.SUCCEEDED or run.ended_at is None:
        return False
    if run.step == Step.PROBE:
        said = {*read_words(run.cause or "").values()}
        return _ACCEPTED in said or said == {_REFUSED}
    return run.step == Step.TEST


def database_version(
    runs: Iterable[VersionRun], labels: Mapping[str, str], changed_at: datetime, stored_at: datetime | None
) -> DatabaseVersion:
    """Return which version the database has.

    Args:
        runs: Of rotations, not of tests, which have a copy of the current value; oldest first.
        labels: Staging label to version id, as they are now.
        changed_at: When the secret was changed last: what was said of a label before is said of it as it is.
        stored_at: When the current version was made: the database was not asked about it before. None without one.
    """
    known = DatabaseVersion()
    for each in runs:
        run = each.run
        if _decides(each):
            known = DatabaseVersion(_shown(each, labels, changed_at), run.ended_at)
            if run.step == Step.PROBE and _ACCEPTED not in read_words(run.cause or "").values():
                known.is_overtaken = stored_at is not None and known.at is not None and known.at < stored_at
                known.is_refused = not known.is_overtaken
        elif run.step == Step.SET and run.outcome not in _NOT_RUN and each.version_id != known.version_id:
            known.maybe[each.version_id] = run.started_at
    return known


def _shown(each: VersionRun, labels: Mapping[str, str], changed_at: datetime) -> str | None:
    """Return the version that has logged in; None if labels have moved so that nobody knows which it was."""
    run = each.run
    if run.step == Step.TEST:
        return each.version_id
    accepted = [label for label, answer in read_words(run.cause or "").items() if answer == _ACCEPTED]
    if AWSPENDING in accepted:
        return each.version_id
    if not accepted or run.ended_at is None or changed_at > run.ended_at:
        return None
    if AWSCURRENT in accepted or changed_at == run.ended_at:
        # The label was moved to what is accepted, with the answer.
        return labels.get(AWSCURRENT)
    return labels.get(AWSPREVIOUS) if AWSPREVIOUS in accepted else None
