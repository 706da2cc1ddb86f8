"""What a rotation function could know of a secret: every value that is stored, so that it can be masked.

Whoever reads what a function said need not be one who may read the values.
"""

from __future__ import annotations

from sqlalchemy import Connection

from keyturn.errors.crypto import SealRefused
from keyturn.operations.kit import Kit
from keyturn.operations.sealing import open_value
from keyturn.operations.secretsmanager.rotation_marks import rotation_token
from keyturn.rules.masking import Mask
from keyturn.storage import secret_versions


def mask_of(kit: Kit, connection: Connection, secret_arn: str, secret_id: int) -> Mask:
    """Return what masks the values of all versions of a secret, those included that have no label any more.

    So are the RotationTokens with which a function proves itself: whoever has one could store a value in its place.
    """
    values = []
    for version in secret_versions.load_versions(connection, secret_id):
        values.append(rotation_token(kit, secret_arn, version.version_id).reveal())
        if version.sealed is None:
            continue
        try:
            plaintext = open_value(kit, secret_arn, version.version_id, version.sealed)
        except SealRefused:
            # Its key was destroyed, or its row is damaged: nobody can have read it either.
            continue
        values.append(plaintext.reveal().decode(errors="replace"))
    return Mask(values)
