"""Lambda functions, their deployment packages, and the statements of their resource-based policies.

Who locks several of them takes the networks first, then layer versions, then the function, then packages in the order
of their hashes: so no two wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import Connection, Row, Text, bindparam, cast, delete, exists, func, select, update
from sqlalchemy.dialects import postgresql

from keyturn.arn import Place
from keyturn.storage import schema
from keyturn.storage.database import Transaction

FUNCTION = "function"
FUNCTION_POLICY = "function-policy"
FUNCTION_QUALIFIERS = "function-qualifiers"

_functions, _packages, _statements = schema.functions, schema.packages, schema.function_statements
_versions, _layer_versions = schema.function_versions, schema.layer_versions


class Logging(TypedDict, total=False):
    """How a function logs, in the words of LoggingConfig: format and group always, both levels with JSON only."""

    LogFormat: str
    LogGroup: str
    ApplicationLogLevel: str
    SystemLogLevel: str


class AttachedLayer(TypedDict):
    """A layer version as a function keeps it: its ARN, and the package that is unpacked to ``/opt``."""

    arn: str
    code_sha256: str
    code_size_bytes: int
    unzipped_size_bytes: int


class AttachedVpc(TypedDict):
    """A VPC that a function is attached to, in the words of VpcConfigResponse."""

    SubnetIds: list[str]
    SecurityGroupIds: list[str]
    VpcId: str
    Ipv6AllowedForDualStack: bool


@dataclass(frozen=True, slots=True)
class FunctionRecord:
    """A function as stored.

    Attributes:
        sealed: The envelope of the environment variables as JSON; None without any.
        code_sha256: Names the deployment package, see :func:`store_package`.
        last_version: The highest version number that was ever given; None before the first.
        published_version: The version that is still what the function is; None if the function was changed since.
        layers: In the order in which they are unpacked; None without any.
        logging: None for plain text in the group that is named after the function.
        vpc_config: None if it is in no VPC.
        reserved_concurrency: How many invocations of all versions may run at once; None if none are reserved.
        version: None if this is the function as it can be changed, ``$LATEST``; else the version that this is.
    """

    arn: str
    account_id: str
    region: str
    name: str
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
    reserved_concurrency: int | None = None
    tags: Mapping[str, str] | None = None
    last_version: int | None = None
    published_version: int | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class StatementRecord:
    """One statement of a function's resource-based policy, as JSON."""

    statement_id: str
    statement: str


# ON CONFLICT is spelled alike by both databases; SQLAlchemy's construct of PostgreSQL compiles for SQLite too.
# The update of a package that is there changes nothing but locks it, so that nobody deletes it before it is used.
_STORE_PACKAGE = postgresql.insert(_packages)
_STORE_PACKAGE = _STORE_PACKAGE.on_conflict_do_update(
    index_elements=[_packages.c.sha256], set_={"sha256": _STORE_PACKAGE.excluded.sha256}
)
_PACKAGE = select(_packages.c.data).where(_packages.c.sha256 == bindparam("sha256"))
_LOCK_PACKAGE = select(_packages.c.sha256).where(_packages.c.sha256 == bindparam("unused")).with_for_update()
_DELETE_PACKAGE = delete(_packages).where(
    _packages.c.sha256 == bindparam("unused"),
    ~exists().where(_functions.c.code_sha256 == _packages.c.sha256),
    ~exists().where(_versions.c.code_sha256 == _packages.c.sha256),
    ~exists().where(_layer_versions.c.code_sha256 == _packages.c.sha256),
    # A hash in base64 has no character that LIKE or JSON know.
    *(~exists().where(cast(table.c.layers, Text).contains(_packages.c.sha256)) for table in (_functions, _versions)),
)
# What is returned tells whether a row was inserted: PostgreSQL's driver does not count.
_INSERT_FUNCTION = postgresql.insert(_functions).on_conflict_do_nothing().returning(_functions.c.arn)
_FUNCTION = select(_functions).where(_functions.c.arn == bindparam("arn"))
_OF_ROLE = (
    select(_functions.c.arn)
    .where(_functions.c.role_arn == bindparam("role_arn"))
    .union(select(_versions.c.function_arn).where(_versions.c.role_arn == bindparam("role_arn")))
)
_LOCK_FUNCTION = _FUNCTION.with_for_update()
_FUNCTIONS = (
    select(_functions)
    .where(_functions.c.account_id == bindparam("account_id"), _functions.c.region == bindparam("region"))
    .order_by(_functions.c.name)
)
_RESERVED = select(func.coalesce(func.sum(_functions.c.reserved_concurrency), 0)).where(
    _functions.c.account_id == bindparam("account_id"), _functions.c.region == bindparam("region")
)
_ATTACHED = select(_functions.c.vpc_config).where(
    _functions.c.account_id == bindparam("account_id"),
    _functions.c.region == bindparam("region"),
    _functions.c.vpc_config.is_not(None),
)
_ATTACHED_VERSIONS = (
    select(_versions.c.vpc_config)
    .join(_functions, _functions.c.arn == _versions.c.function_arn)
    .where(
        _functions.c.account_id == bindparam("account_id"),
        _functions.c.region == bindparam("region"),
        _versions.c.vpc_config.is_not(None),
    )
)
_LOCK_PACKAGES_OF = (
    select(_functions.c.code_sha256, _functions.c.layers).where(_functions.c.arn == bindparam("arn")).with_for_update()
)
_PACKAGES_OF_VERSIONS = select(_versions.c.code_sha256, _versions.c.layers).where(
    _versions.c.function_arn == bindparam("arn")
)
_STATEMENTS_OF = (
    select(_statements)
    .where(_statements.c.function_arn == bindparam("arn"))
    .order_by(_statements.c.qualifier, _statements.c.position, _statements.c.statement_id)
)
_LAST_POSITION = select(func.coalesce(func.max(_statements.c.position), 0)).where(
    _statements.c.function_arn == bindparam("arn"), _statements.c.qualifier == bindparam("qualifier")
)
_INSERT_STATEMENT = postgresql.insert(_statements).on_conflict_do_nothing().returning(_statements.c.statement_id)


def store_package(transaction: Transaction, sha256: str, data: bytes, *, replaced: str | None = None) -> None:
    """Store a deployment package, unless it is there already. Whoever stores one uses it in the same transaction.

    Args:
        transaction: In which the function is locked that is to have it, if there is one.
        sha256: Names the package.
        data: The zip archive.
        replaced: The package that the function has now and may be the last to have.
    """
    for each in sorted({sha256, replaced or sha256}):
        if each == sha256:
            transaction.connection.execute(_STORE_PACKAGE, {"sha256": sha256, "data": data})
        else:
            transaction.connection.execute(_LOCK_PACKAGE, {"unused": each})


def load_package(connection: Connection, sha256: str) -> bytes | None:
    """Return a deployment package's zip archive, or None."""
    return connection.execute(_PACKAGE, {"sha256": sha256}).scalar_one_or_none()


def insert_function(transaction: Transaction, function: FunctionRecord) -> bool:
    """Store a new function, whose package is stored; return whether it was stored: False if its name is taken."""
    parameters = {column.name: getattr(function, column.name) for column in _functions.columns}
    if transaction.connection.execute(_INSERT_FUNCTION, parameters).one_or_none() is None:
        return False
    transaction.touch(FUNCTION, function.arn)
    return True


def load_function(connection: Connection, arn: str) -> FunctionRecord | None:
    """Return the function with this unqualified ARN, or None."""
    row = connection.execute(_FUNCTION, {"arn": arn}).one_or_none()
    return None if row is None else _function(row)


def lock_function(transaction: Transaction, arn: str) -> FunctionRecord | None:
    """Return the function as it is now, which stays so until the transaction ends."""
    row = transaction.connection.execute(_LOCK_FUNCTION, {"arn": arn}).one_or_none()
    return None if row is None else _function(row)


def list_of_role(connection: Connection, role_arn: str) -> list[str]:
    """Return the ARNs of functions that run as a role, themselves or in a published version."""
    return list(connection.execute(_OF_ROLE, {"role_arn": role_arn}).scalars())


def list_functions(connection: Connection, place: Place) -> list[FunctionRecord]:
    """Return every function of an account's region, by name."""
    return [_function(row) for row in connection.execute(_FUNCTIONS, schema.owner_of(place))]


def reserved_in(connection: Connection, place: Place) -> int:
    """Return how many concurrent invocations are reserved for functions of an account's region, together."""
    return int(connection.execute(_RESERVED, schema.owner_of(place)).scalar_one())


def list_attached_vpcs(connection: Connection, place: Place) -> list[AttachedVpc]:
    """Return the VPCs that functions of an account's region are attached to, and their versions; some several times."""
    here = schema.owner_of(place)
    found: list[AttachedVpc] = [*connection.execute(_ATTACHED, here).scalars()]
    return [*found, *connection.execute(_ATTACHED_VERSIONS, here).scalars()]


def update_function(transaction: Transaction, function: FunctionRecord, **columns: object) -> None:
    """Change columns of a function; packages that nobody uses afterwards are deleted."""
    before = _lock_and_list_packages(transaction, function)
    transaction.connection.execute(update(_functions).where(_functions.c.arn == function.arn), columns)
    transaction.touch(FUNCTION, function.arn)
    if {"code_sha256", "layers"} & columns.keys():
        drop_if_unused(transaction, *before - _lock_and_list_packages(transaction, function))


def delete_function(transaction: Transaction, function: FunctionRecord) -> None:
    """Remove a function with its versions, aliases and statements, and the packages that no other function uses."""
    used = _lock_and_list_packages(transaction, function)
    for row in transaction.connection.execute(_PACKAGES_OF_VERSIONS, {"arn": function.arn}):
        used |= packages_of(row.code_sha256, row.layers)
    transaction.connection.execute(delete(_functions).where(_functions.c.arn == function.arn))
    for kind in (FUNCTION, FUNCTION_POLICY, FUNCTION_QUALIFIERS):
        transaction.touch(kind, function.arn)
    drop_if_unused(transaction, *used)


def load_statements(connection: Connection, function_arn: str) -> Mapping[str, tuple[StatementRecord, ...]]:
    """Return the policy of a function: qualifier to its statements, in the order in which they were added."""
    found: dict[str, list[StatementRecord]] = {}
    for row in connection.execute(_STATEMENTS_OF, {"arn": function_arn}):
        found.setdefault(row.qualifier, []).append(StatementRecord(row.statement_id, row.statement))
    return {qualifier: tuple(statements) for qualifier, statements in found.items()}


def put_statement(
    transaction: Transaction, function_arn: str, qualifier: str, statement_id: str, statement: str
) -> bool:
    """Add a statement after the others; return whether it was added: False if its id is taken."""
    connection = transaction.connection
    last = connection.execute(_LAST_POSITION, {"arn": function_arn, "qualifier": qualifier}).scalar_one()
    parameters = {
        "function_arn": function_arn,
        "qualifier": qualifier,
        "statement_id": statement_id,
        "position": last + 1,
        "statement": statement,
    }
    transaction.touch(FUNCTION_POLICY, function_arn)
    return connection.execute(_INSERT_STATEMENT, parameters).one_or_none() is not None


def remove_policy(transaction: Transaction, function_arn: str, qualifier: str) -> None:
    """Remove every statement of a version or alias."""
    statement = delete(_statements).where(
        _statements.c.function_arn == function_arn, _statements.c.qualifier == qualifier
    )
    transaction.touch(FUNCTION_POLICY, function_arn)
    transaction.connection.execute(statement)


def remove_statement(transaction: Transaction, function_arn: str, qualifier: str, statement_id: str) -> bool:
    """Remove a statement; return whether there was one."""
    statement = delete(_statements).where(
        _statements.c.function_arn == function_arn,
        _statements.c.qualifier == qualifier,
        _statements.c.statement_id == statement_id,
    )
    transaction.touch(FUNCTION_POLICY, function_arn)
    return transaction.connection.execute(statement).rowcount > 0


def packages_of(code_sha256: str, layers: Sequence[AttachedLayer] | None) -> set[str]:
    """Return the packages that a function or a version needs: its code and its layers."""
    return {code_sha256, *(layer["code_sha256"] for layer in layers or ())}


def drop_if_unused(transaction: Transaction, *sha256s: str) -> None:
    """Remove packages, unless a function, one of its versions or a layer has them."""
    for sha256 in sorted(sha256s):
        # Locked first: a function that is about to use the package has it locked too and is seen by what follows.
        transaction.connection.execute(_LOCK_PACKAGE, {"unused": sha256})
        transaction.connection.execute(_DELETE_PACKAGE, {"unused": sha256})


def _lock_and_list_packages(transaction: Transaction, function: FunctionRecord) -> set[str]:
    """Lock a function and return the packages that it needs now."""
    # Read again, because the caller's record may be older than another change of the code.
    row = transaction.connection.execute(_LOCK_PACKAGES_OF, {"arn": function.arn}).one_or_none()
    return set() if row is None else packages_of(row.code_sha256, row.layers)


def _function(row: Row[Any]) -> FunctionRecord:
    return FunctionRecord(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
