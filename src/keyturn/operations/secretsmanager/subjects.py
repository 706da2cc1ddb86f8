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
from keyturn.operations.secretsmanager.condition_keys import SecretKeys, keys_of_new_secret
from keyturn.operations.secretsmanager.encryption import requested_key_arn
from keyturn.operations.subject import NO_KEYS, Subject
from keyturn.rules.deletion import is_over
from keyturn.rules.names import check_name, secret_reference
from keyturn.rules.versions import no_token
from keyturn.storage import secrets
from keyturn.storage.secrets import SecretRecord

_ANY_SUFFIX = "??????"


def secret(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[SecretRecord]:
    """Load the secret that SecretId names, scheduled for deletion or not, unless its recovery window is over."""
    asked: str = request["SecretId"]
    try:
        reference = secret_reference(asked, call.place)
    except ResourceNotFoundException as missing:
        return Subject(arn=asked, asked=asked, record=None, missing=missing, keys=SecretKeys(request))
    arn: str | None = reference.arn
    if not reference.is_full:
        place, name = reference.place, reference.name
        arn = kit.kept.get(
            secrets.SECRET_NAME, reference.arn, lambda connection: secrets.arn_of_name(connection, place, name)
        )
    record = None if arn is None else find_secret(kit, arn)
    if record is None or is_over(record.deleted_at, record.deletion_at, call.at):
        absent = arn or f"{reference.arn}-{_ANY_SUFFIX}"
        return Subject(absent, asked, record=None, missing=ResourceNotFoundException(), keys=SecretKeys(request))
    return secret_subject(record, request)


def secret_subject(record: SecretRecord, request: Mapping[str, Any]) -> Subject[SecretRecord]:
    """Return a secret as the subject of a call, as it is stored or as it would be after a change."""
    keys = SecretKeys(request, record)
    return Subject(record.arn, request["SecretId"], record, policy=record.resource_policy, keys=keys)


def secret_to_write(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[SecretRecord]:
    """Load the secret that a value is for; that the request has no token is told before that the secret is missing."""
    found = secret(kit, call, request)
    if "KmsKeyId" in request:
        found = found._replace(keys=SecretKeys(request, found.record, _keys_of_key(kit, call, request)))
    brings_value = "SecretString" in request or "SecretBinary" in request
    if found.missing is not None and brings_value and not request.get("ClientRequestToken"):
        return found._replace(missing=no_token())
    return found


def find_secret(kit: Kit, arn: str) -> SecretRecord | None:
    """Return the secret with this ARN, from memory if it is kept."""
    return kit.kept.get(secrets.SECRET, arn, lambda connection: secrets.load_secret(connection, arn))


def new_secret(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[str]:
    """Check the name of a secret to be; its ARN's suffix is not known yet."""
    name = check_name(request["Name"])
    keys = keys_of_new_secret(request, _keys_of_key(kit, call, request) if "KmsKeyId" in request else NO_KEYS)
    return Subject(call.place.secret_arn(name, _ANY_SUFFIX), name, record=name, keys=keys)


def _keys_of_key(kit: Kit, call: Call, request: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    """Tell policies which KMS key is meant, so that they need not know by which of its names it is asked for."""
    arn = requested_key_arn(kit, call.place, request["KmsKeyId"])
    return NO_KEYS if arn is None else {"secretsmanager:kmskeyarn": (arn,)}
