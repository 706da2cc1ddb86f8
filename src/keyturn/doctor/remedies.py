"""Changes that several remedies have in common, and a change as a command of the AWS CLI."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping

from keyturn.rules.distance import distance

from .case import Case
from .facts import Kind
from .model import Change, NextAttempt

# What the AWS CLI calls the flag of a boolean that is false, where it does not begin with --no-.
_NOT = {"--egress": "--ingress"}
# The AWS CLI does not know it: it is keyturn's own command.
_RETRY = ("keyturn", "RetryRotation")
_PROGRAMS = ("aws ", "keyturn ")
_STORE = "put-secret-value"
STORE_VALUE = f"aws secretsmanager {_STORE} --secret-id {{arn}} --secret-string file://value.json"
"""Stores another value, which is written by hand."""
_PIPE = " | "
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def command(change: Change, options: str = "") -> str:
    """Return a change as a command of the AWS CLI that can be pasted into a shell.

    Args:
        change: The call.
        options: Of the target, each behind a space: ``--profile``, ``--region``, ``--endpoint-url``.
    """
    return " ".join(shlex.quote(word) for word in words(change)) + options


def words(change: Change) -> list[str]:
    """Return a change as the words of a command of the AWS CLI.

    Source: AWS CLI, how it names commands and options: botocore's names with hyphens; a flag for a boolean; JSON for
    what is no text and no number.
    """
    if (change.service, change.operation) == _RETRY:
        return ["keyturn", "rotation", "retry", str(change.parameters["SecretId"]), "--wait"]
    found = ["aws", change.service, _hyphened(change.operation)]
    for name, value in change.parameters.items():
        option = f"--{_hyphened(name)}"
        if isinstance(value, bool):
            found.append(option if value else _NOT.get(option, option.replace("--", "--no-", 1)))
        elif isinstance(value, (Mapping, list, tuple)):
            found += [option, json.dumps(value)]
        else:
            found += [option, str(value)]
    return found


def line_with(line: str, options: str) -> str:
    """Return a line of a shell with the target's options at each command in it: in ``$( )`` and around ``|``, too."""
    return _PIPE.join(_part_with(part, options) for part in line.split(_PIPE))


def _part_with(part: str, options: str) -> str:
    inner = part.replace("$(aws ", f"$(aws{options} ")
    return f"{inner}{options}" if part.startswith(_PROGRAMS) else inner


def _hyphened(name: str) -> str:
    return "-".join(part.lower() for part in _WORD.split(name))


def rotate(case: Case, **further: object) -> Change:
    """Return the call that rotates the secret now."""
    return Change("secretsmanager", "RotateSecret", {"SecretId": case.arn, **further})


def go_on(case: Case) -> Change:
    """Return the call that lets the attempt that waits begin now, where RotateSecret is refused; or that rotates."""
    is_on = bool(case.secret.get("RotationEnabled"))
    if case.waiting is not None and not case.waiting.runs and is_on:
        return Change(*_RETRY, {"SecretId": case.name})
    return rotate(case)


def take_off_pending(case: Case) -> Change:
    """Return the call that takes AWSPENDING off the version that it was left on."""
    return Change(
        "secretsmanager",
        "UpdateSecretVersionStage",
        {"SecretId": case.arn, "VersionStage": "AWSPENDING", "RemoveFromVersionId": case.pending_version},
    )


def begin_anew(case: Case) -> tuple[Change, ...]:
    """Return the calls that give up the version that is pending, if one is, and rotate."""
    return (take_off_pending(case), rotate(case)) if case.pending_version else (rotate(case),)


def next_attempt(case: Case) -> NextAttempt | None:
    """Return how the secret is rotated once all is mended; None if nothing here would rotate it."""
    is_replica = case.secret.get("PrimaryRegion") not in (None, case.place.region)
    if not case.function_arn or "DeletedDate" in case.secret or is_replica:
        return None
    if case.waiting is not None and case.waiting.runs:
        return NextAttempt(
            "A rotation is running; see what becomes of it", f"keyturn rotation show {shlex.quote(case.name)}"
        )
    change = go_on(case)
    if (change.service, change.operation) == _RETRY:
        text = "An attempt waits; let it begin now"
    else:
        text = "Rotate it now" if case.secret.get("RotationEnabled") else "Turn rotation on again, and rotate it now"
    return NextAttempt(text, command(change))


ATTEMPTED_AGAIN = "the rotation is attempted again as long as it has attempts left"


def attempted_again(case: Case) -> str:
    """Return whether a rotation that has failed is attempted again by itself, and when, without a full stop."""
    if case.rotations is None or case.rotations.kind is not Kind.OK:
        return ATTEMPTED_AGAIN
    waiting = case.waiting
    if waiting is not None and waiting.runs:
        return "an attempt runs just now"
    if waiting is not None and waiting.status != "parked":
        is_ahead = waiting.due_at is not None and waiting.due_at > case.now
        when = f"begins {distance(waiting.due_at, case.now)}" if is_ahead and waiting.due_at else "is due"
        return f"the next attempt {when}"
    following = waiting.due_at if waiting is not None else case.next_rotation_at
    until = f" before the next rotation, {distance(following, case.now)}" if following and following > case.now else ""
    return f"it is not attempted again{until}: rotate when it is mended"


def configure(case: Case, **members: object) -> Change:
    """Return the call that changes the function's configuration."""
    return Change("lambda", "UpdateFunctionConfiguration", {"FunctionName": case.function_id, **members})


def put_role_policy(case: Case, policy_name: str, document: Mapping[str, object]) -> Change:
    """Return the call that gives the function's role an inline policy."""
    return Change(
        "iam",
        "PutRolePolicy",
        {"RoleName": case.role_name, "PolicyName": policy_name, "PolicyDocument": json.dumps(document)},
    )


def store_value(secret_arn: str) -> tuple[str, ...]:
    """Return the command that stores another value; none where nobody knows of which secret."""
    return (STORE_VALUE.format(arn=shlex.quote(secret_arn)),) if secret_arn else ()


def stored_by(line: str) -> str | None:
    """Return the secret whose value a line of a shell stores; None if it stores none."""
    words_of_line = shlex.split(line)
    if _STORE not in words_of_line:
        return None
    options = words_of_line[words_of_line.index(_STORE) :]
    return options[options.index("--secret-id") + 1]


def put_host(secret_arn: str, host: str) -> str:
    """Return the command that puts another host into a secret's value, and leaves its other members as they are."""
    arn = shlex.quote(secret_arn)
    changed = "import json, sys; print(json.dumps(dict(json.load(sys.stdin), host=sys.argv[1])))"
    return (
        f"aws secretsmanager get-secret-value --secret-id {arn} --query SecretString --output text"
        f" | python3 -c {shlex.quote(changed)} {shlex.quote(host)}"
        f" | aws secretsmanager put-secret-value --secret-id {arn} --secret-string file:///dev/stdin"
    )
