"""What is derived from a rotation with a key that nobody else has: its RotationToken, and which database it is for.

Source: AWS Secrets Manager API Reference, PutSecretValue, RotationToken: a function that stores the pending value with
another role than its own proves with the token that it runs for this rotation.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping

from keyturn.errors.crypto import SealRefused
from keyturn.operations.kit import Kit
from keyturn.operations.sealing import open_value
from keyturn.rules.staging import AWSCURRENT
from keyturn.sensitive import Sensitive
from keyturn.storage.secrets import SecretRecord


def rotation_token(kit: Kit, secret_arn: str, version_id: str) -> Sensitive[str]:
    """Return the token that the function gets with each step: 64 hexadecimal digits, the same in every attempt."""
    return Sensitive(_mark(kit, "token", secret_arn, version_id))


def is_rotation_token(kit: Kit, secret_arn: str, version_id: str, presented: str) -> bool:
    """Whether a caller has the token of the rotation that makes a version."""
    return hmac.compare_digest(rotation_token(kit, secret_arn, version_id).reveal().encode(), presented.encode())


def database_lane(kit: Kit, secret: SecretRecord) -> str | None:
    """Return a digest of the host and port in the current value, by which rotations for one database are counted.

    None if there is no such value: not every secret is of a database. The digest tells the host to nobody.
    """
    version = secret.versions.get(secret.labels.get(AWSCURRENT, ""))
    if version is None or version.sealed is None or version.is_binary:
        return None
    try:
        value = json.loads(open_value(kit, secret.arn, version.version_id, version.sealed).reveal())
    except (SealRefused, ValueError, RecursionError):
        # Its key is gone, which the rotation will find out and tell; or it is no JSON.
        return None
    host = value.get("host") if isinstance(value, Mapping) else None
    if not isinstance(host, str) or not host:
        return None
    port = value.get("port")
    return _mark(kit, "database", host.lower(), str(port) if isinstance(port, str | int) else "")[:32]


def _mark(kit: Kit, purpose: str, *parts: str) -> str:
    key = kit.keyring.derive_key(kit.system_key_id, f"keyturn rotation {purpose}")
    return hmac.new(key.reveal(), "\0".join(parts).encode(errors="replace"), hashlib.sha256).hexdigest()
