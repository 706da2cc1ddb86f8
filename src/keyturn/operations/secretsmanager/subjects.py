"""From a SecretId to a secret: the loaders of this service.

Order of checks recorded by localstack (test_no_client_request_token): a missing ClientRequestToken is told of a secret
that does not exist, so before it is looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyturn.call import Call
from keyturn.errors.secretsmanager import ResourceNotFoundException
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject
from keyturn.rules.names import check_name, secret_reference
from keyturn.rules.versions import no_token
from keyturn.storage import secrets
from keyturn.storage.secrets import SecretRecord

_ANY_SUFFIX = "??????"


def secret(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[SecretRecord]:
    """Load the secret that SecretId names, scheduled for deletion or not."""
    asked: str = request["SecretId"]
    try:
        reference = secret_reference(asked, call.place)
    except ResourceNotFoundException as missing:
        return Subject(arn=asked, asked=asked, record=None, missing=missing)
    arn: str | None = reference.arn
    if not reference.is_full:
        place, name = reference.place, reference.name
        arn = kit.kept.get(
            secrets.SECRET_NAME, reference.arn, lambda connection: secrets.arn_of_name(connection, place, name)
        )
    record = None if arn is None else find_secret(kit, arn)
    if record is None:
        absent = arn or f"{reference.arn}-{_ANY_SUFFIX}"
        return Subject(arn=absent, asked=asked, record=None, missing=ResourceNotFoundException())
    return Subject(
        arn=record.arn,
        asked=asked,
        record=record,
        policy=record.resource_policy,
        keys=_condition_keys(record, request),
    )


def secret_to_write(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[SecretRecord]:
    """Load the secret that a value is for; that the request has no token is told before that the secret is missing."""
    found = secret(kit, call, request)
    brings_value = "SecretString" in request or "SecretBinary" in request
    if found.missing is not None and brings_value and not request.get("ClientRequestToken"):
        return found._replace(missing=no_token())
    return found


def find_secret(kit: Kit, arn: str) -> SecretRecord | None:
    """Return the secret with this ARN, from memory if it is kept."""
    return kit.kept.get(secrets.SECRET, arn, lambda connection: secrets.load_secret(connection, arn))


def new_secret(_kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[str]:
    """Check the name of a secret to be; its ARN's suffix is not known yet."""
    name = check_name(request["Name"])
    keys = {"secretsmanager:name": (name,), **_described(request), **_request_tags(request)}
    return Subject(arn=call.place.secret_arn(name, _ANY_SUFFIX), asked=name, record=name, keys=keys)


def _condition_keys(record: SecretRecord, request: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Condition keys (Service Authorization Reference, AWS Secrets Manager); a member that was not sent has none."""
    keys: dict[str, tuple[str, ...]] = {"secretsmanager:secretid": (record.arn,)}
    if "VersionId" in request:
        keys["secretsmanager:versionid"] = (request["VersionId"],)
    if "VersionStage" in request:
        keys["secretsmanager:versionstage"] = (request["VersionStage"],)
    if "RotationLambdaARN" in request:
        keys["secretsmanager:rotationlambdaarn"] = (request["RotationLambdaARN"],)
    if "ForceDeleteWithoutRecovery" in request:
        keys["secretsmanager:forcedeletewithoutrecovery"] = (str(request["ForceDeleteWithoutRecovery"]).lower(),)
    if "RecoveryWindowInDays" in request:
        keys["secretsmanager:recoverywindowindays"] = (str(request["RecoveryWindowInDays"]),)
    keys.update(_described(request))
    if record.rotation_function_arn:
        keys["secretsmanager:resource/allowrotationlambdaarn"] = (record.rotation_function_arn,)
    for key, value in (record.tags or {}).items():
        keys[f"aws:resourcetag/{key.lower()}"] = (value,)
        keys[f"secretsmanager:resourcetag/{key.lower()}"] = (value,)
    keys.update(_request_tags(request))
    return keys


def _described(request: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Condition keys that CreateSecret and UpdateSecret share."""
    keys: dict[str, tuple[str, ...]] = {}
    if "Description" in request:
        keys["secretsmanager:description"] = (request["Description"],)
    if "KmsKeyId" in request:
        keys["secretsmanager:kmskeyid"] = (request["KmsKeyId"],)
    return keys


def _request_tags(request: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    # A tag without a key is refused by its handler.
    tags = [tag for tag in request.get("Tags", ()) if "Key" in tag]
    keys: dict[str, tuple[str, ...]] = {f"aws:requesttag/{tag['Key'].lower()}": (tag.get("Value", ""),) for tag in tags}
    names = (*(tag["Key"] for tag in tags), *request.get("TagKeys", ()))
    if names:
        keys["aws:tagkeys"] = names
    return keys
