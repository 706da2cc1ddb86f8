"""Steps that have shown, or changed, which stored version the database of a secret has."""

from __future__ import annotations

from sqlalchemy import Connection, and_, bindparam, or_, select

from keyturn.rules.database_version import VersionRun
from keyturn.rules.rotation import Step, StepOutcome
from keyturn.storage import schema
from keyturn.storage.rotations import RotationKind, StepRecord

_rotations, _steps = schema.rotations, schema.rotation_steps
# A database that cannot be asked may have been for a year: questions without answer are not evidence, and not counted.
_MOST = 200
_EVIDENCE = (
    select(_rotations.c.version_id, _steps)
    .join(_rotations, _rotations.c.rotation_id == _steps.c.rotation_id)
    .where(
        _rotations.c.secret_id == bindparam("secret_id"),
        # A test has a copy of the current value.
        _rotations.c.kind != RotationKind.TEST,
        or_(
            _steps.c.step == Step.SET,
            and_(_steps.c.step.in_((Step.TEST, Step.PROBE)), _steps.c.outcome == StepOutcome.SUCCEEDED),
        ),
    )
    .order_by(_rotations.c.rotation_id.desc(), _steps.c.position.desc())
    .limit(_MOST)
)


def load_evidence(connection: Connection, secret_id: int) -> list[VersionRun]:
    """Return the newest such steps of all rotations, oldest first."""
    found = []
    for row in connection.execute(_EVIDENCE, {"secret_id": secret_id}):
        columns = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
        version_id = columns.pop("version_id")
        del columns["rotation_id"]
        found.append(VersionRun(version_id, StepRecord(**columns)))
    return found[::-1]
