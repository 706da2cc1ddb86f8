"""What can be done about a rotation: commands that may help, each with what it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keyturn.cli.rotation_status import moment
from keyturn.cli.shown import shown

_SET = "setSecret"
# More of them are hardly tried one by one.
_MOST_VERSIONS = 3

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NextStep:
    """A command that may help, and what it does."""

    command: str
    what: str


def next_steps(answer: Json, unlabelled: Sequence[Json], options: str, *, is_refused: bool) -> Iterator[NextStep]:
    """Yield what can be done where a rotation stands.

    Args:
        answer: Of GetRotation.
        unlabelled: Versions without a label that hold a value.
        options: Of the server, as ``as_given`` returns them.
        is_refused: Whether the database refuses every labelled version.
    """
    name, status = shown(answer["Name"]), answer["Rotation"]["Status"]
    retry = f"keyturn rotation retry {name} --wait{options}"
    if is_refused and status in ("pending", "parked", "failed"):
        yield from _when_all_is_refused(name, unlabelled, options)
        if status != "failed":
            yield NextStep(retry, "try again at once, after the password was set in the database")
    elif status in ("pending", "parked"):
        yield NextStep(retry, "try again now, and watch")
        has_set = any(step["Step"] == _SET for step in answer.get("Steps", []))
        if has_set and answer.get("CanBeResolved"):
            what = "ask the database which version it accepts, and move the labels there"
            yield NextStep(f"keyturn rotation resolve {name}{options}", what)
    elif status in ("failed", "abandoned", "cancelled"):
        yield NextStep(f"keyturn rotate {name}{options}", "begin another rotation, and watch it")
    elif status == "running":
        yield NextStep(f"keyturn rotation show {name}{options}", "look again")


def _when_all_is_refused(name: str, unlabelled: Sequence[Json], options: str) -> Iterator[NextStep]:
    """Yield the ways out of it: another password in the secret, or one of the secret's in the database."""
    aws = "aws secretsmanager"
    yield NextStep(
        f"{aws} put-secret-value --secret-id {name} --secret-string file://value.json{options}",
        "every stored version is refused: if somebody knows the password of the database, store the value with it",
    )
    for version in unlabelled[:_MOST_VERSIONS]:
        yield NextStep(
            f"{aws} get-secret-value --secret-id {name} --version-id {shown(version['VersionId'])}{options}",
            f"this version, made {moment(version['CreatedDate'])}, has no label: if it logs in, store it again",
        )
    yield NextStep(
        f"{aws} get-secret-value --secret-id {name}{options}",
        "or set this password in the database as its superuser (PostgreSQL: ALTER ROLE … PASSWORD …), and begin again",
    )
