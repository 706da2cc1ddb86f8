"""What is sealed, under which key, bound to what. The only place that names encryption contexts.

A sealed value is bound to its context, so that a row copied over another one does not open. Secret values use AWS's own
context. Source: AWS Secrets Manager User Guide, "Secret encryption and decryption in AWS Secrets Manager".
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from keyturn.crypto.keyring import MaterialId
from keyturn.operations.kit import Kit
from keyturn.sensitive import Sensitive


def seal_value(kit: Kit, material_id: MaterialId, secret_arn: str, version_id: str, value: bytes) -> bytes:
    """Seal the value of one version of a secret under a KMS key. Whether the caller may use it was asked before."""
    return kit.envelope.seal(value, material_id=material_id, context=value_context(secret_arn, version_id))


def open_value(kit: Kit, secret_arn: str, version_id: str, sealed: bytes) -> Sensitive[bytes]:
    """Open the value of one version of a secret. Whether the caller may use its KMS key was asked before."""
    return kit.envelope.open(sealed, context=value_context(secret_arn, version_id))


def forget_value(kit: Kit, secret_arn: str, version_id: str, sealed: bytes, former_wrapped: bytes | None) -> None:
    """Drop what is kept in memory for opening a version's value, which was erased; its beginning will do."""
    context = value_context(secret_arn, version_id)
    kit.envelope.forget(sealed, context=context)
    if former_wrapped is not None:
        kit.keyring.forget_data_key(former_wrapped, context)


def seal_access_key(kit: Kit, access_key_id: str, secret_access_key: Sensitive[str]) -> bytes:
    """Seal the secret half of an access key."""
    plaintext = secret_access_key.reveal().encode()
    return kit.envelope.seal(plaintext, material_id=_own(kit), context=access_key_context(access_key_id))


def open_access_key(kit: Kit, access_key_id: str, sealed: bytes) -> Sensitive[str]:
    """Open the secret half of an access key."""
    return Sensitive(kit.envelope.open(sealed, context=access_key_context(access_key_id)).reveal().decode())


def seal_environment(kit: Kit, function_arn: str, variables: Mapping[str, str]) -> bytes:
    """Seal a function's environment variables."""
    plaintext = json.dumps(dict(variables)).encode()
    return kit.envelope.seal(plaintext, material_id=_own(kit), context={"FunctionArn": function_arn})


def open_environment(kit: Kit, function_arn: str, sealed: bytes | None) -> dict[str, str]:
    """Open a function's environment variables; empty if it has none."""
    if sealed is None:
        return {}
    variables: dict[str, str] = json.loads(kit.envelope.open(sealed, context={"FunctionArn": function_arn}).reveal())
    return variables


def access_key_context(access_key_id: str) -> dict[str, str]:
    """What a sealed access key is bound to."""
    return {"AccessKeyId": access_key_id}


def value_context(secret_arn: str, version_id: str) -> dict[str, str]:
    """What a sealed secret value is bound to, and its data key with it."""
    return {"SecretARN": secret_arn, "SecretVersionId": version_id}


def _own(kit: Kit) -> MaterialId:
    return MaterialId(kit.system_key_id)
