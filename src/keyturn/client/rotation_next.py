"""What can be done about a rotation: commands that may help, each with what it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keyturn.client.rotation_password import maybe_versions, version_of
from keyturn.client.rotation_status import moment
from keyturn.client.shown import shown

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
    name, rotation = shown(answer["Name"]), answer["Rotation"]
    status, is_off = rotation["Status"], answer.get("RotationEnabled") is False
    retry = f"keyturn rotation retry {name} --wait{options}"
    if status == "running":
        yield NextStep(f"keyturn rotation show {name}{options}", "look again")
    elif is_refused and status in ("pending", "parked", "failed"):
        yield from _when_all_is_refused(name, unlabelled, options, is_waiting=status != "failed")
        if status != "failed" and not is_off:
            yield NextStep(retry, "try again at once, after the password was set in the database")
    elif status not in ("succeeded", "resolved"):
        yield from _when_another_was_set(name, answer, options)
        if status in ("pending", "parked") and not is_off:
            yield NextStep(retry, "try again now, and watch")
        elif status in ("pending", "parked"):
            yield NextStep(f"keyturn rotation show {name}{options}", "look again: rotation is off, it only finds out")
            yield NextStep(f"keyturn rotate {name}{options}", "afterwards: switch rotation on again, and rotate")
        else:
            what = "switch rotation on again, and rotate" if is_off else "begin another rotation, and watch it"
            yield NextStep(f"keyturn rotate {name}{options}", what)
    for kind in answer.get("OtherKinds", []):
        look = f"keyturn rotation show {name} --version-id {shown(rotation['VersionId'])} --kind {kind}{options}"
        yield NextStep(look, f"look at the {kind} about the same version")


def _when_another_was_set(name: str, answer: Json, options: str) -> Iterator[NextStep]:
    """Yield how to get AWSCURRENT to the version that the database has, if it may have another one."""
    is_waiting = answer["Rotation"]["Status"] in ("pending", "parked")
    has_set = is_waiting and any(step["Step"] == _SET for step in answer.get("Steps", []))
    maybe = maybe_versions(answer)
    if answer.get("CanBeResolved"):
        if has_set or maybe:
            what = "ask the database which version it accepts, and move the labels there"
            yield NextStep(f"keyturn rotation resolve {name}{options}", what)
        return
    current = version_of(answer, "AWSCURRENT")
    for version in maybe[:_MOST_VERSIONS]:
        version_id = shown(version["VersionId"])
        yield NextStep(
            f"aws secretsmanager get-secret-value --secret-id {name} --version-id {version_id}{options}",
            f"setSecret ran for this version at {moment(version['SetAt'])}: the database may have its password, and"
            " refuse that of AWSCURRENT. See whether it logs in",
        )
        away = f" --remove-from-version-id {shown(current)}" if current else ""
        yield NextStep(
            f"aws secretsmanager update-secret-version-stage --secret-id {name} --version-stage AWSCURRENT"
            f" --move-to-version-id {version_id}{away}{options}",
            "if it does: this moves AWSCURRENT to it",
        )


def _when_all_is_refused(
    name: str, unlabelled: Sequence[Json], options: str, *, is_waiting: bool
) -> Iterator[NextStep]:
    """Yield the ways out of it: another password in the secret, or one of the secret's in the database."""
    aws = "aws secretsmanager"
    yield NextStep(
        f"{aws} put-secret-value --secret-id {name} --secret-string file://value.json{options}",
        "every stored version is refused: if somebody knows the password of the database, store the value with it"
        + (" (this ends the rotation that waits)" if is_waiting else ""),
    )
    yield NextStep(f"keyturn rotate {name}{options}", "then begin another rotation")
    for version in unlabelled[:_MOST_VERSIONS]:
        yield NextStep(
            f"{aws} get-secret-value --secret-id {name} --version-id {shown(version['VersionId'])}{options}",
            f"this version, made {moment(version['CreatedDate'])}, has no label: if it logs in, store it again",
        )
    yield NextStep(
        f"{aws} get-secret-value --secret-id {name}{options}",
        "or set this password in the database as its superuser, and begin again",
    )
