"""Versions of a function, which never change, and aliases, which name one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql

from keyturn.storage import functions, schema
from keyturn.storage.database import Transaction
from keyturn.storage.functions import FUNCTION, FUNCTION_QUALIFIERS, AttachedLayer, AttachedVpc, FunctionRecord, Logging

_versions, _aliases, _functions = schema.function_versions, schema.function_aliases, schema.functions


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """What a function was when it was published; the members mean what they mean in :class:`FunctionRecord`."""

    runtime: str
    handler: str
    role_arn: str
    description: str
    timeout_seconds: int
    memory_mb: int
    ephemeral_storage_mb: int
    sealed: bytes | None
    code_sha256: str
    code_size_bytes: int
    revision_id: str
    last_modified_at: datetime
    layers: Sequence[AttachedLayer] | None = None
    logging: Logging | None = None
    vpc_config: AttachedVpc | None = None

    def of(self, function: FunctionRecord, version: int) -> FunctionRecord:
        """Return the function as it was then."""
        kept = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(function, **kept, version=version)


@dataclass(frozen=True, slots=True)
class AliasRecord:
    """A name for a version; ``version`` None is ``$LATEST``."""

    name: str
    version: int | None
    description: str
    revision_id: str


@dataclass(frozen=True, slots=True)
class Qualifiers:
    """Everything that can stand behind a function's name: versions by number and aliases by name, both in order."""

    versions: Mapping[int, VersionRecord]
    aliases: Mapping[str, AliasRecord]

    def number(self, text: str) -> int | None:
        """Return the number of the version that is written so; None if there is none."""
        return next((version for version in self.versions if str(version) == text), None)


_VERSIONS_OF = select(_versions).where(_versions.c.function_arn == bindparam("arn")).order_by(_versions.c.version)
_ALIASES_OF = select(_aliases).where(_aliases.c.function_arn == bindparam("arn")).order_by(_aliases.c.name)
# What is returned tells whether a row was inserted: PostgreSQL's driver does not count.
_INSERT_ALIAS = postgresql.insert(_aliases).on_conflict_do_nothing().returning(_aliases.c.name)


def load_qualifiers(connection: Connection, function_arn: str) -> Qualifiers:
    """Return versions and aliases of a function."""
    names = [field.name for field in fields(VersionRecord)]
    versions = {
        row.version: VersionRecord(**{name: getattr(row, name) for name in names})
        for row in connection.execute(_VERSIONS_OF, {"arn": function_arn})
    }
    aliases = {
        row.name: AliasRecord(row.name, row.version, row.description, row.revision_id)
        for row in connection.execute(_ALIASES_OF, {"arn": function_arn})
    }
    return Qualifiers(versions, aliases)


def insert_version(transaction: Transaction, function: FunctionRecord, version: int, record: VersionRecord) -> None:
    """Store a version of a function that is locked; its number was never given before."""
    kept = {field.name: getattr(record, field.name) for field in fields(record)}
    transaction.connection.execute(insert(_versions), {"function_arn": function.arn, "version": version, **kept})
    _change_function(transaction, function.arn, last_version=version, published_version=version)
    transaction.touch(FUNCTION_QUALIFIERS, function.arn)


def update_version(transaction: Transaction, function_arn: str, version: int, *, revision_id: str) -> None:
    """Give a version another revision id; nothing else of it can change."""
    statement = update(_versions).where(_versions.c.function_arn == function_arn, _versions.c.version == version)
    transaction.connection.execute(statement, {"revision_id": revision_id})
    transaction.touch(FUNCTION_QUALIFIERS, function_arn)


def delete_version(transaction: Transaction, function: FunctionRecord, version: int) -> None:
    """Remove a version of a function that is locked, with its policy, and its package if nobody else uses it."""
    statement = delete(_versions).where(_versions.c.function_arn == function.arn, _versions.c.version == version)
    row = transaction.connection.execute(statement.returning(_versions.c.code_sha256, _versions.c.layers)).one_or_none()
    functions.remove_policy(transaction, function.arn, str(version))
    transaction.touch(FUNCTION_QUALIFIERS, function.arn)
    if function.published_version == version:
        _change_function(transaction, function.arn, published_version=None)
    if row is not None:
        functions.drop_if_unused(transaction, *functions.packages_of(row.code_sha256, row.layers))


def insert_alias(transaction: Transaction, function_arn: str, alias: AliasRecord) -> bool:
    """Store a new alias; return whether it was stored: False if its name is taken."""
    row = {"function_arn": function_arn, **{field.name: getattr(alias, field.name) for field in fields(alias)}}
    transaction.touch(FUNCTION_QUALIFIERS, function_arn)
    return transaction.connection.execute(_INSERT_ALIAS, row).one_or_none() is not None


def update_alias(transaction: Transaction, function_arn: str, name: str, **columns: object) -> None:
    """Change columns of an alias."""
    statement = update(_aliases).where(_aliases.c.function_arn == function_arn, _aliases.c.name == name)
    transaction.connection.execute(statement, columns)
    transaction.touch(FUNCTION_QUALIFIERS, function_arn)


def delete_alias(transaction: Transaction, function_arn: str, name: str) -> None:
    """Remove an alias, if there is one, with its policy."""
    statement = delete(_aliases).where(_aliases.c.function_arn == function_arn, _aliases.c.name == name)
    transaction.connection.execute(statement)
    functions.remove_policy(transaction, function_arn, name)
    transaction.touch(FUNCTION_QUALIFIERS, function_arn)


def _change_function(transaction: Transaction, function_arn: str, **columns: object) -> None:
    transaction.connection.execute(update(_functions).where(_functions.c.arn == function_arn), columns)
    transaction.touch(FUNCTION, function_arn)
