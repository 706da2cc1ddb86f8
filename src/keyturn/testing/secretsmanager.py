"""A Secrets Manager in memory, as far as one rotation function sees it: boto3's calls, boto3's errors.

It holds the secret that rotates, and others to read, as the superuser secret of alternating users.
"""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:app/database-AbCdEf"
FIRST_VERSION_ID = "00000000-0000-4000-8000-000000000001"


@dataclass(slots=True)
class FakeVersion:
    """One version; without a value while it is only labelled."""

    labels: set[str]
    value: str | None = field(default=None, repr=False)


class FakeSecretsManager:
    """Stands in for boto3's client in tests of rotation functions.

    Args:
        value: The current version's JSON; a string is stored as it is.
        interrupt: Called with a name before and after every effect. It may raise, as if the function had been killed.
    """

    def __init__(self, value: Mapping[str, object] | str, interrupt: Callable[[str], None] = lambda _: None) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        self.versions = {FIRST_VERSION_ID: FakeVersion({"AWSCURRENT"}, text)}
        # Current values of other secrets, by ARN.
        self.others: dict[str, Mapping[str, object] | str] = {}
        self.rotation_enabled = True
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.interrupt = interrupt

    def begin_rotation(self, token: str) -> None:
        """Label an empty version AWSPENDING, as the service does before it invokes the function."""
        self.versions[token] = FakeVersion({"AWSPENDING"})

    def labelled(self, label: str) -> FakeVersion | None:
        """Return the version with this staging label."""
        return next((version for version in self.versions.values() if label in version.labels), None)

    def value(self, label: str) -> dict[str, Any]:
        """Return the value with this staging label, parsed."""
        version = self.labelled(label)
        if version is None or version.value is None:
            raise LookupError(f"No value is labelled {label}.")
        return dict(json.loads(version.value))

    def passwords(self) -> list[str]:
        """Return the password of every stored value."""
        return [json.loads(version.value)["password"] for version in self.versions.values() if version.value]

    def describe_secret(self, **request: object) -> dict[str, Any]:
        """DescribeSecret."""
        self._called("describe_secret", request)
        return {
            "ARN": ARN,
            "RotationEnabled": self.rotation_enabled,
            "VersionIdsToStages": {name: sorted(version.labels) for name, version in self.versions.items()},
        }

    def get_secret_value(self, **request: object) -> dict[str, Any]:
        """GetSecretValue."""
        if request.get("SecretId") in self.others:
            self.calls.append(("get_secret_value", dict(request)))
            value = self.others[str(request["SecretId"])]
            return {"SecretString": value if isinstance(value, str) else json.dumps(value)}
        self._called("get_secret_value", request)
        label = str(request.get("VersionStage", "" if "VersionId" in request else "AWSCURRENT"))
        for name, version in self.versions.items():
            wanted = request.get("VersionId", name) == name and (not label or label in version.labels)
            if wanted and version.value is not None:
                return {
                    "ARN": ARN,
                    "VersionId": name,
                    "SecretString": version.value,
                    "VersionStages": sorted(version.labels),
                }
        raise _error(
            "GetSecretValue",
            "ResourceNotFoundException",
            f"Secrets Manager can't find the specified secret value for staging label: {label}",
        )

    def put_secret_value(self, **request: Any) -> dict[str, Any]:
        """PutSecretValue; a version that has a value keeps it."""
        self._called("put_secret_value", request)
        version = self.versions.setdefault(request["ClientRequestToken"], FakeVersion(set()))
        if version.value not in {None, request["SecretString"]}:
            raise _error(
                "PutSecretValue",
                "ResourceExistsException",
                "A resource with the ID you requested already exists.",
            )
        self.interrupt("before put_secret_value")
        version.value = request["SecretString"]
        for label in request["VersionStages"]:
            self._move(label, request["ClientRequestToken"])
        self.interrupt("after put_secret_value")
        return {"ARN": ARN}

    def update_secret_version_stage(self, **request: Any) -> dict[str, Any]:
        """UpdateSecretVersionStage; moving AWSCURRENT leaves AWSPREVIOUS behind."""
        self._called("update_secret_version_stage", request)
        label, target = request["VersionStage"], request["MoveToVersionId"]
        holder = next((name for name, version in self.versions.items() if label in version.labels), None)
        if holder != request.get("RemoveFromVersionId"):
            raise _error(
                "UpdateSecretVersionStage",
                "InvalidParameterException",
                f"The parameter RemoveFromVersionId can't be empty. Staging label {label} is currently attached to"
                f" version {holder}, so you must explicitly reference that version in RemoveFromVersionId.",
            )
        self.interrupt("before update_secret_version_stage")
        if label == "AWSCURRENT" and holder:
            self._move("AWSPREVIOUS", holder)
        self._move(label, target)
        self.interrupt("after update_secret_version_stage")
        return {"ARN": ARN}

    def get_random_password(self, **request: Any) -> dict[str, Any]:
        """GetRandomPassword; of the parameters only length and excluded characters count here."""
        self._called("get_random_password", request)
        printable = string.ascii_letters + string.digits + string.punctuation
        allowed = [character for character in printable if character not in request["ExcludeCharacters"]]
        return {"RandomPassword": "".join(secrets.choice(allowed) for _ in range(request["PasswordLength"]))}

    def _called(self, name: str, request: Mapping[str, Any]) -> None:
        self.calls.append((name, dict(request)))
        if request.get("SecretId", ARN) != ARN:
            raise _error(name, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")

    def _move(self, label: str, version_id: str) -> None:
        for version in self.versions.values():
            version.labels.discard(label)
        self.versions[version_id].labels.add(label)


def _error(operation: str, code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)
