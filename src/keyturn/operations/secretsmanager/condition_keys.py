"""The condition keys of a secret and of a request about it, found out when a condition asks: most policies have none.

What a request does not say has no key, so that a positive condition fails: ``secretsmanager:VersionStage`` is not
filled with AWSCURRENT. The keys of tags disregard case, as all names of keys do.

Source: Service Authorization Reference, "Condition keys for AWS Secrets Manager"; Secrets Manager User Guide,
"Permissions reference" (2021), for what is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from keyturn.operations.subject import NO_KEYS
from keyturn.storage.secrets import SecretRecord

_RESOURCE_TAGS = ("aws:resourcetag/", "secretsmanager:resourcetag/")
_REQUEST_TAG = "aws:requesttag/"
_TAG_KEYS = "aws:tagkeys"


class SecretKeys:
    """The keys of one call.

    Args:
        request: Of the call.
        record: The secret; None if there is none (yet).
        also: Keys that say more than request and secret do; they come first.
    """

    __slots__ = ("_also", "_record", "_request")

    def __init__(
        self,
        request: Mapping[str, Any],
        record: SecretRecord | None = None,
        also: Mapping[str, tuple[str, ...]] = NO_KEYS,
    ) -> None:
        self._request = request
        self._record = record
        self._also = also

    def get(self, name: str, /) -> tuple[str, ...] | None:
        """Return the values of a condition key, given in lower case; None if the key is absent."""
        if name in self._also:
            return self._also[name]
        if name in _OF_REQUEST:
            member, values_of = _OF_REQUEST[name]
            return values_of(self._request[member]) if member in self._request else None
        if name.startswith((_REQUEST_TAG, _TAG_KEYS)):
            return self._of_request_tags(name)
        return None if self._record is None else _of_secret(self._record, name)

    def _of_request_tags(self, name: str) -> tuple[str, ...] | None:
        tags = _tags_of(self._request)
        if name == _TAG_KEYS:
            return (*tags, *self._request.get("TagKeys", ())) or None
        return _tag(tags, name.removeprefix(_REQUEST_TAG))


def keys_of_new_secret(request: Mapping[str, Any], also: Mapping[str, tuple[str, ...]] = NO_KEYS) -> SecretKeys:
    """Return the keys of CreateSecret: whoever may use secrets by their tags may make those that have them.

    Args:
        request: Of the call.
        also: Keys that say more than the request does.

    Source: IAM User Guide, "Define permissions to access AWS resources based on tags", which tries it.
    """
    tags = _tags_of(request).items()
    of_tags = {f"{of}{key.lower()}": (value,) for key, value in tags for of in _RESOURCE_TAGS}
    return SecretKeys(request, also={**of_tags, **also})


def _tags_of(request: Mapping[str, Any]) -> dict[str, str]:
    return {tag.get("Key", ""): tag.get("Value", "") for tag in request.get("Tags", ())}


def _of_secret(record: SecretRecord, name: str) -> tuple[str, ...] | None:
    for prefix in _RESOURCE_TAGS:
        if name.startswith(prefix):
            return _tag(record.tags or {}, name.removeprefix(prefix))
    read = _OF_SECRET.get(name)
    value = None if read is None else read(record)
    return None if value is None else (value,)


def _tag(tags: Mapping[str, str], wanted: str) -> tuple[str, ...] | None:
    value = {key.lower(): value for key, value in tags.items()}.get(wanted)
    return None if value is None else (value,)


def _text(value: object) -> tuple[str, ...]:
    return (str(value),)


def _truth(value: object) -> tuple[str, ...]:
    return (str(value).lower(),)


def _regions(replicas: list[dict[str, str]]) -> tuple[str, ...]:
    return tuple(replica["Region"] for replica in replicas if "Region" in replica)


def _key_arn(key_id: str) -> tuple[str, ...]:
    # Ids and aliases say no ARN of a key.
    return (key_id,) if key_id.startswith("arn:") and ":key/" in key_id else ()


# Name in lower case to the member of the request that it filters by, and how its value reads.
_OF_REQUEST: dict[str, tuple[str, Callable[[Any], tuple[str, ...]]]] = {
    "secretsmanager:addreplicaregions": ("AddReplicaRegions", _regions),
    "secretsmanager:blockpublicpolicy": ("BlockPublicPolicy", _truth),
    "secretsmanager:description": ("Description", _text),
    "secretsmanager:externalsecretrotationrolearn": ("ExternalSecretRotationRoleArn", _text),
    "secretsmanager:forcedeletewithoutrecovery": ("ForceDeleteWithoutRecovery", _truth),
    "secretsmanager:forceoverwritereplicasecret": ("ForceOverwriteReplicaSecret", _truth),
    "secretsmanager:kmskeyarn": ("KmsKeyId", _key_arn),
    "secretsmanager:kmskeyid": ("KmsKeyId", _text),
    "secretsmanager:name": ("Name", _text),
    "secretsmanager:policyname": ("PolicyName", _text),
    "secretsmanager:recoverywindowindays": ("RecoveryWindowInDays", _text),
    "secretsmanager:rotationlambdaarn": ("RotationLambdaARN", _text),
    "secretsmanager:type": ("Type", _text),
    "secretsmanager:versionid": ("VersionId", _text),
    "secretsmanager:versionstage": ("VersionStage", _text),
}
_OF_SECRET: dict[str, Callable[[SecretRecord], str | None]] = {
    "secretsmanager:resource/allowrotationlambdaarn": lambda record: record.rotation_function_arn,
    "secretsmanager:resource/type": lambda record: record.type,
    "secretsmanager:secretid": lambda record: record.arn,
    "secretsmanager:secretprimaryregion": lambda record: record.primary_region,
}
