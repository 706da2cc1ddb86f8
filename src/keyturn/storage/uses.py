"""When access keys and roles were last used. No kept row shows it, so storing it drops none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, or_, update

from keyturn.storage import schema
from keyturn.storage.database import Transaction

_keys, _roles = schema.access_keys, schema.roles


@dataclass(frozen=True, slots=True)
class Use:
    """A call that an access key, or a session of a role, has signed."""

    used_at: datetime
    service: str
    region: str


_used_at = bindparam("used_at", type_=schema.Moment)
_RECORD_KEY = (
    update(_keys)
    .where(_keys.c.access_key_id == bindparam("used"))
    .where(or_(_keys.c.last_used_at.is_(None), _keys.c.last_used_at < _used_at))
    .values(last_used_at=_used_at, last_used_service=bindparam("used_for"), last_used_region=bindparam("used_in"))
)
_RECORD_ROLE = (
    update(_roles)
    .where(_roles.c.arn == bindparam("used"))
    .where(or_(_roles.c.last_used_at.is_(None), _roles.c.last_used_at < _used_at))
    .values(last_used_at=_used_at, last_used_region=bindparam("used_in"))
)


def record_uses(transaction: Transaction, keys: Mapping[str, Use], roles: Mapping[str, Use]) -> None:
    """Store the last uses of access keys by their id and of roles by their ARN, where no later ones are known."""
    # In one order, so that two servers that do this at once do not wait for each other.
    for access_key_id, use in sorted(keys.items(), key=lambda item: item[0]):
        parameters = {"used_at": use.used_at, "used_for": use.service, "used_in": use.region}
        transaction.connection.execute(_RECORD_KEY, {"used": access_key_id, **parameters})
    for role_arn, use in sorted(roles.items(), key=lambda item: item[0]):
        parameters = {"used_at": use.used_at, "used_in": use.region}
        transaction.connection.execute(_RECORD_ROLE, {"used": role_arn, **parameters})
