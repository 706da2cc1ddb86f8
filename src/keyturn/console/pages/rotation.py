"""A secret's rotation: where it stands, its steps as they go, what became of others, and what can be done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keyturn.client.planned import PlannedRotation, rule_in_words
from keyturn.console.pages.secret import describe, is_replica, known, may, may_rotate
from keyturn.console.replies import Html, Part, Redirect, Reply, address
from keyturn.console.rotation_act import BESIDE_A_VERDICT, UNSEEN, NextAct, next_act
from keyturn.console.rotation_course import Course, function_name, kind_of, log_group_of
from keyturn.console.routing import action, live, page
from keyturn.console.visit import Refused, Visit
from keyturn.errors.base import KeyturnError

_ON_A_PAGE = 10

Json = Mapping[str, Any]


@page("secret/rotation", needs="id", chosen_in="secrets")
def show(visit: Visit) -> Reply:
    """Show it; with ``version`` one rotation and its timeline, else the unfinished one or the last to end."""
    described, seen = known(visit)
    arn, function_arn = described["ARN"], described.get("RotationLambdaARN")
    more = {"NextToken": visit.asked("next")} if visit.asked("next") else {}
    listed = visit.look("keyturn", "list_rotations", SecretId=arn, MaxResults=_ON_A_PAGE, **more)
    log_group = log_group_of(visit, function_arn)
    course, refused = _course(visit, arn, log_group)
    clients, state = visit.clients, _state(visit, described, course, log_group)
    return Html(
        "rotation.html",
        {
            "section": "secrets",
            "unseen": seen.refused,
            **state,
            "listed": listed,
            "no_course": refused,
            "version": visit.asked("version"),
            "all": visit.asked("all"),
            "kind_of": kind_of,
            "may_cancel": clients.allow("secretsmanager", "cancel_rotate_secret", SecretId=arn),
            "may_resolve": clients.allow("keyturn", "resolve_rotation", SecretId=arn),
        },
    )


@live("secret/rotation/live")
def watch(visit: Visit) -> Iterator[Sequence[Part]]:
    """Show where it stands, and its steps as they go."""
    described = describe(visit)
    log_group = log_group_of(visit, described.get("RotationLambdaARN"))
    before: Json | None = None
    while True:
        answer = _answer(visit, described["ARN"])
        told = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
        course = Course(answer, visit, log_group)
        if told == before:
            yield []
        else:
            yield [
                Part("rotation_course.html", {"course": course, "all": visit.asked("all")}, target="course"),
                Part("rotation_state.html", _state(visit.later(), describe(visit), course, log_group), target="state"),
            ]
        if not course.is_under_way:
            return
        before = told


@live("secret/rotation/standing")
def watch_standing(visit: Visit) -> Iterator[Sequence[Part]]:
    """Show beside a verdict where the rotation stands by now, until it has ended."""
    before: tuple[Any, ...] = ()
    while True:
        course = Course(_answer(visit, visit.asked("id")), visit, "")
        told = (course.status, course.rotation.get("DueAt"))
        if told == before:
            yield []
        else:
            yield [Part("rotation_standing.html", _standing(visit.later(), course), target="standing")]
        if not course.is_under_way:
            return
        before = told


@action("secret/rotation/rotate", shows=show)
def rotate(visit: Visit) -> Reply:
    """Rotate it now."""
    made = visit.clients["secretsmanager"].rotate_secret(SecretId=visit.asked("id"))
    return _to(visit, "The rotation has begun.", version=made["VersionId"])


@action("secret/rotation/cancel", shows=show)
def cancel(visit: Visit) -> Reply:
    """Switch rotation off."""
    _confirmed(visit)
    visit.clients["secretsmanager"].cancel_rotate_secret(SecretId=visit.asked("id"))
    return _to(visit, "Rotation is off. What it had begun was ended.")


@action("secret/rotation/retry", shows=show)
def retry(visit: Visit) -> Reply:
    """Try an unfinished rotation again now."""
    made = visit.clients["keyturn"].retry_rotation(SecretId=visit.asked("id"))
    return _to(visit, "It is tried again.", version=made.get("VersionId", ""))


@action("secret/rotation/resolve", shows=show)
def resolve(visit: Visit) -> Reply:
    """Have the labels brought in line with what the database accepts."""
    _confirmed(visit)
    made = visit.clients["keyturn"].resolve_rotation(SecretId=visit.asked("id"))
    told = "The function asks the database which version it accepts; the labels follow."
    return _to(visit, told, version=made.get("VersionId", ""), kind="resolution")


def _standing(visit: Visit, course: Course) -> dict[str, Any]:
    described = describe(visit)
    act = _act(visit, described, _planned(visit, described), course)
    return {
        "now": visit.now,
        "course": course,
        "act": act,
        "has_causes": bool(visit.asked("causes")),
        "is_first": bool(visit.asked("first")),
        **BESIDE_A_VERDICT,
    }


def _to(visit: Visit, notice: str, **query: str) -> Redirect:
    return Redirect(address("secret/rotation", id=visit.asked("id"), **query), notice)


def _confirmed(visit: Visit) -> None:
    """Return if the secret's name was typed.

    Raises:
        KeyturnError: It was not.
    """
    described = describe(visit)
    if visit.form.line("name") != described["Name"]:
        raise KeyturnError("Nothing was changed.", f"Type the secret's name, {described['Name']}, to confirm it.")


def _state(visit: Visit, described: Json, course: Course | None, log_group: str) -> dict[str, Any]:
    """Return what the card shows that says where it stands: all of it, so that none of it is older than the rest."""
    function_arn = described.get("RotationLambdaARN")
    is_changed_here = "DeletedDate" not in described and not is_replica(visit, described)
    planned = _planned(visit, described)
    act = _act(visit, described, planned, course)
    return {
        "now": visit.now,
        "described": described,
        "course": course,
        "function_name": function_name(function_arn) if function_arn else "",
        "log_group": log_group,
        # What is deleted, or follows another one, has no plan of its own.
        "planned": None if act is None else planned,
        **_shown_act(visit, act, course),
        "rule": rule_in_words(described.get("RotationRules", {})),
        "may_rotate": is_changed_here and may_rotate(visit, described["ARN"]),
    }


def _act(visit: Visit, described: Json, planned: PlannedRotation | None, course: Course | None) -> NextAct | None:
    """Return what can be done now; a rotation that is shown has ended, or is the one that has not."""
    if planned is not None:
        return next_act(visit, described, planned.state, planned.next_at)
    if course is not None:
        return next_act(visit, described, course.status, course.rotation.get("DueAt"))
    return next_act(visit, described, UNSEEN)


def _shown_act(visit: Visit, act: NextAct | None, course: Course | None) -> dict[str, Any]:
    """Return what is shown of what can be done: another value first, where no attempt helps without one."""
    is_refused = course is not None and course.is_refused
    return {
        "act": act,
        "is_watched": course is not None and course.is_under_way,
        "is_refused": is_refused,
        "is_untried": course is not None and course.is_untried,
        "is_first": not is_refused and not (act and act.may_be_under_way),
        "may_edit": is_refused
        and act is not None
        and all(may(visit, act.secret_arn, "get_secret_value", "put_secret_value").values()),
    }


def _answer(visit: Visit, arn: str) -> Json:
    which = {"VersionId": visit.asked("version"), "Kind": visit.asked("kind")}
    given = {name: value for name, value in which.items() if value}
    answer: Json = visit.clients["keyturn"].get_rotation(SecretId=arn, **given)
    return answer


def _course(visit: Visit, arn: str, log_group: str) -> tuple[Course | None, Refused | None]:
    """Return the rotation that is asked for, or why it cannot be shown; neither if none has run."""
    which = {"VersionId": visit.asked("version"), "Kind": visit.asked("kind")}
    given = {name: value for name, value in which.items() if value}
    found = visit.look("keyturn", "get_rotation", SecretId=arn, **given)
    if found:
        return Course(found.answer, visit, log_group), None
    has_none = found.refused is not None and found.refused.code == "ResourceNotFoundException" and not given
    return None, None if has_none else found.refused


def _planned(visit: Visit, described: Json) -> PlannedRotation | None:
    """Return when it rotates next, and why then; None if it has no rotation, or that may not be seen."""
    if "RotationEnabled" not in described:
        return None
    asked = {"SecretARNs": [described["ARN"]]}
    if not visit.clients.allow("keyturn", "list_planned_rotations", **asked):
        # Nor is it asked again each time that something changes: each refused call is in the audit trail.
        return None
    found = visit.look("keyturn", "list_planned_rotations", **asked).get("PlannedRotations", [])
    return PlannedRotation.of(found[0]) if found else None
