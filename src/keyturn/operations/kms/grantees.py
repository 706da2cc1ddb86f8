"""Whom a grant names: a principal that exists, and the very one that it was when the grant was made.

Text as recorded in the field, in what Lambda says of CreateGrant.
"""

from __future__ import annotations

from sqlalchemy import Connection

from keyturn.arn import Arn, InvalidArn
from keyturn.errors.kms import InvalidArnException
from keyturn.operations.kit import Kit
from keyturn.rules.policy.principals import InvalidPrincipal, parse_principals
from keyturn.storage import accounts, roles, users


def unique_id_of(connection: Connection, arn: str, partition: str) -> str | None:
    """Return the unique id of the user or role that a principal's ARN names.

    Returns:
        None for an account, and for anybody in an account that this server does not have.

    Raises:
        InvalidArnException: It names nobody.
    """
    invalid = InvalidArnException(f"ARN does not refer to a valid principal: {arn}")
    try:
        parsed = Arn.parse(arn)
        parse_principals({"AWS": (arn,)}, negated=False)
    except (InvalidArn, InvalidPrincipal) as error:
        raise invalid from error
    if parsed.partition != partition:
        raise invalid
    kind, _, name = parsed.resource.partition("/")
    if kind == "root" or accounts.load_account(connection, parsed.account_id) is None:
        return None
    unique_id = _stored_unique_id(connection, arn, parsed.account_id, kind, name)
    if unique_id is None:
        raise invalid
    return unique_id


def shown_principal(kit: Kit, arn: str, unique_id: str | None) -> str:
    """Return a principal as listings show it: by ARN, or by the unique id of one that is no more, as AWS does."""
    if unique_id is None or arn.split(":")[2] != "iam":
        return arn
    user = kit.kept.get(users.USER, arn, lambda connection: users.load_user_by_arn(connection, arn))
    role = kit.kept.get(roles.ROLE, arn, lambda connection: roles.load_role_by_arn(connection, arn))
    return arn if any(found is not None and found.unique_id == unique_id for found in (user, role)) else unique_id


def _stored_unique_id(connection: Connection, arn: str, account_id: str, kind: str, name: str) -> str | None:
    if kind == "user":
        user = users.load_user_by_arn(connection, arn)
        return None if user is None else user.unique_id
    if kind == "role":
        role = roles.load_role_by_arn(connection, arn)
    elif kind == "assumed-role":
        role = roles.load_role(connection, account_id, name.partition("/")[0])
    else:
        role = None
    return None if role is None else role.unique_id
