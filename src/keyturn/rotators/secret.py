"""The secret that is being rotated: every call a rotation function makes to Secrets Manager.

A value is parsed here and handed on as a dict; no text of it is ever part of a message.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

logger = logging.getLogger(__name__)

# A version that there is not, or that has no value; and one with another label.
_NOT_THERE = frozenset({"ResourceNotFoundException", "InvalidRequestException"})
_TRUE = frozenset({"true", "1", "y", "yes"})


class SecretsManager(Protocol):
    """The part of boto3's client that is used. Requests and replies are boto3's dicts, hence ``Any``."""

    def describe_secret(self, **request: object) -> Mapping[str, Any]:
        """Return names, labels and whether rotation is enabled."""
        ...

    def get_secret_value(self, **request: object) -> Mapping[str, Any]:
        """Return one version's value."""
        ...

    def put_secret_value(self, **request: object) -> Mapping[str, Any]:
        """Store one version's value."""
        ...

    def update_secret_version_stage(self, **request: object) -> Mapping[str, Any]:
        """Move a staging label."""
        ...

    def get_random_password(self, **request: object) -> Mapping[str, Any]:
        """Make a password."""
        ...


class NotPending(ValueError):
    """The version that is to be rotated to has no value labelled AWSPENDING."""

    def __init__(self, arn: str, token: str) -> None:
        super().__init__(f"Secret version {token} has no value labelled AWSPENDING for rotation of secret {arn}.")


@functools.cache
def client() -> SecretsManager:
    """Return the client of this execution environment, made once: building one costs more than a step.

    The endpoint is SECRETS_MANAGER_ENDPOINT, else what boto3 finds. Attempts and time limits are chosen so that an
    endpoint which does not answer is reported before a function's usual timeout of 30 seconds cuts the report off.
    """
    # At DEBUG botocore writes whole requests and replies, hence passwords, whatever level the function's log has.
    logging.getLogger("botocore").setLevel(logging.INFO)
    limits = Config(connect_timeout=4, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 3})
    made = boto3.client("secretsmanager", endpoint_url=os.environ.get("SECRETS_MANAGER_ENDPOINT"), config=limits)
    return cast("SecretsManager", made)


@dataclass(frozen=True, slots=True)
class RotatingSecret:
    """One secret and the version that is to become its current one."""

    client: SecretsManager
    arn: str
    token: str

    def labels(self) -> dict[str, list[str]]:
        """Return the staging labels by version id.

        Raises:
            ValueError: Rotation is not enabled.
        """
        reply = self.client.describe_secret(SecretId=self.arn)
        if not reply.get("RotationEnabled"):
            raise ValueError(f"Secret {self.arn} is not enabled for rotation")
        return {version_id: list(labels) for version_id, labels in reply["VersionIdsToStages"].items()}

    def confirm_pending(self) -> dict[str, list[str]]:
        """Return the staging labels by version id, if the new version is still the one that is to be set.

        Raises:
            ValueError: Another rotation has passed this one, or rotation was cancelled.
        """
        labels = self.labels()
        if "AWSPENDING" not in labels.get(self.token, []):
            raise ValueError(f"Secret version {self.token} not set as AWSPENDING for rotation of secret {self.arn}.")
        return labels

    def current(self) -> dict[str, object]:
        """Return the value labelled AWSCURRENT."""
        return self._value(VersionStage="AWSCURRENT")

    def pending(self) -> dict[str, object]:
        """Return the value of the new version.

        Raises:
            NotPending: It has none, is not labelled AWSPENDING, or is current already.
        """
        try:
            reply = self.client.get_secret_value(SecretId=self.arn, VersionId=self.token, VersionStage="AWSPENDING")
        except ClientError as error:
            if _code(error) in _NOT_THERE:
                raise NotPending(self.arn, self.token) from error
            raise
        if "AWSCURRENT" in reply["VersionStages"]:
            raise NotPending(self.arn, self.token)
        return _parsed(self.arn, reply)

    def previous(self) -> dict[str, object] | None:
        """Return the value labelled AWSPREVIOUS, or None if there is none."""
        try:
            return self._value(VersionStage="AWSPREVIOUS")
        except ClientError as error:
            if _code(error) == "ResourceNotFoundException":
                return None
            raise

    def labelled_values(self) -> dict[str, tuple[str, dict[str, object]]]:
        """Return version id and value by staging label, of the pending, the current and the previous version.

        A version is listed once, one without a value not at all; a value that is no JSON object is an empty one.
        """
        found: dict[str, tuple[str, dict[str, object]]] = {}
        for label in ("AWSPENDING", "AWSCURRENT", "AWSPREVIOUS"):
            try:
                reply = self.client.get_secret_value(SecretId=self.arn, VersionStage=label)
            except ClientError as error:
                if _code(error) != "ResourceNotFoundException":
                    raise
                continue
            try:
                value = _parsed(self.arn, reply)
            except (KeyError, ValueError):
                value = {}
            # AWSPENDING stays on a version that has become current.
            found = {other: held for other, held in found.items() if held[0] != reply["VersionId"]}
            found[label] = (reply["VersionId"], value)
        return found

    def lost(self, version_id: str) -> dict[str, object]:
        """Return the value of a version that has no label any more; an empty one if it may not be read or used.

        Raises:
            ClientError: It could not be read just now.
        """
        try:
            return self._value(VersionId=version_id)
        except ClientError as error:
            if _code(error) not in {*_NOT_THERE, "AccessDeniedException"}:
                raise
            logger.warning("Version %s of secret %s cannot be read: %s", version_id, self.arn, _code(error))
        except (KeyError, ValueError):
            pass
        return {}

    def superuser(self, arn: str) -> dict[str, object]:
        """Return the current value of the superuser secret, which ``masterarn`` of this one names."""
        return _value(self.client, arn, VersionStage="AWSCURRENT")

    def put_pending(self, value: Mapping[str, object]) -> bool:
        """Store the new version's value; False if it has one, from another attempt of the same rotation.

        A version's value cannot be replaced, so whichever attempt stores first decides the password for all of them.
        """
        try:
            self.client.put_secret_value(
                SecretId=self.arn,
                ClientRequestToken=self.token,
                SecretString=json.dumps(value),
                VersionStages=["AWSPENDING"],
            )
        except ClientError as error:
            if _code(error) == "ResourceExistsException":
                return False
            raise
        return True

    def make_current(self, labels: Mapping[str, list[str]]) -> None:
        """Move AWSCURRENT to the new version, away from the one that has it by these labels; from no other."""
        current_version_id = next((version_id for version_id in labels if "AWSCURRENT" in labels[version_id]), None)
        remove_from = {"RemoveFromVersionId": current_version_id} if current_version_id else {}
        self.client.update_secret_version_stage(
            SecretId=self.arn, VersionStage="AWSCURRENT", MoveToVersionId=self.token, **remove_from
        )

    def random_password(self, exclude_characters: str, length: int) -> str:
        """Return a new password by the rules in the function's environment.

        Source: AWS Secrets Manager User Guide, "Lambda rotation functions by AWS" (names and defaults of the
        variables).

        Args:
            exclude_characters: The engine's default of EXCLUDE_CHARACTERS.
            length: The engine's default of PASSWORD_LENGTH.
        """
        reply = self.client.get_random_password(
            ExcludeCharacters=os.environ.get("EXCLUDE_CHARACTERS", exclude_characters),
            PasswordLength=int(os.environ.get("PASSWORD_LENGTH", length)),
            ExcludeNumbers=_switch("EXCLUDE_NUMBERS", default="false"),
            ExcludePunctuation=_switch("EXCLUDE_PUNCTUATION", default="false"),
            ExcludeUppercase=_switch("EXCLUDE_UPPERCASE", default="false"),
            ExcludeLowercase=_switch("EXCLUDE_LOWERCASE", default="false"),
            RequireEachIncludedType=_switch("REQUIRE_EACH_INCLUDED_TYPE", default="true"),
        )
        return str(reply["RandomPassword"])

    def _value(self, **version: str) -> dict[str, object]:
        return _value(self.client, self.arn, **version)


def _value(client: SecretsManager, arn: str, **version: str) -> dict[str, object]:
    return _parsed(arn, client.get_secret_value(SecretId=arn, **version))


def _parsed(arn: str, reply: Mapping[str, Any]) -> dict[str, object]:
    if "SecretString" not in reply:
        raise KeyError("SecretString is missing: store the credentials as a JSON object, not in SecretBinary")
    try:
        value = json.loads(reply["SecretString"])
    except ValueError:
        value = None
    if not isinstance(value, dict):
        # Outside the handler above, because a JSON error holds the whole text it failed on.
        raise ValueError(f"Invalid secret value JSON for secret {arn}: it must be a JSON object")  # noqa: TRY004 - what readers of AWS's functions look for
    return value


def _switch(name: str, *, default: str) -> bool:
    return os.environ.get(name, default).strip().lower() in _TRUE


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
