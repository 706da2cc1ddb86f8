"""What a rotation function could know of a secret: every value that is stored, so that it can be masked.

Whoever reads what a function said need not be one who may read the values.
"""

from __future__ import annotations

from sqlalchemy import Connection

from keyturn.errors.crypto import SealFault, SealRefused
from keyturn.operations.kit import Kit
from keyturn.operations.sealing import open_value
from keyturn.rules.masking import Mask
from keyturn.storage import secrets


def mask_of(kit: Kit, connection: Connection, secret_arn: str, secret_id: int) -> Mask:
    """Return what masks the values of all versions of a secret, those included that have no label any more."""
    values = []
    for version in secrets.load_versions(connection, secret_id):
        if version.sealed is None:
            continue
        try:
            plaintext = open_value(kit, secret_arn, version.version_id, version.sealed)
        except SealRefused as error:
            # Its key was destroyed: nobody can have read it since.
            if error.fault is not SealFault.UNKNOWN_KEY:
                raise
        else:
            values.append(plaintext.reveal().decode(errors="replace"))
    return Mask(values)
