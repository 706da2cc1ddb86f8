"""Do the users and roles that a policy names exist? AWS refuses one that names somebody who does not."""

from __future__ import annotations

from sqlalchemy import Connection

from keyturn.arn import Arn
from keyturn.rules.policy.document import PolicyDocument
from keyturn.storage import accounts, roles, users


def missing_principals(connection: Connection, document: PolicyDocument) -> list[str]:
    """Return the ARNs of users and roles that a trust or resource-based policy names and that do not exist, sorted.

    Of accounts that are not on this server nobody is missed.
    """
    named = {arn for statement in document.statements if statement.principals for arn in statement.principals.aws}
    return [text for text in sorted(named) if not _may_exist(connection, text)]


def _may_exist(connection: Connection, text: str) -> bool:
    arn = Arn.parse(text)
    if accounts.load_account(connection, arn.account_id) is None:
        return True
    kind, _, rest = arn.resource.partition("/")
    if kind == "user":
        user = users.load_user(connection, arn.account_id, rest.rpartition("/")[2])
        return user is not None and user.arn == text
    if kind == "role":
        return roles.load_role_by_arn(connection, text) is not None
    # A session is named before it exists.
    return True
