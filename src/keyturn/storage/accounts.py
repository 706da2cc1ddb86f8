"""The accounts of this Keyturn. Each owns its principals, and in each region its secrets, functions and logs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, bindparam, select
from sqlalchemy.dialects import postgresql

from keyturn.storage import schema
from keyturn.storage.database import Transaction

_accounts = schema.accounts


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """An account as stored; ``email`` is unique, letters' case aside."""

    account_id: str
    name: str
    email: str
    created_at: datetime


# What is returned tells whether a row was inserted: PostgreSQL's driver does not count.
_INSERT = postgresql.insert(_accounts).on_conflict_do_nothing().returning(_accounts.c.account_id)
_BY_ID = select(_accounts).where(_accounts.c.account_id == bindparam("account_id"))
_ALL = select(_accounts).order_by(_accounts.c.created_at, _accounts.c.account_id)


def insert_account(transaction: Transaction, account: AccountRecord) -> bool:
    """Store a new account; return whether it was stored: False if its id or its address is taken."""
    parameters = {
        "account_id": account.account_id,
        "name": account.name,
        "email": account.email,
        "created_at": account.created_at,
    }
    return transaction.connection.execute(_INSERT, parameters).one_or_none() is not None


def load_account(connection: Connection, account_id: str) -> AccountRecord | None:
    """Return one account, or None."""
    row = connection.execute(_BY_ID, {"account_id": account_id}).one_or_none()
    return None if row is None else _account(row)


def list_accounts(connection: Connection) -> list[AccountRecord]:
    """Return every account, oldest first."""
    return [_account(row) for row in connection.execute(_ALL)]


def _account(row: Row[tuple[object, ...]]) -> AccountRecord:
    return AccountRecord(row.account_id, row.name, row.email, row.created_at)
