"""Who stored the value of a version: the rotation function for its rotation, or somebody else.

A rotation whose pending value comes from elsewhere fails, as in AWS: a value that somebody slips in would be set in the
database with the function's powers. The function is known by its execution role, or by the RotationToken that it was
handed with the step. What is found is kept with the version, whatever becomes of the rotation.

Source: AWS Secrets Manager API Reference, PutSecretValue, RotationToken; User Guide, "Troubleshoot rotation".
"""

from __future__ import annotations

from keyturn.call import Call
from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.operations.kit import Kit
from keyturn.operations.secretsmanager.rotation_function import invocable_function
from keyturn.operations.secretsmanager.rotation_marks import is_rotation_token
from keyturn.storage import rotations
from keyturn.storage.database import Transaction
from keyturn.storage.rotations import RotationKind
from keyturn.storage.secrets import SecretRecord


def comes_from_rotation(
    kit: Kit, transaction: Transaction, call: Call, secret: SecretRecord, version_id: str, presented: str | None
) -> bool:
    """Say whether a value is stored by the function of the rotation that makes its version.

    Args:
        kit: For the function.
        transaction: In which the value is to be stored.
        call: Who stores it.
        secret: Locked, as it is before.
        version_id: The version that gets the value.
        presented: The RotationToken of the request, if it has one.

    Raises:
        InvalidParameterException: The RotationToken is of another rotation, or made up.
    """
    if presented is not None and not is_rotation_token(kit, secret.arn, version_id, presented):
        raise InvalidParameterException("The RotationToken does not belong to a rotation of this version.")
    rotation = rotations.load_unfinished(transaction.connection, secret.secret_id)
    if rotation is None or rotation.kind is not RotationKind.ROTATION or rotation.version_id != version_id:
        return False
    if presented is not None:
        return True
    invocable = invocable_function(kit, secret.rotation_function_arn or "", secret.arn)
    return invocable is not None and call.principal.role_arn == invocable[0].role_arn
