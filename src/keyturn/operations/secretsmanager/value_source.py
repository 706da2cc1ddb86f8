"""Who stored the value of a pending version: the rotation function, or somebody else.

A rotation whose pending value comes from elsewhere fails, as in AWS: a value that somebody slips in would be set in the
database with the function's powers. The function is known by its execution role, or by the RotationToken that it was
handed with the step.

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


def check_token(kit: Kit, secret: SecretRecord, version_id: str, presented: str | None) -> None:
    """Refuse a RotationToken that is not of the rotation which makes this version.

    Raises:
        InvalidParameterException: It is of another one, or made up.
    """
    if presented is not None and not is_rotation_token(kit, secret.arn, version_id, presented):
        raise InvalidParameterException("The RotationToken does not belong to a rotation of this version.")


def note_source(
    kit: Kit, transaction: Transaction, call: Call, secret: SecretRecord, version_id: str, presented: str | None
) -> None:
    """Note it if the value of the version that a rotation makes was stored by somebody else.

    Args:
        kit: For the function.
        transaction: In which the value was stored.
        call: Who stored it.
        secret: As it was before.
        version_id: The version that got the value.
        presented: The RotationToken, as :func:`check_token` has found it good.
    """
    rotation = rotations.load_unfinished(transaction.connection, secret.secret_id)
    if rotation is None or rotation.kind is not RotationKind.ROTATION or rotation.version_id != version_id:
        return
    invocable = invocable_function(kit, secret.rotation_function_arn or "", secret.arn)
    is_function = invocable is not None and call.principal.role_arn == invocable[0].role_arn
    if not is_function and presented is None:
        rotations.note_value_from_elsewhere(transaction, rotation)
