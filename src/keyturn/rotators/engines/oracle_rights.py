"""What an Oracle user may do and how it is described, read from the DBA views and given to another user.

Oracle has no membership of a user in a user, so the second of two alternating users gets what the first one has: roles,
system, object and column privileges, quotas, default roles, tablespaces and profile. Not what names a user elsewhere:
objects that it owns, network access lists, proxies, consumer groups.

Source: Oracle Database Reference, DBA_USERS, DBA_ROLE_PRIVS, DBA_SYS_PRIVS, DBA_TAB_PRIVS, DBA_COL_PRIVS,
DBA_TS_QUOTAS; SQL Language Reference, GRANT and CREATE USER.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import base

Query = Callable[..., Sequence[Sequence[Any]]]
"""Runs a statement with bind variables and returns its rows."""

_USER = """
    SELECT default_tablespace, temporary_tablespace, profile, authentication_type FROM dba_users WHERE username = :name
"""
_ROLES = "SELECT granted_role, admin_option, default_role FROM dba_role_privs WHERE grantee = :name"
_SYSTEM = "SELECT privilege, admin_option FROM dba_sys_privs WHERE grantee = :name"
_OBJECTS = """
    SELECT privilege, owner, table_name, grantable, hierarchy, type FROM dba_tab_privs WHERE grantee = :name
"""
_COLUMNS = "SELECT privilege, column_name, owner, table_name, grantable FROM dba_col_privs WHERE grantee = :name"
_QUOTAS = "SELECT tablespace_name, max_bytes FROM dba_ts_quotas WHERE username = :name AND dropped = 'NO'"

# These belong to no schema, or need the word that says what they are.
_WITHOUT_OWNER = ("DIRECTORY", "USER", "EDITION")
_NAMED_KINDS = ("JAVA SOURCE", "JAVA RESOURCE", "MINING MODEL", "SQL TRANSLATION PROFILE")
_UNLIMITED = -1


def quoted(name: str) -> str:
    """Return a name as SQL takes it, in the case that it has.

    Raises:
        ValueError: No name in Oracle has this character.
    """
    if '"' in name or "\0" in name:
        raise ValueError("A name in Oracle has no double quote.")
    return f'"{name}"'


@dataclass(frozen=True, slots=True)
class Definition:
    """A user, as far as another one can be made like it.

    Attributes:
        options: Words of CREATE USER and ALTER USER beside name and password.
        grants: What stands between GRANT and TO, and after it the words for handing it on, or none.
        quotas: Maximum by tablespace, as SQL takes it.
        default_roles: As ALTER USER takes them.
        authentication: PASSWORD, EXTERNAL, GLOBAL or NONE.
    """

    options: Mapping[str, str]
    grants: Mapping[str, str]
    quotas: Mapping[str, str]
    default_roles: str
    authentication: str

    def lacks(self, model: Definition) -> Mapping[str, str]:
        """Return the grants of a model that this user has not, or may not hand on as that one may."""
        return {
            what: option
            for what, option in model.grants.items()
            if what not in self.grants or (option and not self.grants[what])
        }

    def clauses(self, model: Definition | None = None) -> list[str]:
        """Return the options and quotas; if a model is given, those of the model that are different here."""
        wanted = model or self
        found = [
            f"{name} {value}" for name, value in wanted.options.items() if model is None or self.options[name] != value
        ]
        return found + [
            f"QUOTA {limit} ON {tablespace}"
            for tablespace, limit in wanted.quotas.items()
            if model is None or self.quotas.get(tablespace) != limit
        ]


def read(query: Query, name: str) -> Definition | None:
    """Return a user's definition; None if there is none.

    Raises:
        DatabaseError: The views may not be read.
    """
    found = query(_USER, name=name)
    if not found:
        return None
    [[default_tablespace, temporary_tablespace, profile, authentication]] = found
    roles = query(_ROLES, name=name)
    options = {
        "DEFAULT TABLESPACE": quoted(default_tablespace),
        "TEMPORARY TABLESPACE": quoted(temporary_tablespace),
        "PROFILE": quoted(profile),
    }
    quotas = {
        quoted(tablespace): "UNLIMITED" if limit == _UNLIMITED else str(int(limit))
        for tablespace, limit in query(_QUOTAS, name=name)
    }
    return Definition(options, _grants(query, name, roles), quotas, _default_roles(roles), authentication)


def _grants(query: Query, name: str, roles: Sequence[Sequence[Any]]) -> dict[str, str]:
    # In a container database the same right may be listed twice, granted here and granted everywhere.
    listed: list[tuple[str, str]] = [(quoted(role), _admin(admin)) for role, admin, _ in roles]
    # Privileges are words of the language, but they come from a view.
    listed += [(_words(privilege), _admin(admin)) for privilege, admin in query(_SYSTEM, name=name)]
    for privilege, owner, table, grantable, hierarchy, kind in query(_OBJECTS, name=name):
        with_hierarchy = " WITH HIERARCHY OPTION" if hierarchy == "YES" else ""
        listed.append((f"{_words(privilege)} ON {_object(owner, table, kind)}", with_hierarchy + _grant(grantable)))
    for privilege, column, owner, table, grantable in query(_COLUMNS, name=name):
        on = f"{quoted(owner)}.{quoted(table)}"
        listed.append((f"{_words(privilege)} ({quoted(column)}) ON {on}", _grant(grantable)))
    grants: dict[str, str] = {}
    for what, option in listed:
        grants[what] = grants.get(what) or option
    return grants


def _default_roles(roles: Sequence[Sequence[Any]]) -> str:
    default = sorted({quoted(role) for role, _, is_default in roles if is_default == "YES"})
    if len(default) == len({role for role, _, _ in roles}):
        return "ALL"
    return ", ".join(default) or "NONE"


def _object(owner: str, name: str, kind: str) -> str:
    if kind in _WITHOUT_OWNER:
        return f"{kind} {quoted(name)}"
    return f"{kind + ' ' if kind in _NAMED_KINDS else ''}{quoted(owner)}.{quoted(name)}"


def _admin(option: str) -> str:
    return " WITH ADMIN OPTION" if option == "YES" else ""


def _grant(option: str) -> str:
    return " WITH GRANT OPTION" if option == "YES" else ""


def _words(text: str) -> str:
    if not text.replace(" ", "").replace("_", "").isalnum():
        raise base.DatabaseError(f"The database lists a privilege that is none: {text!r}")
    return text
