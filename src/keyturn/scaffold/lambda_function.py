"""Rotates a secret in the four steps of AWS Secrets Manager. Nothing has to be filled in here: see target.py.

Any step may run twice, and be cut off anywhere: each one first looks at what is true already. The new value is stored
before the target is touched, so whatever happens there is a stored version that the target accepts. No line of the log
and no error made here contains a value.

A fifth step is Keyturn's own, and AWS never asks for it: probeSecret answers which versions the target accepts, so that
a rotation that was cut off is brought to an end by what is true.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import boto3
import target
from botocore.config import Config
from botocore.exceptions import ClientError

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)
# At DEBUG botocore writes whole requests and replies, hence values.
logging.getLogger("botocore").setLevel(logging.INFO)

ANSWER = {"rotator": "keyturn.rotator/1", "offers": ["probeSecret"]}
LABELS = ("AWSPENDING", "AWSCURRENT", "AWSPREVIOUS")
NOT_THERE = ("ResourceNotFoundException", "InvalidRequestException")


@functools.cache
def secrets_manager() -> Any:
    """Return the client; made once, and quick to give up, so that a failure is told before the function's timeout."""
    limits = Config(connect_timeout=4, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 3})
    return boto3.client("secretsmanager", config=limits)


def lambda_handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Run one step: the event has Step, SecretId (the ARN) and ClientRequestToken (the id of the new version)."""
    step, arn, token = event["Step"], event["SecretId"], event["ClientRequestToken"]
    if step == "probeSecret":
        return {**ANSWER, **probe_secret(arn, event.get("LostVersionIds", []))}
    steps = {
        "createSecret": create_secret,
        "setSecret": set_secret,
        "testSecret": test_secret,
        "finishSecret": finish_secret,
    }
    if step not in steps:
        raise ValueError(f"Invalid step parameter {step} for secret {arn}")
    if is_left_to_do(arn, token):
        steps[step](arn, token)
    return dict(ANSWER)


def is_left_to_do(arn: str, token: str) -> bool:
    """Say whether the version is still to become current; refuse one that is not to."""
    described = secrets_manager().describe_secret(SecretId=arn)
    labels = described["VersionIdsToStages"].get(token, [])
    if not described.get("RotationEnabled"):
        raise ValueError(f"Secret {arn} is not enabled for rotation")
    if "AWSCURRENT" in labels:
        logger.info("Secret version %s already set as AWSCURRENT for secret %s.", token, arn)
        return False
    if "AWSPENDING" not in labels:
        raise ValueError(f"Secret version {token} not set as AWSPENDING for rotation of secret {arn}.")
    return True


def create_secret(arn: str, token: str) -> None:
    """Store a new value, unless this step has stored one before."""
    if read(arn, "AWSPENDING", token) is not None:
        logger.info("createSecret: Successfully retrieved secret for %s.", arn)
        return
    made = secrets_manager().get_random_password(PasswordLength=32, ExcludeCharacters=target.EXCLUDED_CHARACTERS)
    pending = target.new_value(current_value(arn), made["RandomPassword"])
    try:
        secrets_manager().put_secret_value(
            SecretId=arn, ClientRequestToken=token, SecretString=json.dumps(pending), VersionStages=["AWSPENDING"]
        )
    except ClientError as error:
        # This step runs a second time at this moment, and the other one was quicker: its value counts.
        if error.response["Error"]["Code"] != "ResourceExistsException":
            raise
    logger.info("createSecret: Successfully put secret for ARN %s and version %s.", arn, token)


def set_secret(arn: str, token: str) -> None:
    """Make the target accept the pending value, with whichever stored value it accepts now."""
    current = current_value(arn)
    pending = pending_value(arn, token, current)
    if target.accepts(pending):
        logger.info("setSecret: AWSPENDING is already set in the target for secret %s.", arn)
        return
    for label in ("AWSCURRENT", "AWSPREVIOUS"):
        known = usable(arn, current, label=label)
        if known is not None and target.accepts(known):
            target.set_value(known, pending)
            logger.info("setSecret: Successfully set AWSPENDING in the target for secret %s.", arn)
            return
    raise ValueError(f"setSecret: The target refuses previous, current and pending version of secret {arn}")


def test_secret(arn: str, token: str) -> None:
    """Use the pending value once."""
    if not target.accepts(pending_value(arn, token, current_value(arn))):
        raise ValueError(f"testSecret: The target refuses the pending version of secret {arn}")
    logger.info("testSecret: The target accepts AWSPENDING of secret %s.", arn)


def finish_secret(arn: str, token: str) -> None:
    """Make the version current; AWSPREVIOUS follows to the one that was."""
    versions = secrets_manager().describe_secret(SecretId=arn)["VersionIdsToStages"]
    current = next(version_id for version_id, labels in versions.items() if "AWSCURRENT" in labels)
    secrets_manager().update_secret_version_stage(
        SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
    )
    logger.info("finishSecret: Successfully set AWSCURRENT stage to version %s for secret %s.", token, arn)


def probe_secret(arn: str, lost: Sequence[str]) -> dict[str, Any]:
    """Answer which versions the target accepts and which it refuses; of any other it is not known.

    Args:
        arn: The secret.
        lost: Versions that have lost their labels, asked about only if the target refuses those that have one.
    """
    versions = secrets_manager().describe_secret(SecretId=arn)["VersionIdsToStages"]
    held = {label: version_id for version_id, labels in versions.items() for label in labels}
    current = current_value(arn)
    answer: dict[str, Any] = {"accepted": [], "refused": []}
    for version_id in [*dict.fromkeys(held[label] for label in LABELS if label in held), *lost]:
        if version_id in lost and (answer["accepted"] or held["AWSCURRENT"] not in answer["refused"]):
            break
        try:
            value = usable(arn, current, version_id=version_id)
            is_accepted = value is not None and target.accepts(value)
        except Exception as error:
            # Whatever a target raises: its text may hold a value, its name does not.
            answer["unanswered"] = type(error).__name__
        else:
            answer["accepted" if is_accepted else "refused"].append(version_id)
    return answer


def usable(arn: str, current: Mapping[str, Any], **version: str) -> dict[str, Any] | None:
    """Return a version's value if a rotation may have made it the current one, or of the current one."""
    try:
        value = read(arn, **version)
    except ValueError:
        # The secret may have held something else before it was made fit for rotation.
        return None
    return value if value is not None and belong_together(value, current) else None


def belong_together(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Say whether two values differ in what a rotation changes only."""
    kept = (one.keys() | other.keys()) - set(target.CHANGED_KEYS)
    return all(key in one and key in other and one[key] == other[key] for key in kept)


def current_value(arn: str) -> dict[str, Any]:
    """Return the value that is current."""
    value = read(arn, "AWSCURRENT")
    if value is None:
        raise ValueError(f"Secret {arn} has no current value")
    return value


def pending_value(arn: str, token: str, current: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value that createSecret has stored."""
    value = read(arn, "AWSPENDING", token)
    if value is None:
        raise ValueError(f"Secret version {token} has no value labelled AWSPENDING in secret {arn}")
    # Before the target is asked: a value that somebody else has stored must not lead to a target of their choice.
    if not belong_together(value, current):
        raise ValueError(f"AWSPENDING is not for the same user and place as AWSCURRENT in secret {arn}")
    return value


def read(arn: str, label: str | None = None, version_id: str | None = None) -> dict[str, Any] | None:
    """Return one version's value; None if there is none."""
    asked = {"SecretId": arn, "VersionStage": label, "VersionId": version_id}
    try:
        reply = secrets_manager().get_secret_value(**{key: value for key, value in asked.items() if value})
    except ClientError as error:
        if error.response["Error"]["Code"] in NOT_THERE:
            return None
        raise
    try:
        value = json.loads(reply["SecretString"])
    except (KeyError, ValueError):
        value = None
    if not isinstance(value, dict):
        # Outside of the handler above: an error of JSON holds the text on which it failed.
        raise ValueError(f"The value of secret {arn} is not a JSON object")
    return value
