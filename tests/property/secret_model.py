"""One secret as AWS documents and recordings describe it, written down as plainly as possible.

It is the other opinion that the server is compared with, so it shares nothing with ``keyturn.rules``: versions carry
sets of labels here, every call works on a copy of the state, and speed is of no concern. Each rule stands beside the
sentence it was made from. What only a clock can tell (dates) is compared if the model is given the server's.

Source: Secrets Manager API Reference and User Guide ("What's in a secret", "Lambda rotation functions"); replies
recorded by localstack (2022 to 2025) and moto (tests marked aws_verified). Texts that nobody has recorded are listed in
``docs/compatibility.md``.
"""

# ruff: noqa: N802, N803 - operations and members keep AWS's spelling

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from keyturn.clock import Clock

MISSING = ("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
DEAD = (
    "InvalidRequestException",
    "You can't perform this operation on the secret because it was marked for deletion.",
)
KEPT_VERSIONS = 100
LABELS = 20


class Refused(Exception):
    """The server says no, with a code and a text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)


@dataclass
class Version:
    """A version: a value, unless a rotation has yet to bring it, and the labels it carries."""

    value: str | bytes | None
    created_at: datetime | None
    labels: set[str] = field(default_factory=set)


@dataclass
class Secret:
    """Everything a server remembers of a secret that exists."""

    arn: str = ""
    created_at: datetime | None = None
    changed_at: datetime | None = None
    versions: dict[str, Version] = field(default_factory=dict)
    # The token of a CreateSecret that brought no value.
    empty_token: str | None = None
    description: str = ""
    is_dead: bool = False
    rotation_enabled: bool | None = None
    rotation_tokens: set[str] = field(default_factory=set)
    rotating: str | None = None
    rotated_at: datetime | None = None

    def holder(self, label: str) -> str | None:
        """The version that carries a label."""
        holders = [version_id for version_id, version in self.versions.items() if label in version.labels]
        assert len(holders) < 2, label
        return holders[0] if holders else None

    def attach(self, label: str, version_id: str) -> None:
        """Put a label on a version; "a staging label can be attached to only one version of a secret at a time"."""
        self.detach(label)
        self.versions[version_id].labels.add(label)

    def detach(self, label: str) -> None:
        """Take a label off whatever carries it."""
        for version in self.versions.values():
            version.labels.discard(label)

    def make_current(self, version_id: str) -> None:
        """Move AWSCURRENT; AWSPREVIOUS moves "to the version that it was removed from", automatically."""
        before = self.holder("AWSCURRENT")
        self.attach("AWSCURRENT", version_id)
        if before not in (None, version_id):
            assert before is not None
            self.attach("AWSPREVIOUS", before)
            # Recorded: the version that was [AWSCURRENT, AWSPENDING] ends as [AWSPREVIOUS].
            self.versions[before].labels.discard("AWSPENDING")

    @property
    def labels(self) -> set[str]:
        """All labels on all versions."""
        return {label for version in self.versions.values() for label in version.labels}


class SecretModel:
    """A server with room for one secret.

    Args:
        name: The secret's.
        clock: The server's, if it is known.
    """

    def __init__(self, name: str, clock: Clock | None = None) -> None:
        self.name = name
        self.clock = clock
        self.secret: Secret | None = None
        self._before: Secret | None = None

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a call; one that is refused changes nothing.

        Raises:
            Refused: It cannot be done.
        """
        act = getattr(self, f"_{operation}")
        if operation.startswith(("Describe", "Get", "List")):
            answer: dict[str, Any] = act(**request)
            return answer
        self._before = before = copy.deepcopy(self.secret)
        try:
            answer = act(**request)
        except Refused:
            self.secret = before
            raise
        return answer

    def name_arn(self, arn: str) -> None:
        """Say which ARN a new secret got."""
        assert self.secret is not None
        self.secret.arn = arn

    @property
    def known(self) -> set[str]:
        """Version ids that exist."""
        return set(self.secret.versions) if self.secret else set()

    def _now(self) -> datetime | None:
        return self.clock.now() if self.clock else None

    def _existing(self, SecretId: str, *, alive: bool = True) -> Secret:
        assert SecretId == self.name
        if self.secret is None:
            raise Refused(*MISSING)
        if alive and self.secret.is_dead:
            raise Refused(*DEAD)
        return self.secret

    def _named(self, **members: Any) -> dict[str, Any]:
        assert self.secret is not None
        return {"ARN": self.secret.arn, "Name": self.name, **members}

    def _taken(self, token: str) -> Refused:
        assert self.secret is not None
        return Refused(
            "ResourceExistsException",
            f"You can't use ClientRequestToken {token} because that value is already in use for a version of secret"
            f" {self.secret.arn}.",
        )

    def _CreateSecret(self, Name: str, ClientRequestToken: str, **value: Any) -> dict[str, Any]:
        wanted = _value(value)
        if self.secret is None:
            self.secret = Secret(created_at=self._now(), changed_at=self._now())
            if wanted is None:
                self.secret.empty_token = ClientRequestToken
                return self._named()
            self._store(self.secret, ClientRequestToken, wanted, {"AWSCURRENT"})
            return self._named(VersionId=ClientRequestToken)
        if self.secret.is_dead:
            raise Refused(
                "InvalidRequestException",
                "You can't create this secret because a secret with this name is already scheduled for deletion.",
            )
        # "If a version with this value already exists and the version SecretString and SecretBinary values are the
        # same as those in the request, then the request is ignored."
        version = self.secret.versions.get(ClientRequestToken)
        if version is not None and version.value is not None:
            if version.value == wanted:
                return self._named(VersionId=ClientRequestToken)
            raise self._taken(ClientRequestToken)
        if version is None and wanted is None and ClientRequestToken == self.secret.empty_token:
            return self._named()
        raise Refused("ResourceExistsException", f"The operation failed because the secret {self.name} already exists.")

    def _PutSecretValue(
        self,
        SecretId: str,
        ClientRequestToken: str,
        VersionStages: list[str] | None = None,
        **value: Any,
    ) -> dict[str, Any]:
        secret = self._existing(SecretId)
        wanted = _value(value)
        assert wanted is not None
        if not self._was_stored(secret, ClientRequestToken, wanted):
            # "If you don't include VersionStages, then Secrets Manager automatically moves AWSCURRENT to this version."
            self._store(secret, ClientRequestToken, wanted, set(VersionStages or ["AWSCURRENT"]))
        labels = sorted(secret.versions[ClientRequestToken].labels)
        return self._named(VersionId=ClientRequestToken, **({"VersionStages": labels} if labels else {}))

    def _UpdateSecret(self, SecretId: str, ClientRequestToken: str, **rest: Any) -> dict[str, Any]:
        secret = self._existing(SecretId)
        wanted = _value(rest)
        if "Description" in rest:
            secret.description, secret.changed_at = rest["Description"], self._now()
        if wanted is None:
            return self._named()
        if not self._was_stored(secret, ClientRequestToken, wanted):
            self._store(secret, ClientRequestToken, wanted, {"AWSCURRENT"})
        return self._named(VersionId=ClientRequestToken)

    def _was_stored(self, secret: Secret, token: str, value: str | bytes) -> bool:
        version = secret.versions.get(token)
        if version is None or version.value is None:
            return False
        if version.value != value:
            raise self._taken(token)
        return True

    def _store(self, secret: Secret, token: str, value: str | bytes, stages: set[str]) -> None:
        before = secret.labels
        # Recorded: the first value of a secret is current, whatever it was put as.
        if "AWSCURRENT" not in before:
            stages = stages | {"AWSCURRENT"}
        # A new current value ends an unfinished rotation: AWSPENDING is dropped.
        if "AWSCURRENT" in stages:
            secret.detach("AWSPENDING")
        old = secret.versions.get(token)
        secret.versions[token] = Version(value, self._now(), old.labels if old else set())
        if token == secret.empty_token:
            secret.empty_token = None
        for stage in stages - {"AWSCURRENT"}:
            secret.attach(stage, token)
        if "AWSCURRENT" in stages:
            secret.make_current(token)
            # Somebody has made the rotation's version current with a value of their own: nothing is rotated to.
            if secret.rotating == token:
                secret.rotating = None
        self._settle(secret, before, stages)
        self._clean_up(secret)
        secret.changed_at = self._now()

    def _settle(self, secret: Secret, before: set[str], asked: set[str]) -> None:
        """What holds after every change of labels."""
        # "20 staging labels across all versions of a secret"; what the service attaches by itself is not refused.
        if len(secret.labels) > LABELS and asked - before:
            raise Refused("LimitExceededException", f"A secret can't have more than {LABELS} staging labels.")
        # A version that never got a value goes when nothing points to it any more.
        for version_id, version in list(secret.versions.items()):
            if version.value is None and not version.labels:
                del secret.versions[version_id]
        # A rotation is over when its version is not pending, unless it has just become current and nothing else waits.
        pending, current = secret.holder("AWSPENDING"), secret.holder("AWSCURRENT")
        if secret.rotating not in (None, pending) and (current, pending) != (secret.rotating, None):
            if self._before is not None and self._before.holder("AWSCURRENT") == secret.rotating:
                secret.rotated_at = self._now()
            secret.rotating = None

    def _clean_up(self, secret: Secret) -> None:
        # "Secrets Manager removes deprecated versions when there are more than 100. It does not remove versions created
        # less than 24 hours ago."
        now = self._now()
        if now is None:
            assert len(secret.versions) <= KEPT_VERSIONS
            return
        deprecated = sorted(
            (version.created_at, version_id)
            for version_id, version in secret.versions.items()
            if not version.labels and version.created_at is not None
        )
        for created_at, version_id in deprecated:
            if len(secret.versions) > KEPT_VERSIONS and now - created_at >= timedelta(hours=24):
                del secret.versions[version_id]

    def _UpdateSecretVersionStage(
        self,
        SecretId: str,
        VersionStage: str,
        MoveToVersionId: str | None = None,
        RemoveFromVersionId: str | None = None,
    ) -> dict[str, Any]:
        secret = self._existing(SecretId)
        holder = secret.holder(VersionStage)
        if MoveToVersionId is None and RemoveFromVersionId is None:
            raise Refused(
                "InvalidParameterException", "You must provide MoveToVersionId, RemoveFromVersionId, or both."
            )
        for version_id in (MoveToVersionId, RemoveFromVersionId):
            if version_id is not None and version_id not in secret.versions:
                raise _no_version(version_id)
        if RemoveFromVersionId not in (None, holder):
            raise Refused(
                "InvalidParameterException",
                f"When you move staging label {VersionStage}, if you specify RemoveFromVersionId, it must be set to the"
                f" version that currently has the staging label {VersionStage}.",
            )
        if MoveToVersionId is None and VersionStage == "AWSCURRENT":
            raise Refused(
                "InvalidParameterException",
                "You can only move staging label AWSCURRENT to a different secret version. It can’t be completely"
                " removed.",
            )
        if MoveToVersionId is not None and holder == MoveToVersionId:
            return self._named()
        if MoveToVersionId is not None and holder is not None and RemoveFromVersionId is None:
            raise Refused(
                "InvalidParameterException",
                f"The parameter RemoveFromVersionId can't be empty. Staging label {VersionStage} is currently attached"
                f" to version {holder}, so you must explicitly reference that version in RemoveFromVersionId.",
            )
        before = secret.labels
        if MoveToVersionId is None:
            secret.detach(VersionStage)
        elif VersionStage != "AWSCURRENT":
            secret.attach(VersionStage, MoveToVersionId)
        elif secret.versions[MoveToVersionId].value is None:
            # Ours: applications would find nothing to read.
            raise _no_version(MoveToVersionId)
        else:
            secret.make_current(MoveToVersionId)
        self._settle(secret, before, {VersionStage})
        secret.changed_at = self._now()
        return self._named()

    def _RotateSecret(self, SecretId: str, ClientRequestToken: str, **_: Any) -> dict[str, Any]:
        secret = self._existing(SecretId)
        if ClientRequestToken in secret.rotation_tokens:
            return self._named(VersionId=ClientRequestToken)
        if ClientRequestToken in secret.versions or ClientRequestToken == secret.empty_token:
            raise Refused("InvalidRequestException", self._taken(ClientRequestToken).args[1])
        # "If the AWSPENDING staging label is present but not attached to the same version as AWSCURRENT, then any
        # later invocation of RotateSecret assumes that a previous rotation request is still in progress and returns an
        # error."
        pending = secret.holder("AWSPENDING")
        if pending is not None and pending != secret.holder("AWSCURRENT"):
            if secret.rotation_enabled and secret.rotating is None:
                # The promise is kept: whatever left this version pending, a rotation takes it up.
                secret.rotation_tokens.add(pending)
                secret.rotating = pending
            raise Refused(
                "InvalidRequestException",
                "A previous rotation isn't complete. That rotation will be reattempted.",
            )
        # Before createSecret an empty version, whose id is the token, is labelled AWSPENDING.
        secret.versions[ClientRequestToken] = Version(None, self._now())
        before = secret.labels
        secret.attach("AWSPENDING", ClientRequestToken)
        self._settle(secret, before, set())
        secret.rotation_tokens.add(ClientRequestToken)
        secret.rotation_enabled = True
        secret.rotating = ClientRequestToken
        return self._named(VersionId=ClientRequestToken)

    def _CancelRotateSecret(self, SecretId: str) -> dict[str, Any]:
        secret = self._existing(SecretId)
        if secret.rotation_enabled is None:
            raise Refused(
                "InvalidRequestException", "You can't cancel rotation for a secret that has no rotation configured."
            )
        # "If you cancel a rotation in progress, it can leave the AWSPENDING label on a version."
        secret.rotation_enabled, rotating = False, secret.rotating
        secret.rotating = None
        return self._named(**({"VersionId": rotating} if rotating else {}))

    def _DeleteSecret(self, SecretId: str, ForceDeleteWithoutRecovery: bool = False) -> dict[str, Any]:
        secret = self._existing(SecretId, alive=not ForceDeleteWithoutRecovery)
        answer = self._named()
        secret.is_dead, secret.changed_at = True, self._now()
        # The rotation under way is abandoned, its version stays pending.
        secret.rotating = None
        if ForceDeleteWithoutRecovery:
            self.secret = None
        return answer

    def _RestoreSecret(self, SecretId: str) -> dict[str, Any]:
        self._existing(SecretId, alive=False).is_dead = False
        return self._named()

    def _DescribeSecret(self, SecretId: str) -> dict[str, Any]:
        secret = self._existing(SecretId, alive=False)
        labelled = {name: sorted(version.labels) for name, version in secret.versions.items() if version.labels}
        members: dict[str, Any] = {
            "VersionIdsToStages": labelled or None,
            "Description": secret.description or None,
            # Recorded: what is marked for deletion does not rotate. Ours: restored, it rotates as before.
            "RotationEnabled": False if secret.is_dead and secret.rotation_enabled else secret.rotation_enabled,
            "CreatedDate": secret.created_at,
            "LastChangedDate": secret.changed_at,
            "LastRotatedDate": secret.rotated_at,
        }
        return self._named(**{name: value for name, value in members.items() if value is not None})

    def _ListSecretVersionIds(self, SecretId: str, IncludeDeprecated: bool = False) -> dict[str, Any]:
        secret = self._existing(SecretId, alive=False)
        shown = [
            {
                "VersionId": version_id,
                **({"VersionStages": sorted(version.labels)} if version.labels else {}),
                **({"CreatedDate": version.created_at} if version.created_at else {}),
            }
            for version_id, version in sorted(secret.versions.items())
            # "Versions that don't have any staging labels attached … are considered deprecated"; those without a value
            # are not listed at all.
            if version.value is not None and (version.labels or IncludeDeprecated)
        ]
        return self._named(Versions=shown)

    def _GetSecretValue(
        self,
        SecretId: str,
        VersionId: str | None = None,
        VersionStage: str | None = None,
    ) -> dict[str, Any]:
        secret = self._existing(SecretId)
        if VersionId is not None and VersionStage is not None and secret.holder(VersionStage) != VersionId:
            raise Refused(
                "InvalidRequestException",
                "You provided a VersionStage that is not associated to the provided VersionId.",
            )
        version_id = VersionId or secret.holder(VersionStage or "AWSCURRENT")
        version = secret.versions.get(version_id or "")
        if version is None or version.value is None:
            if VersionId is not None:
                raise _no_version(VersionId)
            raise Refused(
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret value for staging label:"
                f" {VersionStage or 'AWSCURRENT'}",
            )
        member = "SecretString" if isinstance(version.value, str) else "SecretBinary"
        members: dict[str, Any] = {"VersionId": version_id, member: version.value}
        if version.labels:
            members["VersionStages"] = sorted(version.labels)
        if version.created_at is not None:
            members["CreatedDate"] = version.created_at
        return self._named(**members)


def _value(members: Mapping[str, Any]) -> str | bytes | None:
    value: str | bytes | None = members.get("SecretString", members.get("SecretBinary"))
    return value


def _no_version(version_id: str) -> Refused:
    return Refused(
        "ResourceNotFoundException",
        f"Secrets Manager can't find the specified secret value for VersionId: {version_id}",
    )
