"""Users, roles, groups and policies to be stored."""

from __future__ import annotations

from keyturn.storage.access_keys import AccessKeyRecord
from keyturn.storage.database import Transaction
from keyturn.storage.groups import GroupRecord
from keyturn.storage.managed_policies import ManagedPolicyRecord
from keyturn.storage.roles import RoleRecord
from keyturn.storage.users import UserRecord

from .conftest import NOW, PLACE


def a_user(name: str = "alice") -> UserRecord:
    return UserRecord(
        PLACE.account_id, name, f"AIDA{name.upper()}", "/", PLACE.user_arn("/", name), NOW, {"team": "db"}
    )


def a_role(name: str = "rotator") -> RoleRecord:
    arn = PLACE.role_arn("/", name)
    return RoleRecord(PLACE.account_id, name, f"AROA{name.upper()}", "/", arn, NOW, "{}", None, 3600)


def a_group(name: str = "readers") -> GroupRecord:
    return GroupRecord(PLACE.account_id, name, f"AGPA{name.upper()}", "/", PLACE.group_arn("/", name), NOW)


def a_key(access_key_id: str, user: UserRecord) -> AccessKeyRecord:
    return AccessKeyRecord(access_key_id, user, b"sealed", active=True, created_at=NOW)


def a_policy(name: str = "read") -> ManagedPolicyRecord:
    return ManagedPolicyRecord(
        arn=PLACE.policy_arn("/", name),
        account_id=PLACE.account_id,
        name=name,
        unique_id=f"ANPA{name.upper()}",
        path="/",
        description=None,
        tags=None,
        created_at=NOW,
        updated_at=NOW,
        default_version=1,
        newest_version=1,
    )


def touched(transaction: Transaction) -> set[tuple[str, str]]:
    """What a transaction has touched until now."""
    return {(change["kind"], change["subject"]) for change in transaction.touched}
