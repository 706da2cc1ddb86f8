"""Logins and database users: what one may do, and the statements that give the same to another one.

A login is the server's; in each database that it may use a database user stands for it, found by the login's SID. A
contained user is in one database only and has its own password there. Rights come from roles and from permissions, of
the server and of each database.

Source: Microsoft, Transact-SQL Reference, "sys.database_permissions", "sys.server_permissions", "GRANT".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import base
from .driver import LIMIT

SUFFIX = "_clone"
Run = Callable[[str], Sequence[Sequence[Any]]]

_OWNER_ID = 1
_OWNER_ROLE = "[db_owner]"
_ROLE, _GRANT, _DENY = "ROLE", "GRANT", "DENY"
_VERBS = {"G": _GRANT, "W": _GRANT, "D": _DENY}
_WITH_GRANT_OPTION = "W"

# Class of a permission to what GRANT calls it, and where its name is found by which number.
_NAMED: Mapping[int, tuple[str, str, str]] = {
    5: ("ASSEMBLY", "sys.assemblies", "assembly_id"),
    10: ("XML SCHEMA COLLECTION", "sys.xml_schema_collections", "xml_collection_id"),
    15: ("MESSAGE TYPE", "sys.service_message_types", "message_type_id"),
    16: ("CONTRACT", "sys.service_contracts", "service_contract_id"),
    17: ("SERVICE", "sys.services", "service_id"),
    18: ("REMOTE SERVICE BINDING", "sys.remote_service_bindings", "remote_service_binding_id"),
    19: ("ROUTE", "sys.routes", "route_id"),
    23: ("FULLTEXT CATALOG", "sys.fulltext_catalogs", "fulltext_catalog_id"),
    24: ("SYMMETRIC KEY", "sys.symmetric_keys", "symmetric_key_id"),
    25: ("CERTIFICATE", "sys.certificates", "certificate_id"),
    26: ("ASYMMETRIC KEY", "sys.asymmetric_keys", "asymmetric_key_id"),
}
_SECURABLES: Mapping[int, str] = {
    1: "OBJECT", 3: "SCHEMA", 6: "TYPE", 105: "ENDPOINT",
    **{number: words for number, (words, _, _) in _NAMED.items()},
}  # fmt: skip
# Permissions on principals: by class and the principal's type; whatever else is a user or a login.
_PRINCIPALS = {(4, "R"): "ROLE", (4, "A"): "APPLICATION ROLE", (101, "R"): "SERVER ROLE"}
_OTHER_PRINCIPALS = {4: "USER", 101: "LOGIN"}
_WHOLE = (0, 100)

# {which} picks a row of sys.database_principals. Nothing here compares or joins texts: collations of catalogues differ.
# Each SELECT says first what its rows are.
_USER = """
    SELECT N'user', u.principal_id, u.name, u.default_schema_name FROM sys.database_principals AS u WHERE u.{which};
    SELECT N'role', USER_NAME(m.role_principal_id) FROM sys.database_role_members AS m
        JOIN sys.database_principals AS u ON u.principal_id = m.member_principal_id WHERE u.{which};
    SELECT N'right', CAST(p.class AS int), p.class_desc, CAST(p.state AS nvarchar(1)), p.permission_name,
        CASE p.class
            WHEN 1 THEN OBJECT_SCHEMA_NAME(p.major_id)
            WHEN 6 THEN (SELECT SCHEMA_NAME(t.schema_id) FROM sys.types AS t WHERE t.user_type_id = p.major_id)
            WHEN 10 THEN (SELECT SCHEMA_NAME(x.schema_id) FROM sys.xml_schema_collections AS x
                WHERE x.xml_collection_id = p.major_id)
        END,
        CASE p.class
            WHEN 1 THEN OBJECT_NAME(p.major_id)
            WHEN 3 THEN SCHEMA_NAME(p.major_id)
            WHEN 4 THEN USER_NAME(p.major_id)
            WHEN 6 THEN TYPE_NAME(p.major_id)
            NAMED
        END,
        CASE WHEN p.class = 1 AND p.minor_id > 0 THEN COL_NAME(p.major_id, p.minor_id) END,
        (SELECT CAST(t.type AS nvarchar(1)) FROM sys.database_principals AS t
            WHERE p.class = 4 AND t.principal_id = p.major_id)
        FROM sys.database_permissions AS p
        JOIN sys.database_principals AS u ON u.principal_id = p.grantee_principal_id WHERE u.{which};
""".replace(
    "NAMED",
    "\n            ".join(
        f"WHEN {number} THEN (SELECT n.name COLLATE DATABASE_DEFAULT FROM {view} AS n WHERE n.{column} = p.major_id)"  # noqa: S608 - constants
        for number, (_, view, column) in _NAMED.items()
    ),
)
_LOGIN = """
    SELECT N'login', CONVERT(nvarchar(200), l.sid, 1), l.default_database_name, l.default_language_name,
        CAST(l.is_policy_checked AS int), CAST(l.is_expiration_checked AS int)
        FROM sys.sql_logins AS l WHERE l.name = {name};
    SELECT N'role', SUSER_NAME(m.role_principal_id) FROM sys.server_role_members AS m
        JOIN sys.server_principals AS l ON l.principal_id = m.member_principal_id WHERE l.name = {name};
    SELECT N'right', CAST(p.class AS int), p.class_desc, CAST(p.state AS nvarchar(1)), p.permission_name,
        CAST(NULL AS nvarchar(128)),
        CASE p.class
            WHEN 101 THEN SUSER_NAME(p.major_id)
            WHEN 105 THEN (SELECT e.name COLLATE DATABASE_DEFAULT FROM sys.endpoints AS e
                WHERE e.endpoint_id = p.major_id)
        END,
        CAST(NULL AS nvarchar(128)),
        (SELECT CAST(t.type AS nvarchar(1)) FROM sys.server_principals AS t
            WHERE p.class = 101 AND t.principal_id = p.major_id)
        FROM sys.server_permissions AS p
        JOIN sys.server_principals AS l ON l.principal_id = p.grantee_principal_id WHERE l.name = {name};
"""
# tempdb is made anew at each start; a database that takes no changes is left out.
_DATABASES = (
    "SELECT name, CAST(HAS_DBACCESS(name) AS int) FROM sys.databases WHERE state = 0 AND database_id <> 2"
    " AND source_database_id IS NULL AND DATABASEPROPERTYEX(name, 'Updateability') = 'READ_WRITE'"
)


def quoted(name: str) -> str:
    """Return a name as SQL takes it, as QUOTENAME does."""
    return "[" + name.replace("]", "]]") + "]"


def literal(text: str) -> str:
    """Return a text as SQL takes it.

    Raises:
        ValueError: It has a backslash before the end of a line, which Transact-SQL leaves out together with that.
    """
    if "\\\n" in text or "\\\r\n" in text:
        raise ValueError("a text for SQL Server may not have a backslash at the end of a line")
    return "N'" + text.replace("'", "''") + "'"


def inside(database: str, statements: str) -> str:
    """Return what runs statements inside a database."""
    return f"EXEC {quoted(database)}.sys.sp_executesql {literal(statements)};"


@dataclass(frozen=True, slots=True)
class Right:
    """A membership of a role, or a permission granted or denied.

    Attributes:
        where: The database; empty for the server.
        verb: ROLE, GRANT or DENY.
        what: The role, or the permission and what it is on, as SQL takes it.
    """

    where: str
    verb: str
    what: str
    may_be_granted: bool = False

    def to(self, principal: str) -> str:
        """Return the statement that gives a login or user the same."""
        if self.verb == _ROLE:
            kind = "ROLE" if self.where else "SERVER ROLE"
            return f"ALTER {kind} {self.what} ADD MEMBER {quoted(principal)};"
        option = " WITH GRANT OPTION" if self.may_be_granted else ""
        return f"{self.verb} {self.what} TO {quoted(principal)}{option};"

    def is_within(self, others: Iterable[Right]) -> bool:
        """Tell whether somebody who has the others may do as much."""
        if self.verb == _DENY:
            return True
        stronger = Right(self.where, self.verb, self.what, may_be_granted=True)
        return not {self, stronger}.isdisjoint(others)

    def __str__(self) -> str:
        """Return the right as people write it."""
        what = f"role {self.what}" if self.verb == _ROLE else self.what
        option = " WITH GRANT OPTION" if self.may_be_granted else ""
        return f"{what}{option} in {self.where or 'the server'}"


@dataclass(frozen=True, slots=True)
class User:
    """Who stands for a login in a database, or a contained user."""

    name: str
    default_schema: str | None
    is_owner: bool


@dataclass(frozen=True, slots=True)
class Principal:
    """A login, with its users by database; or a contained user, with itself in its own.

    Attributes:
        options: What CREATE LOGIN or CREATE USER needs beside name and password.
        closed: Databases that were not open to whoever read this.
    """

    name: str
    is_contained: bool
    options: str
    users: Mapping[str, User]
    rights: frozenset[Right]
    closed: tuple[str, ...] = ()


def read_login(run: Run, name: str) -> Principal | None:
    """Return a login, or None if there is none, or none that may be seen."""
    rows = run(_LOGIN.format(name=literal(name)))
    found = next((row for row in rows if row[0] == "login"), None)
    if found is None:
        return None
    _, sid, database, language, policy, expiration = found
    options = [f"DEFAULT_DATABASE = {quoted(database or 'master')}"]
    options += [f"DEFAULT_LANGUAGE = {quoted(language)}"] if language else []
    options += [f"CHECK_EXPIRATION = {_switch(expiration)}", f"CHECK_POLICY = {_switch(policy)}"]
    users, rights = {}, _rights("", rows)
    databases = run(_DATABASES)
    for where in [str(where) for where, is_open in databases if is_open]:
        user, more = _read_user(run, where, f"sid = {sid}")
        if user:
            users[where] = user
            rights |= more
    closed = tuple(str(where) for where, is_open in databases if not is_open)
    return Principal(name, False, ", ".join(options), users, frozenset(rights), closed)


def read_contained_user(run: Run, database: str, name: str) -> Principal | None:
    """Return a user that has its password in its database, or None if there is none."""
    # "2 = DATABASE" says where a principal is authenticated.
    user, rights = _read_user(run, database, f"name = {literal(name)} AND u.authentication_type = 2")
    if user is None:
        return None
    options = f"DEFAULT_SCHEMA = {quoted(user.default_schema)}" if user.default_schema else ""
    return Principal(name, True, options, {database: user}, frozenset(rights))


def completing(name: str, target: Principal | None, model: Principal) -> list[str]:
    """Return the statements that give a login or user what it lacks of its model: database users, then rights.

    Args:
        name: Whose.
        target: What there is of it before; None if it is only just being made.
        model: Whose rights it is to have.
    """
    statements = []
    users = {where: user.name for where, user in target.users.items()} if target else {}
    # Whoever is made may connect.
    has = set(target.rights if target else () if model.is_contained else {Right("", _GRANT, "CONNECT SQL")})
    for where, user in model.users.items():
        if where in users:
            continue
        users[where] = name if user.is_owner or user.name == model.name else _alternate(user.name)
        has.add(Right(where, _GRANT, "CONNECT"))
        if not model.is_contained:
            schema = f" WITH DEFAULT_SCHEMA = {quoted(user.default_schema)}" if user.default_schema else ""
            statements.append(inside(where, f"CREATE USER {quoted(users[where])} FOR LOGIN {quoted(name)}{schema};"))
    # An owner may do everything, and nothing can be granted to it.
    owned = {where for where, user in target.users.items() if user.is_owner} if target else set()
    missing = {right for right in model.rights if right.where not in owned and not _holds(has, right)}
    for right in sorted(missing, key=str):
        statement = right.to(users[right.where] if right.where else name)
        statements.append(inside(right.where, statement) if right.where else statement)
    return statements


def _holds(has: set[Right], right: Right) -> bool:
    return right in has if right.verb == _DENY else right.is_within(has)


def _alternate(name: str) -> str:
    return base.alternate_username(name, suffix=SUFFIX, limit=LIMIT, unit="characters")


def _read_user(run: Run, database: str, which: str) -> tuple[User | None, set[Right]]:
    rows = run(inside(database, _USER.format(which=which)))
    found = next((row for row in rows if row[0] == "user"), None)
    if found is None:
        return None, set()
    _, number, name, schema = found
    is_owner = number == _OWNER_ID
    rights = _rights(database, rows)
    if is_owner:
        # Whoever owns the database is its dbo; nobody else can be, but may do the same.
        rights.add(Right(database, _ROLE, _OWNER_ROLE))
    return User(str(name), schema, is_owner), rights


def _rights(where: str, rows: Iterable[Sequence[Any]]) -> set[Right]:
    found = set()
    for kind, *row in rows:
        if kind == "role":
            found.add(Right(where, _ROLE, quoted(row[0])))
        elif kind == "right":
            found.add(_permission(where, *row))
    return found


def _permission(
    where: str, number: int, description: str, state: str, permission: str,
    owner: str | None, name: str | None, column: str | None, principal: str | None,
) -> Right:  # fmt: skip
    words = _SECURABLES.get(number) or _PRINCIPALS.get((number, principal or "")) or _OTHER_PRINCIPALS.get(number)
    is_whole = number in _WHOLE
    if state not in _VERBS or not (is_whole or (words and name)):
        raise base.DatabaseError(
            f"{permission} on {description} in {where or 'the server'} cannot be given to a second user alike"
        )
    what = permission
    if not is_whole:
        parts = ".".join(quoted(part) for part in (owner, name) if part)
        what += f" ON {words}::{parts}" + (f" ({quoted(column)})" if column else "")
    return Right(where, _VERBS[state], what, may_be_granted=state == _WITH_GRANT_OPTION)


def _switch(value: object) -> str:
    return "ON" if value else "OFF"
