"""What a Redshift user may do, as the catalogue says it, and the statements that give the same to another user.

Only what was granted to the user itself; groups and roles are given as a whole. The catalogue tells of the database to
which one is connected, and of the whole cluster's databases, groups and roles.

Source: Amazon Redshift Database Developer Guide, "SVV views", "PG_GROUP", "GRANT", "ALTER DEFAULT PRIVILEGES",
"Scoped permissions".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .postgresql_family.connection import quoted_identifier

_GRANTED = "identity_type = 'user' AND identity_name = :username"
_GROUPS = (
    "SELECT g.groname FROM pg_group AS g, pg_user AS u WHERE u.usename = :username AND u.usesysid = ANY(g.grolist)"
)
_ROLES = "SELECT role_name, admin_option FROM svv_user_grants WHERE user_name = :username"
_ON_DATABASES = (
    f"SELECT privilege_type, privilege_scope, database_name, admin_option FROM svv_database_privileges WHERE {_GRANTED}"  # noqa: S608 - constants
)
_ON_SCHEMAS = (
    f"SELECT privilege_type, privilege_scope, namespace_name, admin_option FROM svv_schema_privileges WHERE {_GRANTED}"  # noqa: S608 - constants
)
_ON_RELATIONS = (
    "SELECT privilege_type, namespace_name, relation_name, admin_option"  # noqa: S608 - constants
    f" FROM svv_relation_privileges WHERE {_GRANTED}"
)
_ON_COLUMNS = (
    "SELECT privilege_type, namespace_name, relation_name, column_name"  # noqa: S608 - constants
    f" FROM svv_column_privileges WHERE {_GRANTED}"
)
_ON_FUNCTIONS = (
    "SELECT namespace_name, function_name, argument_types, admin_option"  # noqa: S608 - constants
    f" FROM svv_function_privileges WHERE {_GRANTED}"
)
_PROCEDURES = (
    "SELECT schema_name, function_name FROM svv_redshift_functions"
    " WHERE database_name = current_database() AND function_type = 'STORED PROCEDURE'"
)
_DEFAULTS = (
    "SELECT owner_name, schema_name, privilege_type, object_type, admin_option FROM svv_default_privileges"
    " WHERE owner_type = 'user' AND grantee_type = 'user' AND grantee_name = :username"
)
_OBJECT_TYPES = {"RELATION": "TABLES", "FUNCTION": "FUNCTIONS", "PROCEDURE": "PROCEDURES"}


class Run(Protocol):
    """Runs a statement with named parameters and returns its rows."""

    def __call__(self, statement: str, **parameters: str) -> Sequence[Sequence[Any]]:
        """Run it."""
        ...


@dataclass(frozen=True, slots=True)
class Right:
    """Something granted.

    Attributes:
        giving: The statement that gives it, up to the user's name.
        option: Whether the user may grant it to others.
    """

    giving: str
    option: bool = False

    def to(self, username: str) -> str:
        """Return the statement that gives it to a user."""
        kind = "ADMIN" if self.giving.startswith("GRANT ROLE ") else "GRANT"
        return f"{self.giving} {quoted_identifier(username)}" + (f" WITH {kind} OPTION" if self.option else "")

    def is_within(self, others: Iterable[Right]) -> bool:
        """Tell whether somebody who has the others may do as much."""
        return not {self, Right(self.giving, option=True)}.isdisjoint(others)

    def __str__(self) -> str:
        """Return the right as people write it."""
        what = self.giving.removeprefix("GRANT ").removesuffix(" TO")
        if what.startswith("ALTER GROUP "):
            what = what.removeprefix("ALTER ").removesuffix(" ADD USER")
        return what + (" with grant option" if self.option else "")


def read(run: Run, username: str) -> frozenset[Right]:
    """Return what has been granted to a user."""
    found = {Right(f"ALTER GROUP {quoted_identifier(name)} ADD USER") for [name] in run(_GROUPS, username=username)}
    for name, option in run(_ROLES, username=username):
        found.add(Right(f"GRANT ROLE {quoted_identifier(name)} TO", bool(option)))
    for kind, statement in (("DATABASE", _ON_DATABASES), ("SCHEMA", _ON_SCHEMAS)):
        for privilege, scope, name, option in run(statement, username=username):
            # A scoped permission is on all tables, for instance, that a schema has now and later.
            on = "ON" if scope in (None, kind) else f"FOR {scope} IN"
            found.add(Right(f"GRANT {privilege} {on} {kind} {quoted_identifier(name)} TO", bool(option)))
    for privilege, schema, name, option in run(_ON_RELATIONS, username=username):
        found.add(Right(f"GRANT {privilege} ON TABLE {_qualified(schema, name)} TO", bool(option)))
    for privilege, schema, name, column in run(_ON_COLUMNS, username=username):
        what = f"{privilege} ({quoted_identifier(column)}) ON TABLE {_qualified(schema, name)}"
        found.add(Right(f"GRANT {what} TO"))
    return frozenset(found | _on_functions(run, username) | _by_default(run, username))


def _on_functions(run: Run, username: str) -> set[Right]:
    rows = run(_ON_FUNCTIONS, username=username)
    procedures = {(schema, name) for schema, name in run(_PROCEDURES)} if rows else set()
    found = set()
    for schema, name, arguments, option in rows:
        kind = "PROCEDURE" if (schema, name) in procedures else "FUNCTION"
        found.add(Right(f"GRANT EXECUTE ON {kind} {_qualified(schema, name)}({arguments or ''}) TO", bool(option)))
    return found


def _by_default(run: Run, username: str) -> set[Right]:
    """Return what is granted to a user on each object that somebody is going to make."""
    found = set()
    for owner, schema, privilege, kind, option in run(_DEFAULTS, username=username):
        where = f" IN SCHEMA {quoted_identifier(schema)}" if schema else ""
        giving = (
            f"ALTER DEFAULT PRIVILEGES FOR USER {quoted_identifier(owner)}{where}"
            f" GRANT {privilege} ON {_OBJECT_TYPES.get(kind, kind)} TO"
        )
        found.add(Right(giving, bool(option)))
    return found


def _qualified(schema: str, name: str) -> str:
    return f"{quoted_identifier(schema)}.{quoted_identifier(name)}"
